"""Where one thing ends and another begins in a stream of transitions: unbroken pieces, episodes, gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import COMMANDED, Source

SOURCES = {int(source): source.name.lower() for source in Source}
"""What each number is called."""


def is_commanded(source: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each transition is experience to learn from, (N,) bool."""
    return np.isin(source, [int(one) for one in COMMANDED])


def commanded_pieces(columns: dict[str, NDArray[Any]]) -> list[NDArray[np.int64]]:
    """Rows of each unbroken piece of commanded transitions, in their order."""
    rows = np.flatnonzero(is_commanded(columns["source"]))
    if not len(rows):
        return []
    here, there = rows[:-1], rows[1:]
    follows = (
        (there == here + 1)
        & (columns["cycle"][there] == columns["cycle"][here] + 1)
        & (columns["episode"][there] == columns["episode"][here])
        & ~(columns["terminated"][here] | columns["truncated"][here])
    )
    return np.split(rows, np.flatnonzero(~follows) + 1)


def episodes(columns: dict[str, NDArray[Any]]) -> list[NDArray[np.int64]]:
    """Rows of each episode; a number that comes again after another, or cycles that go back, make a new one."""
    rows = np.flatnonzero(columns["episode"] != 0)
    if not len(rows):
        return []
    here, there = rows[:-1], rows[1:]
    other = columns["episode"][there] != columns["episode"][here]
    back = columns["cycle"][there].astype(np.int64) <= columns["cycle"][here].astype(np.int64)
    return np.split(rows, np.flatnonzero(other | back) + 1)


def lost_cycles(columns: dict[str, NDArray[Any]]) -> tuple[int, int]:
    """Number of gaps inside episodes, and of the cycles that are missing in them."""
    gaps = missing = 0
    for rows in episodes(columns):
        steps = np.diff(columns["cycle"][rows].astype(np.int64)) - 1
        gaps += int((steps > 0).sum())
        missing += int(steps.sum())
    return gaps, missing
