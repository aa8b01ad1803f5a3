"""Output of the nodes on one terminal: each line with its node's name, live lines updated in place."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from tdm_ros.bringup.environment import LIVE_LINES

LIVE_EVERY = 10  # one live line in this many is printed where the output is not a terminal

_ERASE = "\r\x1b[2K"
_ERASE_ABOVE = "\x1b[1A\x1b[2K"
_ERASE_REST = "\x1b[K"  # possible end of a live line, for terminals


class LiveLine:
    """Live line of a node: updated in place on a terminal; every one is printed for `Console`, which updates it.

    In a file and under `ros2 launch`, which shows whole lines only, one in `LIVE_EVERY` is printed as text.
    """

    def __init__(self, out: TextIO, environ: Mapping[str, str]) -> None:
        self._out, self._mode = out, environ.get(LIVE_LINES) or ("in place" if out.isatty() else "some")
        self._count = 0

    def show(self, line: str) -> None:
        """Print a line that begins with a carriage return."""
        if self._mode == "in place":
            print(line, end="", file=self._out, flush=True)
        elif self._mode == "each":
            print(line, file=self._out, flush=True)
        elif self._count % LIVE_EVERY == 0:
            print(line.strip("\r").removesuffix(_ERASE_REST), file=self._out, flush=True)
        self._count += 1


class LogFiles:
    """One file per node, `<node>.log` or `<namespace>/<node>.log`, in a folder.

    A file that cannot be written (full disk) is no error, because output must never delay a stop: nothing more is
    written, and ``problem`` is the reason.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self.problem = ""

    def write(self, name: str, text: str) -> None:
        if self.problem:
            return
        try:
            if name not in self._files:
                path = self._folder / f"{name}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files[name] = open(path, "a", buffering=1)  # noqa: SIM115
            self._files[name].write(text)
        except OSError as error:
            self.problem = f"the output of the nodes is no longer written to {self._folder}: {error}"

    def close(self) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()


class Console:
    """Output of all nodes on one terminal, and in one file per node; ``width`` is that of the longest name."""

    def __init__(self, out: TextIO, folder: Path, width: int) -> None:
        self._out = out
        self._kept = LogFiles(folder)
        self._width = width
        self._live: dict[str, str] = {}
        self._live_count: Counter[str] = Counter()

    def show(self, name: str, line: str) -> None:
        """Print a line of a node; one that begins with a carriage return is a live line."""
        live, text = line.startswith("\r"), line.strip("\r\n").removesuffix(_ERASE_REST)
        self._keep(name, text)
        if not live:
            self._print(f"{name:{self._width}} | {text}")
            return
        if space := name.rpartition("/")[0]:
            text = f"{space} | {text}"
        if self._out.isatty():
            erase = self._erase() or _ERASE
            self._live[name] = text[: shutil.get_terminal_size().columns - 1]
            self._write(erase + "\n".join(self._live.values()))
        else:
            self._live_count[name] += 1
            if self._live_count[name] % LIVE_EVERY == 1:
                self._write(text + "\n")

    def report(self, text: str) -> None:
        """Print a line of the runner."""
        self._keep("system", text)
        self._print(text)

    def close(self) -> None:
        """End the live lines, and close the files."""
        if self._live:
            self._write("\n")
            self._live.clear()
        self._kept.close()

    def _keep(self, name: str, text: str) -> None:
        before = self._kept.problem
        self._kept.write(name, text + "\n")
        if not before and self._kept.problem:
            self._print(self._kept.problem)

    def _print(self, text: str) -> None:
        live = "\n".join(self._live.values())
        self._write(f"{self._erase()}{text}\n{live}")

    def _erase(self) -> str:
        """Escape sequence that clears the live lines."""
        return _ERASE + _ERASE_ABOVE * (len(self._live) - 1) if self._live else ""

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:  # the terminal or the reader of the pipe has ended; the files have all output
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())
            os.close(nowhere)
