"""What the locks in requirements/ name: distributions, versions and the hashes of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
ENTRY = re.compile(r"^([\w.-]+)==([^\s;]+).*((?:\n    --hash=sha256:\w+.*)*)", re.MULTILINE)


class Locked(NamedTuple):
    """One distribution of a lock; ``hashes`` are SHA-256."""

    lock: str
    name: str
    version: str
    hashes: tuple[str, ...]


def locked(folder: Path = FOLDER) -> Iterator[Locked]:
    """Yield the distributions of all locks; a ValueError names one without a hash."""
    for path in sorted(folder.glob("*.lock")):
        for name, version, lines in ENTRY.findall(path.read_text()):
            hashes = tuple(re.findall(r"sha256:(\w{64})", lines))
            if not hashes:
                raise ValueError(f"{path.name}: {name} has no hash: write the locks again, python3 tools/lock.py")
            yield Locked(path.stem, name, version, hashes)
