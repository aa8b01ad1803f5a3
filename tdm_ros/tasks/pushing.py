"""Pushing an object with any arm: description, sizes, observation and present goal.

The hand carries a vertical tool, a round stick along its z axis, and pushes with its tip, from any side.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robots import geometry
from tdm_ros.robots.description import Array as Array64
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import HandPose
from tdm_ros.tasks.registry import Approach, free, motors, prompt_from_behind, with_velocities
from tdm_ros.tasks.spec import HORIZON, Array, Channels, TaskSpec

EPISODE_STEPS = 80
"""Enough to go around the object, from anywhere, and to push it across its box."""
SPEED_M_S = 0.3
SUCCESS_M = 0.05
FULL_SIZE_M = 0.7
"""Size of a robot (`geometry.size`) below which object, tool, speed and success distance become smaller with it."""
HAND_ABOVE_M = 0.04
"""Height of a pushing hand above the box of its goals: its wrist passes above the object."""
HALF_SIDE_M = 0.15
"""Half of the longest side of the object's box."""
BEYOND_M = 0.03
"""Distance by which the tip may leave the box of the hand's goals: it stands behind an object at the edge."""
ROOM_M = 0.025
"""Space of the tip around its place behind an object at the edge of its box; twice that where the arm reaches it."""
CLEAR_M = 0.02
"""Space between tool and object before a push."""


class PushSetup(NamedTuple):
    """Sizes of pushing with a robot."""

    scale: float
    """1; less for a robot smaller than `FULL_SIZE_M`."""
    radius_m: float
    half_height_m: float
    """Of the object, a cylinder on the table."""
    tool_radius_m: float
    tool_length_m: float
    """The tool reaches from the hand to its tip, the centre of its round end."""
    speed_m_s: float
    """Speed of the tip along an axis for an action of 1."""
    object_low_m: Array64
    object_high_m: Array64
    """(2,) each: box of the object's starts and targets."""
    tip_low_m: Array64
    tip_high_m: Array64
    """(3,) each: box that the tip is kept in."""
    approach: Approach

    def movable(self, object_m: ArrayLike) -> bool:
        """Whether the tip can stand behind an object at (2,) [m] on every side."""
        room_m, place_m = self.approach.behind_m, np.asarray(object_m, np.float64)
        low_m, high_m = self.tip_low_m[:2] + room_m, self.tip_high_m[:2] - room_m
        return bool(((place_m >= low_m) & (place_m <= high_m)).all())


@cache
def push_setup(robot: Robot) -> PushSetup:
    """Sizes of pushing with a robot, from its size and the box of its goals."""
    scale = min(1.0, geometry.size(robot) / FULL_SIZE_M)
    radius_m, half_height_m = scale * geometry.PUCK_RADIUS_M, scale * geometry.PUCK_HALF_HEIGHT_M
    tool_radius_m = scale * geometry.FORK_RADIUS_M
    contact_m = radius_m + tool_radius_m
    approach = Approach(
        behind_m=contact_m + scale * CLEAR_M,
        over_m=scale * 0.08,
        contact_m=contact_m,
        placed_m=scale * 0.016,
        aligned_m=scale * 0.035,
        low_m=scale * 0.02,
        arrived_m=scale * 0.015,
        aback_m=contact_m / 2,
    )
    low_m, high_m = np.array(robot.goal_box_m)[:, :2] + scale * BEYOND_M * np.array([[-1.0], [1.0]])
    middle_m, around_m = (low_m + high_m) / 2, approach.behind_m + scale * ROOM_M
    half_m = np.minimum((high_m - low_m) / 2 - around_m, scale * HALF_SIDE_M)
    around_m += scale * ROOM_M
    low_m, high_m = np.maximum(low_m, middle_m - half_m - around_m), np.minimum(high_m, middle_m + half_m + around_m)
    return PushSetup(
        scale=scale,
        radius_m=radius_m,
        half_height_m=half_height_m,
        tool_radius_m=tool_radius_m,
        tool_length_m=robot.goal_box_m[0][2] + scale * HAND_ABOVE_M - half_height_m,
        speed_m_s=scale * SPEED_M_S,
        object_low_m=middle_m - half_m,
        object_high_m=middle_m + half_m,
        tip_low_m=np.array([*low_m, half_height_m]),
        tip_high_m=np.array([*high_m, half_height_m + approach.over_m + approach.low_m]),
        approach=approach,
    )


_TIP = ("tip_x", "tip_y", "tip_z")
_OBJECT = ("object_x", "object_y")
_AXES = ("x_velocity", "y_velocity", "z_velocity")


@cache
def push_task(robot: Robot) -> TaskSpec:
    """Description of pushing with a robot: the goal is the tip and the object, the score that of the object alone."""
    setup, joints = push_setup(robot), len(robot.joint_names)
    names = (*with_velocities(robot.joint_names), *_TIP, *_OBJECT, "object_x_ahead", "object_y_ahead")
    return TaskSpec(
        name=f"{robot.name}_push_velocity",
        observation=free(names, "rad, rad/s, m"),
        action=motors(tuple(f"tip_{axis}" for axis in _AXES), "m/s", (setup.speed_m_s,) * 3),
        goal=Channels(
            names=(*_TIP, *_OBJECT),
            unit="m",
            low=(*setup.tip_low_m.tolist(), *setup.object_low_m.tolist()),
            high=(*setup.tip_high_m.tolist(), *setup.object_high_m.tolist()),
            scale=(0.1 * setup.scale,) * 5,
        ),
        horizon=HORIZON,
        episode_steps=EPISODE_STEPS,
        score=((1.0, (3, 4)),),
        success=SUCCESS_M * setup.scale,
        frame=robot.base_frame,
        angles=tuple(range(joints)),
    )


def tool_ends_m(robot: Robot) -> tuple[float, ...]:
    """Ends of the tool's axis at the hand and at its tip, (6,) [m], in the frame of the last link."""
    start = robot.hand[:3, 3]
    return (*start.tolist(), *(start + push_setup(robot).tool_length_m * robot.hand[:3, 2]).tolist())


def tip_of(hand: HandPose, setup: PushSetup) -> Array64:
    """Position of the tool's tip, (3,) [m], for a pose of the hand."""
    return hand.position_m + setup.tool_length_m * hand.rotation[:, 2]


def observe_push(q_rad: ArrayLike, qd_rad_s: ArrayLike, tip_m: ArrayLike, object_m: ArrayLike) -> Array:
    """Observation: joints (J,) [rad], (J,) [rad/s], tip (3,) and object (2,) [m] -> (2 J + 7,) float32.

    The last two are the object's position relative to the tip.
    """
    tip, object_ = np.asarray(tip_m, np.float64), np.asarray(object_m, np.float64)
    return np.concatenate((q_rad, qd_rad_s, tip, object_, object_ - tip[:2])).astype(np.float32)


def present_push_goal(achieved_m: ArrayLike, target_m: ArrayLike, setup: PushSetup, object_stays: bool = True) -> Array:
    """Present goal, (5,) float32 [m], for tip and object, (5,), and the object's target, (2,) [m]."""
    achieved = np.asarray(achieved_m, np.float64)
    object_m = (*achieved[3:], setup.half_height_m)
    return prompt_from_behind(achieved[:3], object_m, target_m, object_stays, setup.approach)
