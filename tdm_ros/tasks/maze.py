"""Maze in the plane, small enough to solve exactly: the straight path to most goals ends at a wall."""

from __future__ import annotations

import numpy as np

from tdm_ros.tasks.locomotion import free, motors
from tdm_ros.tasks.spec import HORIZON, Channels, TaskSpec

HALF_WIDTH_M = 1.0
"""The maze is the square from minus this to this."""
RADIUS_M = 0.04
"""Of the ball that rolls in it; a way is possible where its middle stays this far from the walls."""
SPEED_M_S = 1.2

WALLS_M = np.array(
    [
        [[-1.0, -0.40], [0.45, -0.30]],
        [[-0.45, 0.30], [1.0, 0.40]],
        [[-0.05, -0.30], [0.05, 0.06]],
    ]
)
"""Lower and upper corners of the inner walls, (3, 2, 2) [m]: from the lower left to the upper right it is an S."""

_OUT_M = HALF_WIDTH_M + 0.1
FENCE_M = np.array(
    [
        [[-_OUT_M, -_OUT_M], [_OUT_M, -HALF_WIDTH_M]],
        [[-_OUT_M, HALF_WIDTH_M], [_OUT_M, _OUT_M]],
        [[-_OUT_M, -_OUT_M], [-HALF_WIDTH_M, _OUT_M]],
        [[HALF_WIDTH_M, -_OUT_M], [_OUT_M, _OUT_M]],
    ]
)
"""Those of the walls around it, (4, 2, 2) [m]."""

_REACH_M = HALF_WIDTH_M - 2 * RADIUS_M

MAZE = TaskSpec(
    name="maze",
    observation=free(("x", "y", "x_velocity", "y_velocity"), "m, m/s"),
    action=motors(("x_velocity", "y_velocity"), "m/s", (SPEED_M_S,) * 2),
    goal=Channels(("x", "y"), "m", (-_REACH_M,) * 2, (_REACH_M,) * 2, (0.4,) * 2),
    horizon=HORIZON,
    episode_steps=96,
    rate_hz=20.0,
    success=0.05,
)
"""Roll to a point. 96 steps are six times the horizon's 16, in which the ball gets at most 0.9 m far; the longest ways
measure 4 m. The walls are not in the observation: what cannot be reached, a learner has to find out."""
