"""A world in which the answers are known: a point that gets anywhere in a straight line at a constant speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.planning_geometric import StraightLines
from tdm_ros.planning import KeepOut, Objective, Problem, SeenStates
from tdm_ros.planning.space import GoalSpace
from tdm_ros.tasks import Channels, TaskSpec

STEP_M = 0.05
HORIZON = 15


def plane(free_y: bool = False) -> TaskSpec:
    """A point in the plane; its goal is its place, or its x alone."""
    names, bounds = ("x", "y"), {"low": (-1.0, -1.0), "high": (1.0, 1.0), "scale": (0.4, 0.4)}
    everywhere = {"low": (-np.inf,) * 2, "high": (np.inf,) * 2, "scale": (1.0, 1.0)}
    score = ((1.0, (0,)),) if free_y else ()
    return TaskSpec(
        "plane",
        Channels(names, "m", **everywhere),
        Channels(names, "1", (-1.0, -1.0), (1.0, 1.0), (1.0, 1.0)),
        Channels(names, "m", **bounds),
        horizon=HORIZON,
        episode_steps=96,
        rate_hz=20.0,
        score=score,
    )


PLANE = plane()
SPACE = GoalSpace.of(PLANE)
EXACT = StraightLines(SPACE, HORIZON, STEP_M)
WALL = KeepOut(np.array([[[-0.1, -2.0], [0.1, 0.3]]]), (0, 1))
"""From the lower end of the plane up to y = 0.3."""


def lattice(spacing: float = 0.1) -> SeenStates:
    """Seen states all over the plane."""
    line = np.arange(-1, 1 + 1e-6, spacing)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2).astype(np.float32)
    return SeenStates.thinned(points, points, SPACE, len(points), posture=0.0)


def problem(start=(-0.5, 0.0), goal=(0.5, 0.0), keep_out: KeepOut | None = None, task=PLANE, **changes: Any) -> Problem:
    """From start to goal, over knots that are at most 12 steps, 0.6 m, apart."""
    objective = Objective.for_task(task, **({"segments": 3, "rarity": 0.0} | changes))
    here = np.array(start, np.float32)
    return Problem(task, EXACT, lattice(), here, here, np.array(goal, np.float32), objective, keep_out or KeepOut())
