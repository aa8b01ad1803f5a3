"""Segmentation of a stream of transitions: task, unbroken pieces, episodes, gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros import tasks
from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.pairing import chains
from tdm_ros.data.table import Table
from tdm_ros.tasks import TaskSpec

VECTORS = {
    "observation": "observation",
    "next_observation": "observation",
    "action": "action",
    "achieved_goal": "goal",
    "next_achieved_goal": "goal",
    "desired_goal": "goal",
}
"""Fields of a transition, and the part of the task that describes them."""


def known_tasks() -> dict[str, TaskSpec]:
    """Our tasks by fingerprint."""
    found: dict[str, TaskSpec] = {}
    for value in vars(tasks).values():
        for one in value.values() if isinstance(value, dict) else [value]:
            if isinstance(one, TaskSpec):
                found[one.fingerprint] = one
    return found


def rate_hz(columns: dict[str, NDArray[Any]]) -> int:
    """Cycles in a second, from the task or else from the stamps of consecutive cycles [Hz]."""
    task = known_tasks().get(str(columns["task"][0])) if len(columns["task"]) else None
    if task is not None:
        return round(task.rate_hz)
    steps = np.diff(columns["stamp_ns"])[np.diff(columns["cycle"].astype(np.int64)) == 1]
    return max(1, round(1e9 / float(np.median(steps)))) if len(steps) else 1


SOURCES = {int(source): source.name.lower() for source in Source}
"""What each number is called."""


def is_commanded(source: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each transition is experience to learn from, (N,) bool."""
    return np.isin(source, [int(one) for one in COMMANDED])


def tracks(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each run of an arm, in the order of its cycles; together they are all rows.

    In logs of older versions a transition names no run. There one follows another if its cycle is the next and its
    state the one that the other led to, so that two arms in one recording are kept apart.
    """
    if not len(table):
        return []
    columns = table.columns
    run, cycle = columns.get("run", np.full(len(table), "", object)), columns["cycle"].astype(np.int64)
    found = []
    for name in sorted(set(run) - {""}):
        rows = np.flatnonzero(run == name)
        found.append(rows[np.argsort(cycle[rows], kind="stable")])
    return found + _older_tracks(table, np.flatnonzero(run == ""), cycle)


def _older_tracks(table: Table, rows: NDArray[np.int64], cycle: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    spaces = [table.channels[int(channel)].topic.rpartition("/")[0] for channel in table.index["channel"][rows]]
    before, after = (table.columns[name] for name in ("observation", "next_observation"))
    begins = [(space, cycle[row], before[row].tobytes()) for space, row in zip(spaces, rows, strict=True)]
    ends = [(space, cycle[row] + 1, after[row].tobytes()) for space, row in zip(spaces, rows, strict=True)]
    found: list[list[int]] = []
    for chain in chains(begins, ends):
        first = cycle[rows[chain[0]]]
        ended = [t for t in found if spaces[t[0]] == spaces[chain[0]] and cycle[rows[t[-1]]] + 1 < first]
        if ended:
            max(ended, key=lambda t: cycle[rows[t[-1]]]).extend(chain)
        else:
            found.append(chain)
    return [rows[track] for track in found]


def commanded_pieces(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each unbroken piece of commanded transitions, in the order of their first rows."""
    columns, pieces = table.columns, []
    for track in tracks(table):
        here, there = track[:-1], track[1:]
        follows = (
            (columns["cycle"][there] == columns["cycle"][here] + 1)
            & (columns["episode"][there] == columns["episode"][here])
            & ~(columns["terminated"][here] | columns["truncated"][here])
            & is_commanded(columns["source"][here])
        )
        pieces += np.split(track, np.flatnonzero(~follows) + 1)
    commanded = [piece[is_commanded(columns["source"][piece])] for piece in pieces]
    return sorted((piece for piece in commanded if len(piece)), key=lambda piece: piece[0])


def episodes(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each episode of an arm, in the order of their first rows; a number that comes again makes a new one."""
    columns, found = table.columns, []
    for track in tracks(table):
        rows = track[columns["episode"][track] != 0]
        here, there = rows[:-1], rows[1:]
        other = columns["episode"][there] != columns["episode"][here]
        back = columns["cycle"][there] <= columns["cycle"][here]
        found += np.split(rows, np.flatnonzero(other | back) + 1)
    return sorted((rows for rows in found if len(rows)), key=lambda rows: rows[0])


def lost_cycles(table: Table) -> tuple[int, int]:
    """Number of gaps inside episodes, and of the cycles that are missing in them."""
    gaps = missing = 0
    for rows in episodes(table):
        steps = np.diff(table.columns["cycle"][rows].astype(np.int64)) - 1
        gaps += int((steps > 0).sum())
        missing += int(steps.sum())
    return gaps, missing
