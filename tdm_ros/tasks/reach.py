"""Sawyer reaching: bring the hand to a point. The same description serves the simulator and the robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robot.actuation import ACTUATIONS, Actuation
from tdm_ros.robot.sawyer import JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S
from tdm_ros.tasks.spec import HORIZON, Array, Channels, TaskSpec

GOAL_LOW_M = (0.35, -0.35, 0.05)
GOAL_HIGH_M = (0.80, 0.35, 0.60)
"""Box of hand goals in frame base [m]. Every corner is inside the reach of the arm with the hand in any orientation."""


def reach_task(actuation: Actuation, horizon: int = HORIZON) -> TaskSpec:
    """Describe reaching with one way of driving the joints.

    Parameters
    ----------
    actuation : Actuation
    horizon : int
        Longest ``steps_left`` [steps of 50 ms].
    """
    joints = len(JOINT_NAMES)
    infinite = (np.inf,) * 3
    return TaskSpec(
        name=f"sawyer_reach_{actuation.name}",
        observation=Channels(
            names=(*JOINT_NAMES, *(f"{n}_velocity" for n in JOINT_NAMES), "hand_x", "hand_y", "hand_z"),
            unit="rad, rad/s, m",
            low=(*Q_LOWER_RAD.tolist(), *(-QD_MAX_RAD_S).tolist(), *(-x for x in infinite)),
            high=(*Q_UPPER_RAD.tolist(), *QD_MAX_RAD_S.tolist(), *infinite),
            scale=(1.0,) * (2 * joints + 3),
        ),
        action=Channels(
            names=JOINT_NAMES,
            unit=actuation.unit,
            low=(-1.0,) * joints,
            high=(1.0,) * joints,
            scale=tuple(actuation.scale.tolist()),
        ),
        goal=Channels(names=("x", "y", "z"), unit="m", low=GOAL_LOW_M, high=GOAL_HIGH_M, scale=(0.2,) * 3),
        horizon=horizon,
        episode_steps=50,
        rate_hz=20.0,
    )


SAWYER_REACH: dict[str, TaskSpec] = {name: reach_task(actuation) for name, actuation in ACTUATIONS.items()}
"""The reaching task for each actuation: velocity, torque, torque_low_damping."""

SAWYER_AROUND = replace(
    SAWYER_REACH["velocity"],
    name="sawyer_around",
    goal=Channels(
        names=(JOINT_NAMES[0], "x", "y", "z"),
        unit="rad, m",
        low=(float(Q_LOWER_RAD[0]), -0.8, -0.8, 0.05),
        high=(float(Q_UPPER_RAD[0]), 0.8, 0.8, 0.5),
        scale=(0.5, 0.2, 0.2, 0.2),
        wrap=(False,) * 4,
    ),
    score=((1.0, (1, 2, 3)),),
)
"""Reaching all round the robot, whose first joint has stops behind it. Judged is the hand. The joint is part of the
goal, because the hand alone does not say what can be reached from there: close to the stop its one side looks like the
other. The box of goals holds them all; they are drawn from a ring around the base."""


def observe(q_rad: ArrayLike, qd_rad_s: ArrayLike, hand_m: ArrayLike) -> Array:
    """Assemble the observation of reaching: (J,) [rad], (J,) [rad/s], (3,) [m] -> (2J + 3,) float32."""
    return np.concatenate([np.asarray(q_rad), np.asarray(qd_rad_s), np.asarray(hand_m)]).astype(np.float32)
