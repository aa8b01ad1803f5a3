"""The paper's locomotion tasks: speed of a half-cheetah, position of an ant, position and velocity of an ant.

Source: arXiv 1802.09081 and rlkit v0.1.2 (facts only): observations, goals, horizons and lengths of episodes.
"""

from __future__ import annotations

import numpy as np

from tdm_ros.tasks.spec import HORIZON, Channels, TaskSpec

_CHEETAH_JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
_ANT_JOINTS = tuple(f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle"))
_ANT_MOTORS = tuple(f"{part}_{leg}" for leg in (4, 1, 2, 3) for part in ("hip", "ankle"))


def free(names: tuple[str, ...], unit: str) -> Channels:
    """Describe a vector without bounds, whose values are of the order of one."""
    size = len(names)
    return Channels(names, unit, (-np.inf,) * size, (np.inf,) * size, (1.0,) * size)


def motors(names: tuple[str, ...], unit: str, largest: tuple[float, ...]) -> Channels:
    """Describe an action in [-1, 1], where one means ``largest`` [unit]."""
    size = len(names)
    return Channels(names, unit, (-1.0,) * size, (1.0,) * size, largest)


CHEETAH = TaskSpec(
    name="cheetah",
    observation=free(
        (
            *("height", "pitch", *_CHEETAH_JOINTS),
            *("x_velocity", "z_velocity", "pitch_velocity"),
            *(f"{joint}_velocity" for joint in _CHEETAH_JOINTS),
        ),
        "m, rad, m/s, rad/s",
    ),
    action=motors(_CHEETAH_JOINTS, "N m", (120.0, 90.0, 60.0, 120.0, 60.0, 30.0)),
    goal=Channels(("x_velocity",), "m/s", (-6.0,), (6.0,), (2.0,)),
    horizon=HORIZON,
    episode_steps=99,
    rate_hz=20.0,
    success=0.5,
)
"""Run at a speed, forwards or backwards. 99 steps are 9 times the horizon's 11."""

_ANT = (
    *("height", "quat_w", "quat_x", "quat_y", "quat_z", *_ANT_JOINTS),
    *("x_velocity", "y_velocity", "z_velocity", "roll_velocity", "pitch_velocity", "yaw_velocity"),
    *(f"{joint}_velocity" for joint in _ANT_JOINTS),
    *("x", "y", "z"),
)
_ANT_MOTOR_N_M = 30.0
_ANT_ACTION = motors(_ANT_MOTORS, "N m", (_ANT_MOTOR_N_M,) * len(_ANT_MOTORS))

ANT_POSITION = TaskSpec(
    name="ant_position",
    observation=free(_ANT, "m, rad, m/s, rad/s"),
    action=_ANT_ACTION,
    goal=Channels(("x", "y"), "m", (-6.0,) * 2, (6.0,) * 2, (2.0,) * 2),
    horizon=49,
    episode_steps=50,
    rate_hz=20.0,
    success=0.5,
)
"""Walk to a point up to 6 m away along each axis, with a fifth of Gymnasium's torque. The horizon is the paper's, the
whole attempt: it is never there before."""

ANT_POSITION_VELOCITY = TaskSpec(
    name="ant_position_velocity",
    observation=free((*_ANT, "dx", "dy", "dz"), "m, rad, m/s, rad/s, m per step"),
    action=_ANT_ACTION,
    goal=Channels(
        ("x", "y", "dx", "dy"),
        "m, m per step",
        (-1.0, -1.0, -0.05, -0.05),
        (1.0, 1.0, 0.05, 0.05),
        (0.45, 0.45, 0.45, 0.05),  # 9 to 1, as the score weighs them
    ),
    horizon=32,
    episode_steps=99,
    rate_hz=20.0,
    score=((0.1, (0, 1, 2)), (0.9, (3,))),
    success=0.005,
)
"""Be at a point with a velocity, which is a displacement per step: 0.05 m are 1 m/s. The score is the authors' own,
which counts the velocity along x as a position. The horizon is the paper's: to arrive with a velocity takes a run-up,
and within 15 steps the velocity alone is the best that can be promised."""
