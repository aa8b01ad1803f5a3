"""Descriptions of all tasks.

Source: arXiv 1802.09081 and rlkit v0.1.2 (facts only): observations, torques, starts, goals, horizons, episode lengths.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robots.arm import ACTUATIONS, actuations
from tdm_ros.robots.description import Robot
from tdm_ros.robots.sawyer import JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, SAWYER
from tdm_ros.tasks.spec import HORIZON, Array, Channels, TaskSpec

_CHEETAH_JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
_ANT_JOINTS = tuple(f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle"))
_ANT_MOTORS = tuple(f"{part}_{leg}" for leg in (4, 1, 2, 3) for part in ("hip", "ankle"))


def with_velocities(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Names of joints, then of their velocities."""
    return (*joints, *(f"{joint}_velocity" for joint in joints))


def free(names: tuple[str, ...], unit: str) -> Channels:
    """Channels without bounds, with values of the order of one."""
    size = len(names)
    return Channels(names, unit, (-np.inf,) * size, (np.inf,) * size, (1.0,) * size)


def motors(names: tuple[str, ...], unit: str, largest: tuple[float, ...]) -> Channels:
    """Channels of an action in [-1, 1], with ``largest`` [unit] for 1."""
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
    success=0.5,
)
"""Run at a commanded speed, forwards or backwards. 99 steps are 9 times the horizon's 11."""

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
    success=0.5,
)
"""Walk to a point up to 6 m away along each axis, with a fifth of Gymnasium's torque. The horizon is the paper's: the
whole episode."""

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
    score=((0.1, (0, 1, 2)), (0.9, (3,))),
    success=0.005,
)
"""Be at a point with a velocity, as a displacement per step: 0.05 m are 1 m/s. The score is the authors' own, which
counts the velocity along x as a position. The horizon is the paper's: arriving with a velocity takes a run-up, for
which 15 steps are too short."""


_REACHER_JOINTS = (
    *("shoulder_pan", "shoulder_lift", "upper_arm_roll", "elbow_flex"),
    *("forearm_roll", "wrist_flex", "wrist_roll"),
)

REACHER = TaskSpec(
    name="reacher",
    observation=free((*with_velocities(_REACHER_JOINTS), "x", "y", "z"), "rad, rad/s, m"),
    action=motors(_REACHER_JOINTS, "N m", (2.0,) * 7),
    goal=Channels(("x", "y", "z"), "m", (-0.65, -1.45, -0.3), (0.85, 0.25, 0.55), (0.3,) * 3),
    horizon=HORIZON,
    episode_steps=100,
    success=0.05,
    angles=tuple(range(len(_REACHER_JOINTS))),
)
"""Move the tip to its position in a random posture. The box of goals contains them all; parts of it are unreachable."""


HALF_WIDTH_M = 1.0
"""The maze is the square from minus this to this."""
RADIUS_M = 0.04
"""Radius of the ball; a path is feasible where its centre stays this far from the walls."""
SPEED_M_S = 1.2

WALLS_M = np.array(
    [
        [[-1.0, -0.40], [0.45, -0.30]],
        [[-0.45, 0.30], [1.0, 0.40]],
        [[-0.05, -0.30], [0.05, 0.06]],
    ]
)
"""Lower and upper corners of the inner walls, (3, 2, 2) [m]; the path from lower left to upper right is an S."""

_OUT_M = HALF_WIDTH_M + 0.1
FENCE_M = np.array(
    [
        [[-_OUT_M, -_OUT_M], [_OUT_M, -HALF_WIDTH_M]],
        [[-_OUT_M, HALF_WIDTH_M], [_OUT_M, _OUT_M]],
        [[-_OUT_M, -_OUT_M], [-HALF_WIDTH_M, _OUT_M]],
        [[HALF_WIDTH_M, -_OUT_M], [_OUT_M, _OUT_M]],
    ]
)
"""Lower and upper corners of the outer walls, (4, 2, 2) [m]."""

_REACH_M = HALF_WIDTH_M - 2 * RADIUS_M

MAZE = TaskSpec(
    name="maze",
    observation=free(("x", "y", "x_velocity", "y_velocity"), "m, m/s"),
    action=motors(("x_velocity", "y_velocity"), "m/s", (SPEED_M_S,) * 2),
    goal=Channels(("x", "y"), "m", (-_REACH_M,) * 2, (_REACH_M,) * 2, (0.4,) * 2),
    horizon=HORIZON,
    episode_steps=96,
    success=0.05,
)
"""Roll to a point. 96 steps are six times the horizon's 16, in which the ball moves at most 0.9 m; the longest paths
measure 4 m. The walls are not observed: the learner has to discover what is unreachable."""


_PUSHER_JOINTS = ("shoulder", "elbow", "wrist")
_PLACES = ("hand_x", "hand_y", "puck_x", "puck_y")

