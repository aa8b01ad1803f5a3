"""Interface of every arm, simulated or real, and the meaning of its actions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import HandPose
from tdm_ros.robots.limits import ArmReading, Array
from tdm_ros.robots.sawyer import SAWYER

Mode = Literal["velocity", "torque"]


@dataclass(frozen=True)
class Actuation:
    """Actuation of the joints: command mode and scale of the actions."""

    name: str
    mode: Mode
    scale: NDArray[np.float64]
    """(J,): command for an action of 1 [rad/s or N m]."""
    damping_factor: float = 1.0
    friction_factor: float = 1.0
    """Factors of the simulated arm's joint damping and dry friction."""

    @property
    def unit(self) -> str:
        """Unit of a command: rad/s or N m."""
        return "rad/s" if self.mode == "velocity" else "N m"

    def to_command(self, action: ArrayLike) -> NDArray[np.float64]:
        """Scale an action, (J,) in [-1, 1] (clipped), to a command, (J,) [rad/s or N m]."""
        return np.clip(np.asarray(action, np.float64), -1.0, 1.0) * self.scale

    def to_action(self, command: ArrayLike) -> NDArray[np.float32]:
        """Scale a command, (J,) [rad/s or N m], back to an action, (J,) float32."""
        return (np.asarray(command, np.float64) / self.scale).astype(np.float32)


@cache
def actuations(robot: Robot) -> dict[str, Actuation]:
    """Actuations of a robot by name: velocity, torque, torque_low_damping."""
    speed, effort = robot.velocity_rad_s, robot.effort_n_m
    made = (
        Actuation("velocity", "velocity", 0.5 * speed),
        Actuation("torque", "torque", 0.12 * effort),
        Actuation("torque_low_damping", "torque", 0.05 * effort, damping_factor=0.1, friction_factor=0.01),
    )
    return {actuation.name: actuation for actuation in made}


ACTUATIONS = actuations(SAWYER)
"""Those of Sawyer."""


class Arm(Protocol):
    """Interface of an arm: commands for its joints, and its sensors. No call blocks."""

    def reading(self) -> ArmReading:
        """Present sensor reading."""

    def hand_pose(self) -> HandPose:
        """Pose of the hand in the base frame."""

    def effort(self) -> Array:
        """Torque of the actuators, (J,) [N m]."""

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (J,) velocities [rad/s] or torques [N m] from now on."""

    def hold(self) -> None:
        """Stop, and stay."""

    def advance(self, substeps: int) -> None:
        """Advance a simulated arm by ``substeps`` x 2 ms; no effect on a real one."""

    def problem(self) -> str:
        """Reason why the arm must not be driven, or ""."""

    def guided(self) -> bool:
        """Whether the operator moves the arm by hand (Sawyer: cuff squeezed), so that it follows no command."""

    def close(self) -> None:
        """Leave the arm at rest."""
