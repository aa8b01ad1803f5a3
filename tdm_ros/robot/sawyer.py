"""Sawyer's joints and limits, read from `sawyer_facts.json`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def facts() -> dict[str, Any]:
    """The joint, inertia and collision table as data: ``{"joints": [...], "links": [...]}``.

    Source: Rethink's `sawyer_description` (Apache-2.0), numbers only.
    """
    return json.loads(files("tdm_ros.robot").joinpath("sawyer_facts.json").read_text())


JOINT_NAMES: tuple[str, ...] = tuple(f"right_j{i}" for i in range(7))

_LIMITS = {
    joint["name"]: joint["limit"] or {"lower": -4.7124, "upper": 4.7124, "velocity": 4.545, "effort": 9.0}
    for joint in facts()["joints"]
    if joint["name"] in JOINT_NAMES
}
"""The table has no limits for right_j6; those here are the vendor's for the real arm."""


def _column(key: str) -> NDArray[np.float64]:
    values = np.array([float(_LIMITS[name][key]) for name in JOINT_NAMES])
    values.setflags(write=False)
    return values


Q_LOWER_RAD = _column("lower")
Q_UPPER_RAD = _column("upper")
QD_MAX_RAD_S = _column("velocity")
EFFORT_MAX_N_M = _column("effort")

NEUTRAL_RAD = np.array([0.0, -1.18, 0.0, 2.18, 0.0, 0.57, 3.3161])
"""The vendor's neutral posture; the hand is at (0.4496, 0.1603, 0.2158) m in frame base, pointing down."""
NEUTRAL_RAD.setflags(write=False)