PUSHER = TaskSpec(
    name="pusher",
    observation=free((*with_velocities(_PUSHER_JOINTS), *_PLACES), "rad, rad/s, m"),
    action=motors(_PUSHER_JOINTS, "N m", (3.0,) * 3),
    goal=Channels(_PLACES, "m", (-1.0, -1.0, -1.0, -1.0), (0.8, 1.0, 0.0, 1.0), (0.4,) * 4),
    horizon=HORIZON,
    episode_steps=100,
    score=((1.0, (2, 3)),),
    success=0.1,
    angles=tuple(range(len(_PUSHER_JOINTS))),
)
"""Push a puck to a target; `prompt` sets the goal of the hand. Scored by the puck alone.

Source: arXiv 1802.09081 (observation, torques, starts, targets); the arm is our own.
"""

SAWYER_PUSH = TaskSpec(
    name="sawyer_push",
    observation=free((*with_velocities(JOINT_NAMES), "hand_x", "hand_y", "hand_z", *_PLACES[2:]), "rad, rad/s, m"),
    action=motors(("hand_x_velocity", "hand_y_velocity"), "m/s", (0.3, 0.3)),
    goal=Channels(_PLACES, "m", (0.54, -0.25, 0.60, -0.25), (0.80, 0.25, 0.80, 0.25), (0.1,) * 4),
    horizon=HORIZON,
    episode_steps=64,
    score=((1.0, (2, 3)),),
    success=0.05,
    angles=tuple(range(len(JOINT_NAMES))),
)
"""Push a puck over Sawyer's table; `prompt` sets the goal of the hand. Scored by the puck alone. 64 steps are 4 times
the horizon's 16. Success as in Gymnasium-Robotics' FetchPush."""

SAWYER_PUSH_AROUND = replace(
    SAWYER_PUSH,
    name="sawyer_push_around",
    goal=Channels(_PLACES, "m", (0.42, -0.25, 0.48, -0.22), (0.80, 0.25, 0.80, 0.22), (0.1,) * 4),
)
"""`SAWYER_PUSH` from anywhere: the hand may start beyond the puck, and must move around it before it can push."""


FETCH_PUSH = TaskSpec(
    name="fetch_push",
    observation=free(
        (
            *("hand_x", "hand_y", "hand_z", "object_x", "object_y", "object_z"),
            *("object_x_ahead", "object_y_ahead", "object_z_ahead", "right_finger", "left_finger"),
            *("object_roll", "object_pitch", "object_yaw"),
            *("object_x_velocity", "object_y_velocity", "object_z_velocity"),
            *("object_roll_velocity", "object_pitch_velocity", "object_yaw_velocity"),
            *("hand_x_velocity", "hand_y_velocity", "hand_z_velocity"),
            *("right_finger_velocity", "left_finger_velocity"),
        ),
        "m, rad, m and rad per step",
    ),
    action=motors(
        ("hand_x", "hand_y", "hand_z", "fingers"), "m per step (the fingers stay closed)", (0.05, 0.05, 0.05, 1.0)
    ),
    goal=Channels(
        ("hand_x", "hand_y", "hand_z", "object_x", "object_y"),
        "m",
        (1.21, 0.59, 0.425, 1.21, 0.59),
        (1.52, 0.91, 0.425, 1.52, 0.91),
        (0.1,) * 5,
    ),
    horizon=HORIZON,
    episode_steps=50,
    rate_hz=25.0,
    score=((1.0, (3, 4)),),
    success=0.05,
)
"""Gymnasium-Robotics' FetchPush-v4 with a goal of hand and object; `prompt_from_behind` sets the goal of the hand.
Scored by the object alone, as FetchPush is: on its table, object and target have the same height."""


def prompt(achieved_m: ArrayLike, target_m: ArrayLike, held_m: float, puck_stays: bool = True) -> Array:
    """Present goal of hand and puck: the hand to the puck and, once the fork holds it, the puck to the target.

    Hand and puck, x and y, (4,) [m], and the target of the puck, (2,) [m] -> (4,) float32 [m]. The fork holds the puck
    below the distance ``held_m``. Until then the puck's goal is its present position if ``puck_stays``; for learners
    that sum rewards it is the target from the start: otherwise holding the puck would reduce the return. The score
    refers to the target.

    Source: the paper's rule of two stages for its TDM. The hand's goal is the puck's present position in both, so that
    it does not move ahead of a puck that it pushes.
    """
    hand, puck = np.split(np.asarray(achieved_m, np.float32), 2)
    target = np.asarray(target_m, np.float32)
    held = float(np.linalg.norm(hand - puck)) < held_m
    return np.concatenate((puck, puck if puck_stays and not held else target))


