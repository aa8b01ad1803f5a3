"""The files of a log or a bag, in the order in which they were written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def mcap_files(folder: Path) -> list[Path]:
    """The MCAP files of a folder, in the order of the numbers in their names; no folders, pipes or broken links."""

    def key(path: Path) -> list[Any]:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted((path for path in folder.glob("*.mcap") if path.is_file()), key=key)


def number_of(path: Path) -> int:
    """Of a file of the log; -1 for a file that is named otherwise."""
    return int(path.stem) if path.stem.isdecimal() and path.stem.isascii() else -1


def next_segment(folder: Path, after: int = -1) -> Path:
    """Where the next file of a log goes: behind those that are there, and behind ``after``."""
    taken = map(number_of, folder.glob("*.mcap"))
    return folder / f"{max([after, *taken]) + 1:04d}.mcap"
