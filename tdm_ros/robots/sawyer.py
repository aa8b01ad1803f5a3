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
    """Joint, inertia and collision table: ``{"joints": [...], "links": [...]}``.

    Source: Rethink's `sawyer_description` (Apache-2.0), numbers only.
    """
    data: dict[str, Any] = json.loads(files("tdm_ros.robots").joinpath("sawyer_facts.json").read_text())
    return data


def link(name: str) -> dict[str, Any]:
    """Table entry of a link; StopIteration if it does not exist."""
    return next(entry for entry in facts()["links"] if entry["name"] == name)


def joint_above(link_name: str) -> dict[str, Any]:
    """Table entry of a link's parent joint; StopIteration if there is none."""
    return next(entry for entry in facts()["joints"] if entry["child"] == link_name)


JOINT_NAMES: tuple[str, ...] = tuple(f"right_j{i}" for i in range(7))

_LIMITS = {
    joint["name"]: joint["limit"] or {"lower": -4.7124, "upper": 4.7124, "velocity": 4.545, "effort": 9.0}
    for joint in facts()["joints"]
    if joint["name"] in JOINT_NAMES
}
"""The table has no limits for right_j6; these are the vendor's for the real arm."""


def _constant(values: list[float]) -> NDArray[np.float64]:
    array = np.array(values, np.float64)
    array.setflags(write=False)
    return array


def _column(key: str) -> NDArray[np.float64]:
    return _constant([float(_LIMITS[name][key]) for name in JOINT_NAMES])


Q_LOWER_RAD = _column("lower")
Q_UPPER_RAD = _column("upper")
QD_MAX_RAD_S = _column("velocity")
EFFORT_MAX_N_M = _column("effort")

QDD_MAX_RAD_S2 = _constant([10.0, 8.0, 10.0, 10.0, 12.0, 12.0, 12.0])
"""Acceleration limits of the vendor's simulator."""

DAMPING_N_M_S_RAD = _constant([10.0, 5.0, 5.0, 1.0, 2.0, 1.0, 1.0])
FRICTION_N_M = _constant([5.0, 2.0, 2.0, 0.5, 1.0, 0.5, 0.5])
"""Joint damping and dry friction of the vendor's simulator."""

ROTOR_INERTIA_KG_M2 = _constant([0.5, 0.5, 0.3, 0.3, 0.1, 0.1, 0.1])
"""Inertia of motor and gear at the joint. Our assumption, since the vendor gives none: about that of the link behind
the joint, so that a wrist responds to a torque within a few control cycles, not milliseconds."""

INERTIA_LEAST_KG_M2 = _constant([0.7, 0.95, 0.35, 0.45, 0.12, 0.1, 0.1])
INERTIA_MOST_KG_M2 = _constant([2.7, 2.35, 0.85, 0.8, 0.14, 0.12, 0.1])
"""Inertia at each joint over 3000 postures around neutral: minimum with free other joints, 95th percentile with held
ones. From the simulated arm's mass matrix, rotors included."""

NEUTRAL_RAD = _constant([0.0, -1.18, 0.0, 2.18, 0.0, 0.57, 3.3161])
"""Vendor's neutral posture; the hand is at (0.4496, 0.1603, 0.2158) m in frame base, pointing down."""
