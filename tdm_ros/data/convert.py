"""Conversion between all formats of a recording."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdm_ros.data.bag import write_bag
from tdm_ros.data.lerobot_files import write_lerobot
from tdm_ros.data.npz_file import write_npz
from tdm_ros.data.parquet_files import write_parquet
from tdm_ros.data.pieces import commanded_pieces, is_commanded
from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.table import Table, carry_others, in_order, to_table

FORMATS = ("mcap", "npz", "parquet", "lerobot")


@dataclass(frozen=True)
class Converted:
    """What came out.

    Parameters
    ----------
    path : Path
    rows, carried : int
        Transitions that became columns, and messages that are carried along as they are.
    """

    path: Path
    rows: int
    carried: int


def convert(
    recording: Recording, form: str, out: Path, advance: Callable[[int], Any] = lambda count: None
) -> Converted:
    """Write a recording in one of `FORMATS`; a crash leaves nothing.

    Raises
    ------
    FileExistsError
        If ``out`` exists: nothing is ever overwritten.
    DataError
        If the format cannot hold it, or pyarrow is missing.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists, and a recording is never overwritten: give another --out")
    if form == "npz" and out.suffix != ".npz":
        raise DataError(f"the name of an npz file ends in .npz, got {out}")
    if form == "mcap":
        write_bag(out, recording)
        return Converted(out, 0, len(recording.messages))
    table = to_table(recording, advance)
    if not len(table):
        topics = ", ".join(sorted({channel.topic for channel in recording.channels})) or "none"
        raise DataError(f"{recording.name} has no transition of tdm_ros to make rows of; its topics: {topics}")
    if form == "lerobot":
        table = carry_others(table, is_commanded(table.columns["source"]), recording)
        pieces = commanded_pieces(table)
        table = in_order(table, np.concatenate(pieces)) if pieces else table
    out.parent.mkdir(parents=True, exist_ok=True)
    if form == "npz":
        write_npz(out, table)
    else:
        _into_folder(write_lerobot if form == "lerobot" else write_parquet, out, table)
    return Converted(out, len(table), len(table.carried))


def _into_folder(write: Callable[[Path, Table], None], out: Path, table: Table) -> None:
    part = out.with_name(f"{out.name}.part-{os.getpid()}")
    try:
        write(part, table)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
