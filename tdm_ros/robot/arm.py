"""Interface of every arm, simulated or real: no other part of the system knows which it is."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from tdm_ros.robot.actuation import Mode
from tdm_ros.robot.kinematics import HandPose
from tdm_ros.robot.limits import ArmReading, Array


class Arm(Protocol):
    """Joints that follow velocities or torques, and sensors. No call waits."""

    def reading(self) -> ArmReading:
        """What the sensors say now."""

    def hand_pose(self) -> HandPose:
        """Pose of right_hand in frame base."""

    def effort(self) -> Array:
        """Torque of the actuators, (J,) [N m]."""

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (J,) velocities [rad/s] or torques [N m] from now on."""

    def hold(self) -> None:
        """Stop, and stay."""

    def advance(self, substeps: int) -> None:
        """Let ``substeps`` x 2 ms pass; for a real arm they pass by themselves."""

    def problem(self) -> str:
        """What is wrong with the arm, so that it must not be driven, or ""."""

    def guided(self) -> bool:
        """Whether a person moves the arm by hand (Sawyer: holds its cuff), so that it follows no command."""

    def close(self) -> None:
        """Leave the arm at rest."""
