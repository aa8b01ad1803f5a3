"""Validation of a recording: one sentence for every deviation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import Source
from tdm_ros.data.pieces import VECTORS, commanded_pieces, is_commanded, known_tasks, lost_cycles, tracks
from tdm_ros.data.recording import Recording
from tdm_ros.data.table import Table
from tdm_ros.tasks import Channels, TaskSpec


def check(recording: Recording, table: Table) -> list[str]:
    """Everything that is wrong, most serious first; empty for a sound recording."""
    found = list(recording.problems)
    found += recording.not_taken(len(table))
    if not len(table):
        return [*found, "there is no transition of tdm_ros in it"]
    tasks = sorted(set(table.columns["task"]))
    if len(tasks) > 1:
        found.append(
            f"transitions of {len(tasks)} tasks: {', '.join(tasks)}; nobody can learn from all of them at once"
        )
    known = known_tasks()
    for name in tasks:
        if name in known:
            found += _against_task(table.columns, known[name], table.columns["task"] == name)
        else:
            found.append(f"task {name} is none of this program's: its sizes and bounds cannot be checked")
    return [*found, *_numbers(table.columns), *_order(table)]


def _against_task(columns: dict[str, NDArray[Any]], task: TaskSpec, rows: NDArray[np.bool_]) -> Iterator[str]:
    """Sizes of the vectors, and actions within their bounds."""
    for name, part in VECTORS.items():
        channels: Channels = getattr(task, part)
        if columns[name].shape[1] != channels.size:
            yield f"{name} has {columns[name].shape[1]} numbers, task {task.name} has {channels.size}"
    outside = rows & is_commanded(columns["source"]) & (np.abs(columns["action"]) > 1).any(axis=1)
    if outside.any():
        largest = np.abs(columns["action"][outside]).max()
        yield f"{outside.sum()} commanded actions are outside [-1, 1], the largest is {largest:g}"


def _numbers(columns: dict[str, NDArray[Any]]) -> Iterator[str]:
    commanded = is_commanded(columns["source"])
    for name in VECTORS:
        bad = commanded & ~np.isfinite(columns[name]).all(axis=1)
        if bad.any():
            yield f"{bad.sum()} commanded transitions lack a finite {name}, the first in cycle {_first(columns, bad)}"
    unknown = ~np.isin(columns["source"], [int(one) for one in Source])
    if unknown.any():
        yield f"{unknown.sum()} transitions have an unknown source, the first in cycle {_first(columns, unknown)}"


def _order(table: Table) -> Iterator[str]:
    """Time goes on, cycles are consecutive, and a state is the one that the transition before it led to."""
    columns = table.columns
    back = sum(int((np.diff(columns["stamp_ns"][rows]) <= 0).sum()) for rows in tracks(table))
    if back:
        yield f"{back} stamps do not come after the one before: transitions are in it twice, or a clock was set"
    gaps, missing = lost_cycles(table)
    if gaps:
        yield f"{missing} cycles are missing in {gaps} gaps inside episodes"
    torn = 0
    for rows in commanded_pieces(table):
        before, after = columns["next_observation"][rows[:-1]], columns["observation"][rows[1:]]
        torn += int((before != after).any(axis=1).sum())
    if torn:
        yield f"{torn} transitions do not begin where the one before them ended"


def _first(columns: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> int:
    return int(columns["cycle"][np.flatnonzero(rows)[0]])