class Approach(NamedTuple):
    """Distances of a hand that pushes an object [m]."""

    behind_m: float
    over_m: float
    contact_m: float
    """Horizontal distance of the hand from the object before a push, its height above the object while it moves around,
    and its horizontal distance while it pushes."""
    placed_m: float
    aligned_m: float
    low_m: float
    arrived_m: float
    """Distances within which the hand is behind the object, before it goes down; is in line with it, while it pushes;
    is at its height; and within which the object is at its target."""
    aback_m: float = np.inf
    """Distance behind the object's centre, along the push, from which a low hand returns into line without rising."""


CUBE = Approach(0.07, 0.08, 0.05, placed_m=0.02, aligned_m=0.02, low_m=0.02, arrived_m=0.015)
"""For FetchPush's cube, whose half edges are 2.5 cm."""


def prompt_from_behind(
    hand_m: ArrayLike,
    object_m: ArrayLike,
    target_m: ArrayLike,
    object_stays: bool = True,
    approach: Approach = CUBE,
) -> Array:
    """Present goal of a hand that moves over the object to its far side from the target, and pushes it from there.

    Hand (3,), object (3,) and target of the object (2,) [m] -> hand and object x and y, (5,) float32 [m]. Until the
    hand pushes, the object's goal is its present position if ``object_stays``, else the target, as for `prompt`.

    Source: the paper's rule of two stages, as in `prompt`, with a path around the object.
    """
    hand, object_ = np.asarray(hand_m, np.float64), np.asarray(object_m, np.float64)
    target = np.asarray(target_m, np.float64)
    gap, over = target - object_[:2], object_[2] + approach.over_m
    distance = float(np.linalg.norm(gap))
    ahead = gap / max(distance, approach.arrived_m)
    behind, offset = object_[:2] - approach.behind_m * ahead, hand[:2] - object_[:2]
    along = float(offset @ ahead)
    aside = float(np.linalg.norm(offset - along * ahead))
    low = hand[2] < object_[2] + approach.low_m
    pushes = along < 0 and aside < approach.aligned_m and low
    if distance < approach.arrived_m:
        place = (*hand,)
    elif pushes:
        place = (*(target - approach.contact_m * ahead), object_[2])
    elif np.linalg.norm(hand[:2] - behind) < approach.placed_m or (low and along < -approach.aback_m):
        place = (*behind, object_[2])
    elif hand[2] < over - approach.low_m and np.linalg.norm(offset) < approach.behind_m + approach.aligned_m:
        place = (*hand[:2], over)  # up first: the object is in the way
    else:
        place = (*behind, over)
    stays = object_stays and (distance < approach.arrived_m or not pushes)
    return np.concatenate((place, object_[:2] if stays else target)).astype(np.float32)


GOAL_SCALE = 0.35
"""Typical distance of goals of the hand, relative to the mean side of the box that they are drawn from."""


@cache
def reach_task(robot: Robot, actuation: str = "velocity") -> TaskSpec:
    """Description of reaching with a robot and one of its `actuations`; KeyError if there is none of that name."""
    used, speed = actuations(robot)[actuation], robot.velocity_rad_s.tolist()
    joints, infinite = len(robot.joint_names), (np.inf,) * 3
    low_m, high_m = robot.goal_box_m
    scale_m = round(GOAL_SCALE * float(np.mean(np.subtract(high_m, low_m))), 2)
    return TaskSpec(
        name=f"{robot.name}_reach_{actuation}",
        observation=Channels(
            names=(*with_velocities(robot.joint_names), "hand_x", "hand_y", "hand_z"),
            unit="rad, rad/s, m",
            low=(*robot.lower_rad.tolist(), *(-x for x in speed), *(-x for x in infinite)),
            high=(*robot.upper_rad.tolist(), *speed, *infinite),
            scale=(1.0,) * (2 * joints + 3),
        ),
        action=motors(robot.joint_names, used.unit, tuple(used.scale.tolist())),
        goal=Channels(names=("x", "y", "z"), unit="m", low=low_m, high=high_m, scale=(scale_m,) * 3),
        horizon=HORIZON,
        episode_steps=50,
        frame=robot.base_frame,
        angles=tuple(range(joints)),
    )


SAWYER_REACH: dict[str, TaskSpec] = {name: reach_task(SAWYER, name) for name in ACTUATIONS}
"""Reaching task per actuation: velocity, torque, torque_low_damping."""

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
"""Reaching all around the robot, whose first joint has limits behind it. Scored by the hand. The joint is part of the
goal, because near its limit the hand's position alone does not determine what is reachable. The box of goals contains
them all; they are drawn from a ring around the base."""


def observe(q_rad: ArrayLike, qd_rad_s: ArrayLike, hand_m: ArrayLike) -> Array:
    """Observation of reaching: (J,) [rad], (J,) [rad/s], (3,) [m] -> (2J + 3,) float32."""
    return np.concatenate([np.asarray(q_rad), np.asarray(qd_rad_s), np.asarray(hand_m)]).astype(np.float32)
