"""Names and numbers on which an arm's Gazebo world and its driver agree, from the arm's description."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from tdm_ros.robots.description import Array, Robot

JOINT_STATES = "gz/joint_states"
"""ROS topic of the joint states, for every arm."""
KEYS = ("start_rad", "servo_n_m_s_rad")
"""Keys of `drivers.gazebo` of a description: posture where the joints of the world are at 0, and gains of the servo
that keeps a velocity by torques [N m per rad/s of error], one number for each joint."""


def model_name(robot: Robot) -> str:
    """Name of the model: that of the robot, with underscores for what topics of Gazebo cannot have."""
    return re.sub(r"\W", "_", robot.name, flags=re.ASCII)


def world_name(robot: Robot) -> str:
    """Name of the world."""
    return f"tdm_{model_name(robot)}"


def control_service(robot: Robot) -> str:
    """Service that runs, pauses and steps the world, of Gazebo and of ROS 2."""
    return f"/world/{world_name(robot)}/control"


def joint_states_topic(robot: Robot) -> str:
    """Gazebo topic of the joint states."""
    return f"/{model_name(robot)}/joint_states"


@cache
def joint_topics(robot: Robot) -> tuple[str, ...]:
    """Names of the joints in topics: their own or, where one of them is no name of ROS 2, joint_1, joint_2, ..."""
    names = robot.joint_names
    if all(re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name) for name in names):
        return names
    return tuple(f"joint_{i}" for i in range(1, len(names) + 1))


def ros_command_topics(robot: Robot, by_torque: bool) -> list[str]:
    """ROS topics of the joints' velocities [rad/s] or torques [N m]."""
    end = "cmd_force" if by_torque else "cmd_vel"
    return [f"gz/{name}/{end}" for name in joint_topics(robot)]


def command_topics(robot: Robot, by_torque: bool) -> list[str]:
    """Gazebo topics of the joints' velocities [rad/s] or torques [N m].

    Source: gz-sim's JointController, and ApplyJointForce, whose topic (versions 8 to 11) contains the model's name.
    """
    if by_torque:
        return [f"/model/{model_name(robot)}/joint/{name}/cmd_force" for name in robot.joint_names]
    return [f"/{model_name(robot)}/{name}/cmd_vel" for name in joint_topics(robot)]


def start_rad(robot: Robot) -> Array:
    """Posture at the start of a world, (J,) [rad]: home, unless the description has another one.

    SDF has no initial posture: the joints of the model are at 0 there. Raises ValueError if it is outside the limits.
    """
    start = _numbers(robot, "start_rad")
    if start is None:
        return robot.home_rad
    if not ((robot.lower_rad <= start) & (start <= robot.upper_rad)).all():
        raise ValueError(
            f"{robot.name}: drivers.gazebo.start_rad must be within the joint limits, got {start.tolist()}"
        )
    return start


def servo_n_m_s_rad(robot: Robot) -> Array:
    """Gains of the servo that keeps a velocity by torques, (J,) [N m per rad/s]; ValueError if there are none."""
    gains = _numbers(robot, "servo_n_m_s_rad")
    if gains is None:
        raise ValueError(
            f"the description of robot {robot.name} has no drivers.gazebo.servo_n_m_s_rad, without which no torque "
            "keeps a velocity in Gazebo: add it, or take actuation velocity"
        )
    return gains


def _numbers(robot: Robot, key: str) -> Array | None:
    """Numbers of `drivers.gazebo`, one for each joint; None if there are none."""
    entry = robot.drivers.get("gazebo") or {}
    if not isinstance(entry, dict) or (unknown := sorted(map(str, {*entry} - {*KEYS}))):
        got = ", ".join(unknown) if isinstance(entry, dict) else repr(entry)
        raise ValueError(f"{robot.name}: drivers.gazebo must have no key but {', '.join(KEYS)}, got {got}: correct it")
    if entry.get(key) is None:
        return None
    joints = len(robot.joint_names)
    try:
        numbers = np.array(entry[key], np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (joints,) or not np.isfinite(numbers).all():
        raise ValueError(f"{robot.name}: drivers.gazebo.{key} must be {joints} finite numbers, got {entry[key]!r}")
    return numbers
