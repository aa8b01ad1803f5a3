"""The paper's reaching task: a seven-joint arm driven by torques.

Source: arXiv 1802.09081 and rlkit v0.1.2 (facts only): observations, torques, starts and goals.
"""

from __future__ import annotations

from tdm_ros.tasks.locomotion import free, motors
from tdm_ros.tasks.spec import HORIZON, Channels, TaskSpec

_REACHER_JOINTS = (
    *("shoulder_pan", "shoulder_lift", "upper_arm_roll", "elbow_flex"),
    *("forearm_roll", "wrist_flex", "wrist_roll"),
)

REACHER = TaskSpec(
    name="reacher",
    observation=free(
        (*_REACHER_JOINTS, *(f"{joint}_velocity" for joint in _REACHER_JOINTS), "x", "y", "z"), "rad, rad/s, m"
    ),
    action=motors(_REACHER_JOINTS, "N m", (2.0,) * 7),
    goal=Channels(("x", "y", "z"), "m", (-0.65, -1.45, -0.3), (0.85, 0.25, 0.55), (0.3,) * 3),
    horizon=HORIZON,
    episode_steps=100,
    rate_hz=20.0,
    success=0.05,
)
"""Bring the tip to where it is in a random posture. The box of goals holds them all; not all of it can be reached."""
