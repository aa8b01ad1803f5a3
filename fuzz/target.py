"""A fuzz target: a handler of bytes, the errors that it documents, and its limit of processor time."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
LIMIT_S = 10.0
"""Largest processor time of one input; the corpus has inputs of a few kilobytes [s]."""
MOST_SENTENCE = 20_000
"""Largest length of the text of an error [characters]."""


@dataclass(frozen=True)
class Target:
    """Handler that may raise nothing but what it documents; ``sentence``: of exactly that type, on one line."""

    name: str
    handle: Callable[[bytes], object]
    allowed: tuple[type[BaseException], ...] = ()
    sentence: bool = False
    seeds: Callable[[], list[bytes]] = list
    """Good inputs, from which the search starts."""
    max_len: int = 4096
    """Largest input that the search makes [bytes]."""

    def one_input(self, data: bytes) -> None:
        """Handle one input. Raises what the handler does not document, AssertionError if it takes too long."""
        begin_s = time.thread_time()
        try:
            self.handle(data)
        except self.allowed as error:
            if self.sentence:
                text = str(error)
                assert type(error) in self.allowed, f"{type(error).__name__}, expected {self.allowed[0].__name__}"
                assert "\n" not in text and 0 < len(text) < MOST_SENTENCE, f"no sentence: {text[:200]!r}"
        used_s = time.thread_time() - begin_s
        assert used_s < LIMIT_S, f"{self.name} took {used_s:.1f} s of processor time for {len(data)} bytes"

    def corpus(self) -> list[Path]:
        """Committed inputs, in the order of their names."""
        return sorted((CORPUS / self.name).glob("*"))


@cache
def scratch() -> Path:
    """Folder of this process for files that targets read, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="tdm_ros_fuzz", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def empty(name: str) -> Path:
    """Empty folder of that name, in `scratch`."""
    folder = scratch() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def parts_of(data: bytes, count: int) -> list[bytes]:
    """Divide an input into so many parts: each but the last has its length before it, in two bytes."""
    parts = []
    for _ in range(count - 1):
        size = int.from_bytes(data[:2], "little")
        parts.append(data[2 : 2 + size])
        data = data[2 + size :]
    return [*parts, data]


def joined(*parts: bytes) -> bytes:
    """Input of which `parts_of` makes these parts."""
    return b"".join(len(part).to_bytes(2, "little") + part for part in parts[:-1]) + parts[-1]
