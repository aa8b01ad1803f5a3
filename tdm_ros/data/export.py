"""Export of a recording as a bag, NumPy arrays, a Parquet dataset or a LeRobot dataset. Export is one-way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdm_ros.data.bag import write_bag
from tdm_ros.data.lerobot import write_lerobot
from tdm_ros.data.parquet import write_parquet
from tdm_ros.data.recording import TRANSITION_TYPE, DataError, Recording
from tdm_ros.data.table import Table, check_original, commanded_pieces, discarded_rows, to_table
from tdm_ros.files import sync_folder

FORMATS = ("mcap", "npz", "parquet", "lerobot")


class Exported(NamedTuple):
    """Numbers of exported transitions, and of those that the operator discarded: datasets do not contain these."""

    transitions: int
    discarded: int = 0


def export(recording: Recording, form: str, out: Path, advance: Callable[[int], Any] = lambda count: None) -> Exported:
    """Write a recording in one of `FORMATS`; a crash leaves nothing.

    Raises FileExistsError if ``out`` exists: nothing is ever overwritten. Raises DataError if the format cannot
    represent it, pyarrow is missing, or the recording is a dataset itself.
    """
    check_original(recording)
    if out.exists():
        raise FileExistsError(f"{out} exists, and a recording is never overwritten: give another --out")
    if form == "npz" and out.suffix != ".npz":
        raise DataError(f"the name of an npz file ends in .npz, got {out}")
    if form == "mcap":
        write_bag(out, recording)
        return Exported(recording.count(TRANSITION_TYPE))
    table = to_table(recording, advance)
    if not len(table):
        topics = ", ".join(sorted({channel.topic for channel in recording.channels})) or "none"
        raise DataError(f"{recording.name} has no transition of tdm_ros to export; its topics: {topics}")
    discarded = discarded_rows(recording, table)
    table = table.at(~discarded)
    if form == "lerobot":
        table = table.at(np.concatenate([np.zeros(0, np.int64), *commanded_pieces(table)]))
    out.parent.mkdir(parents=True, exist_ok=True)
    write = {"npz": _write_npz, "parquet": write_parquet, "lerobot": write_lerobot}[form]
    part = out.with_name(f"{out.name}.part-{os.getpid()}")
    try:
        write(part, table)
        part.rename(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)
    return Exported(len(table), int(discarded.sum()))


def _write_npz(path: Path, table: Table) -> None:
    """Write one array per field; strings are UTF-8."""
    arrays: dict[str, Any] = {
        name: np.asarray(column, np.str_) if column.dtype == object else column
        for name, column in table.columns.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
