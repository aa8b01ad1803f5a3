"""Task of a recording, found by the fingerprint in every transition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros import tasks
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
