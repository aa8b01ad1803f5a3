"""Generations of a checkpoint folder: which are kept, their checksums, and going back to an earlier one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdm_ros.files import sync_folder, write_durably

INDEX, PREVIOUS = "checkpoint.json", "checkpoint.previous.json"
KEPT_BYTES = 256 << 20
"""Size of the generations that are kept besides the newest two [bytes]."""


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def sealed(index: dict[str, Any]) -> dict[str, Any]:
    """The index with the checksum of its other entries."""
    rest = {key: value for key, value in index.items() if key != "checksum"}
    return {**rest, "checksum": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def check(index: dict[str, Any], folder: Path) -> None:
    """Raise ValueError if index or weights are not as they were written; those of older versions have no checksum."""
    if "checksum" in index and sealed(index)["checksum"] != index["checksum"]:
        raise ValueError("its checksum does not match, so a byte was changed")
    path = folder / index["weights"]
    if "sha256" in index and digest(path) != index["sha256"]:
        raise ValueError(f"the checksum of {path.name} does not match, so a byte was changed")


@dataclass(frozen=True)
class Generation:
    """Index of weights that are kept."""

    path: Path
    number: int
    """Counted from the first one that the folder had."""
    index: dict[str, Any]

    @property
    def name(self) -> str:
        """Name without suffix, ``weights-TRANSITIONS-UPDATES``."""
        return self.path.stem

    @property
    def files(self) -> tuple[Path, Path]:
        """Index and tensors."""
        return self.path, self.path.with_suffix(".safetensors")


def read_index(path: Path) -> dict[str, Any] | None:
    """Content of an index, if it has the layout of one; else None."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        return index if isinstance(index, dict) and str(index["weights"]) else None
    except (OSError, ValueError, LookupError, RecursionError):
        return None


def generations(folder: Path) -> list[Generation]:
    """Generations with a readable index, newest first; whether they can be used is not checked."""
    found = []
    for path in folder.glob("weights-*.json"):
        index = read_index(path)
        if index is not None and type(number := index.get("generation")) is int:
            found.append(Generation(path, number, index))
    return sorted(found, key=lambda one: one.number, reverse=True)


def next_number(folder: Path) -> int:
    """Number of the next generation."""
    return max((one.number for one in generations(folder)), default=0) + 1


def prune(folder: Path, always: set[str]) -> None:
    """Remove generations; keep those whose tensors are in ``always``, and one per doubling of the age.

    Of those with an age of 1, 2 to 3, 4 to 7, ... generations the oldest is kept, as long as they fit `KEPT_BYTES`.
    """
    found, kept, size = generations(folder), set(always), 0
    oldest = {(found[0].number - one.number).bit_length(): one for one in found}  # the last of a key is the oldest
    for one in oldest.values():
        tensors = one.files[1]
        if tensors.exists():
            size += tensors.stat().st_size
        if size <= KEPT_BYTES:
            kept.add(tensors.name)
    for path in folder.glob("weights-*"):
        if path.name not in kept and path.with_suffix(".safetensors").name not in kept:
            path.unlink()


def roll_back(folder: Path, to: str, is_good: Callable[[Generation], str]) -> Generation:
    """Make an earlier generation the current one, and move the later ones to a new subfolder; return it.

    ``to`` is its name; "" stands for the newest good one before the current one. ``is_good`` returns "" or why one
    cannot be used. Raises ValueError if there is none. After a crash the old or the new one is current.
    """
    found, current = generations(folder), (read_index(folder / INDEX) or {}).get("weights")
    newer = [one.files[1].name for one in found]
    before = found[newer.index(current) + 1 :] if current in newer else found
    wanted = [one for one in before if one.name == to] if to else [one for one in before if not is_good(one)]
    if not wanted:
        names = ", ".join(one.name for one in before) or "none"
        raise ValueError(f"{folder} has no {to or 'good generation'} before the current one, only: {names}")
    target = wanted[0]
    if problem := is_good(target):
        raise ValueError(f"{target.name} cannot be used: {problem}; give another one with --to")
    older = next((one for one in found if one.number < target.number and not is_good(one)), None)
    if older:
        write_durably(folder / PREVIOUS, older.path.read_bytes())
    write_durably(folder / INDEX, target.path.read_bytes())
    if not older:
        (folder / PREVIOUS).unlink(missing_ok=True)
    _set_aside(folder, [one for one in found if one.number > target.number])
    return target


def _set_aside(folder: Path, later: list[Generation]) -> None:
    number = 0
    while (aside := folder / f"rolled-back-{number}").exists():
        number += 1
    aside.mkdir()
    for path in (path for one in later for path in one.files if path.exists()):
        path.rename(aside / path.name)
    sync_folder(aside)
    sync_folder(folder)
