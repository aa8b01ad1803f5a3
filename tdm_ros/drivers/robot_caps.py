"""Bounds that the watchdog of a topic-driven arm puts on commands, from the description of the arm."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.drivers.intera.command_watchdog import Caps
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.kinematics import jacobian


def robot_caps(given: argparse.Namespace) -> Caps:
    """Bounds for ``given.robot``, a name or file: shares of its velocities, and the torques of its largest action.

    Raises ValueError if there is no such description.
    """
    robot = load_robot(given.robot)

    def hand_speed_m_s(q_rad: ArrayLike, qd_rad_s: ArrayLike) -> float:
        return float(np.linalg.norm(jacobian(q_rad, robot)[:3] @ np.asarray(qd_rad_s)))

    return Caps(
        velocity_rad_s=tuple((given.velocity_scale * robot.velocity_rad_s).tolist()),
        torque_n_m=tuple(actuations(robot)["torque"].scale.tolist()),
        allow_torque=given.allow_torque,
        hand_speed_m_s=given.hand_speed_m_s,
        hand_speed=hand_speed_m_s,
    )
