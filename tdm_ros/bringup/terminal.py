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

LIVE_EVERY = 10
"""Where the output is no terminal, one live line in this many is printed."""

_ERASE = "\r\x1b[2K"
_ERASE_ABOVE = "\x1b[1A\x1b[2K"
_ERASE_REST = "\x1b[K"  # what a live line may end with, for terminals that see it directly


class LiveLine:
    """Prints the live line of a node: in place on a terminal, and each one for `Console`, which does the same.

    Elsewhere, in a file or under `ros2 launch`, which gives nodes a terminal if it is asked to, and shows whole lines
    alone, it prints one in `LIVE_EVERY` as a line of text.
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
    """One file a node, `<node>.log` or `<namespace>/<node>.log`, in a folder.

    A file that cannot be written (a full disk) is no error: output must never delay a stop. It is left out, once and
    for all, and ``problem`` says why.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self.problem = ""

    def write(self, name: str, text: str) -> None:
        """Append text to the file of a node."""
        if self.problem:
            return
        try:
            if name not in self._files:
                path = self._folder / f"{name}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files[name] = open(path, "a", buffering=1)  # noqa: SIM115
            self._files[name].write(text)
        except OSError as error:
            self.problem = f"what nodes print is no longer kept in {self._folder}: {error}"

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()


class Console:
    """Prints lines, and keeps them in one file a node.

    Parameters
    ----------
    out : TextIO
        Where to print.
    folder : Path
        Where `<node>.log` is written, `<namespace>/<node>.log` where it has one; must exist.
    width : int
        Columns of the longest name.
    """

    def __init__(self, out: TextIO, folder: Path, width: int) -> None:
        self._out = out
        self._kept = LogFiles(folder)
        self._width = width
        self._live: dict[str, str] = {}
        self._live_count: Counter[str] = Counter()

    def show(self, name: str, line: str) -> None:
        """Print a line of a node; one that begins with a carriage return is live: drawn in place."""
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

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._keep("system", text)
        self._print(text)

    def close(self) -> None:
        """Leave the live line standing, and close the files."""
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
        """What clears the live lines, and the one that the cursor is in."""
        return _ERASE + _ERASE_ABOVE * (len(self._live) - 1) if self._live else ""

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:  # the terminal, or the reader of the pipe, is gone: the files have it all
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())
            os.close(nowhere)
