"""Pushing: an arm that brings a puck to a target with a fork, the paper's planar one or Sawyer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robot.sawyer import JOINT_NAMES
from tdm_ros.tasks.locomotion import free, motors
from tdm_ros.tasks.spec import HORIZON, Array, Channels, TaskSpec

_PUSHER_JOINTS = ("shoulder", "elbow", "wrist")
_PLACES = ("hand_x", "hand_y", "puck_x", "puck_y")

PUSHER = TaskSpec(
    name="pusher",
    observation=free((*_PUSHER_JOINTS, *(f"{joint}_velocity" for joint in _PUSHER_JOINTS), *_PLACES), "rad, rad/s, m"),
    action=motors(_PUSHER_JOINTS, "N m", (3.0,) * 3),
    goal=Channels(_PLACES, "m", (-1.0, -1.0, -1.0, -1.0), (0.8, 1.0, 0.0, 1.0), (0.4,) * 4),
    horizon=HORIZON,
    episode_steps=100,
    rate_hz=20.0,
    score=((1.0, (2, 3)),),
    success=0.1,
)
"""Push a puck to a target; `ask` says where the hand is to be. Judged by the puck alone.

Source: arXiv 1802.09081 (observation, torques, starts, targets); the arm is our own.
"""

SAWYER_PUSH = TaskSpec(
    name="sawyer_push",
    observation=free(
        (*JOINT_NAMES, *(f"{joint}_velocity" for joint in JOINT_NAMES), "hand_x", "hand_y", "hand_z", *_PLACES[2:]),
        "rad, rad/s, m",
    ),
    action=motors(("hand_x_velocity", "hand_y_velocity"), "m/s", (0.3, 0.3)),
    goal=Channels(_PLACES, "m", (0.54, -0.25, 0.60, -0.25), (0.80, 0.25, 0.80, 0.25), (0.1,) * 4),
    horizon=HORIZON,
    episode_steps=64,
    rate_hz=20.0,
    score=((1.0, (2, 3)),),
    success=0.05,
)
"""Push a puck over Sawyer's table; `ask` says where the hand is to be. Judged by the puck alone. 64 steps are 4 times
the horizon's 16. Success as in Gymnasium-Robotics' FetchPush."""

SAWYER_PUSH_AROUND = replace(
    SAWYER_PUSH,
    name="sawyer_push_around",
    goal=Channels(_PLACES, "m", (0.42, -0.25, 0.48, -0.22), (0.80, 0.25, 0.80, 0.22), (0.1,) * 4),
)
"""`SAWYER_PUSH` from anywhere: the hand may start beyond the puck, and has to go round it before it can push."""


def ask(achieved_m: ArrayLike, target_m: ArrayLike, held_m: float, puck_stays: bool = True) -> Array:
    """What is asked for at present: hand to the puck where it lies and, once it is held, the puck to the target.

    Parameters
    ----------
    achieved_m : (4,) [m]
        Hand and puck, x and y.
    target_m : (2,) [m]
        Of the puck.
    held_m : float
        The fork holds the puck when the hand is closer to it than this.
    puck_stays : bool
        Whether the puck is to stay until then. For a learner that sums rewards it is to be at the target all along:
        catching it would cost such a one.

    Returns
    -------
    (4,) float32 [m]
        The goal of the moment; what is judged is the target.

    Notes
    -----
    Source: the paper's rule of two stages for its TDM. The hand is to be where the puck is now in both, so that it does
    not run ahead of a puck that it pushes.
    """
    hand, puck = np.split(np.asarray(achieved_m, np.float32), 2)
    target = np.asarray(target_m, np.float32)
    held = float(np.linalg.norm(hand - puck)) < held_m
    return np.concatenate((puck, puck if puck_stays and not held else target))
