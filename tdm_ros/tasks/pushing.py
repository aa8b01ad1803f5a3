"""Pushing: an arm that brings a puck to a target with a fork, the paper's planar one or Sawyer."""

from __future__ import annotations

from tdm_ros.robot.sawyer import JOINT_NAMES
from tdm_ros.tasks.locomotion import free, motors
from tdm_ros.tasks.spec import Channels, TaskSpec

_PUSHER_JOINTS = ("shoulder", "elbow", "wrist")
_PLACES = ("hand_x", "hand_y", "puck_x", "puck_y")

PUSHER = TaskSpec(
    name="pusher",
    observation=free((*_PUSHER_JOINTS, *(f"{joint}_velocity" for joint in _PUSHER_JOINTS), *_PLACES), "rad, rad/s, m"),
    action=motors(_PUSHER_JOINTS, "N m", (3.0,) * 3),
    goal=Channels(_PLACES, "m", (-1.0, -1.0) * 2, (0.0, 1.0) * 2, (0.4,) * 4),
    horizon=5,
    episode_steps=100,
    rate_hz=20.0,
    score=((1.0, (2, 3)),),
    success=0.1,
)
"""Push a puck to a target; the hand is to end around it. Judged by the puck alone.

Source: arXiv 1802.09081 (observation, torques, starts, targets); the arm is our own.
"""

SAWYER_PUSH = TaskSpec(
    name="sawyer_push",
    observation=free(
        (*JOINT_NAMES, *(f"{joint}_velocity" for joint in JOINT_NAMES), "hand_x", "hand_y", "hand_z", *_PLACES[2:]),
        "rad, rad/s, m",
    ),
    action=motors(("hand_x_velocity", "hand_y_velocity"), "m/s", (0.3, 0.3)),
    goal=Channels(_PLACES, "m", (0.60, -0.25) * 2, (0.80, 0.25) * 2, (0.1,) * 4),
    horizon=15,
    episode_steps=64,
    rate_hz=20.0,
    score=((1.0, (2, 3)),),
    success=0.05,
)
"""Push a puck over Sawyer's table; the hand is to end around it. Judged by the puck alone. 64 steps are 4 times the
horizon's 16. Success as in Gymnasium-Robotics' FetchPush."""
