"""One control cycle of an arm, and the drive home."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.arm import Actuation, Arm
from tdm_ros.robots.description import Robot
from tdm_ros.robots.limiter import ArmReading, Limited, Limiter
from tdm_ros.robots.sawyer import SAWYER

SPEED = 0.4
"""Largest velocity, as a fraction of each joint's limit."""
GAIN_HZ = 4.0
"""Ratio of velocity to remaining distance near the target [1/s]."""

TOLERANCE_RAD = 0.03
STILL_RAD_S = 0.05


def home_velocity(q_rad: ArrayLike, target_rad: ArrayLike, robot: Robot = SAWYER) -> NDArray[np.float64]:
    """Joint velocities, (J,) [rad/s], towards a posture: (J,) [rad] each.

    Along the straight line to the target, so that the joints arrive together. Raises ValueError if the shapes differ.
    """
    left = np.asarray(target_rad, np.float64) - np.asarray(q_rad, np.float64)
    if left.shape != robot.velocity_rad_s.shape:
        raise ValueError(f"q_rad and target_rad must be {len(robot.velocity_rad_s)} angles each, got {left.shape}")
    velocity = GAIN_HZ * left
    return velocity / max(1.0, float(np.max(np.abs(velocity) / (SPEED * robot.velocity_rad_s))))


def at_home(q_rad: ArrayLike, qd_rad_s: ArrayLike, target_rad: ArrayLike) -> bool:
    """Whether every joint is within 0.03 rad of the posture, (J,) [rad], and slower than 0.05 rad/s."""
    gap = np.abs(np.asarray(q_rad, np.float64) - np.asarray(target_rad, np.float64))
    return bool(gap.max() < TOLERANCE_RAD and np.abs(np.asarray(qd_rad_s, np.float64)).max() < STILL_RAD_S)


@dataclass(frozen=True)
class CycleResult:
    """Motion that was executed during one cycle."""

    action: NDArray[np.float32]
    """(J,), in [-1, 1]: mean over the cycle, weighted by time; zero while holding."""
    limited: bool
    """Whether the limiter changed a command of this cycle."""
    layer: str
    """Layer of the limiter that acted last; empty if none."""


class ArmCycle:
    """Control cycle of an arm: limits commands and measures the executed action. Shared by environment and arm node."""

    def __init__(self, arm: Arm, limiter: Limiter, actuation: Actuation) -> None:
        self.arm = arm
        self.limiter = limiter
        self.actuation = actuation
        self._wanted: NDArray[np.float64] | None = None
        self.restart()

    def restart(self) -> None:
        """Start over and hold; required after a reset of a simulated arm."""
        self._layer = ""
        self._substeps = 0
        self._sum = np.zeros(self.actuation.scale.shape)
        self._continued = False
        self._before: NDArray[np.float64] | None = None
        self.hold()

    def reading(self) -> ArmReading:
        """Present reading, with the velocities that were commanded at the end of the previous cycle."""
        return replace(self.arm.reading(), commanded_rad_s=self._before)

    def problem(self) -> str:
        """Reason why the arm must not be driven, or ""."""
        return self.arm.problem()

    def guided(self) -> bool:
        """Whether the operator moves the arm by hand, so that it follows no command."""
        return self.arm.guided()

    def command(self, values: ArrayLike) -> Limited:
        """Follow (J,) [rad/s or N m], limited, from now on; hold if they are rejected."""
        limited = self.limiter.apply(values, self.reading())
        if limited.rejected:
            self.hold()
        else:
            self._wanted, self._moving = np.array(values, np.float64), limited.command
            self._continued = False
            self.arm.drive(self.actuation.mode, limited.command)
        self._layer = limited.layer or self._layer
        return limited

    def hold(self) -> None:
        """Stop, and stay."""
        self._wanted = None
        self._moving = np.zeros(self.actuation.scale.shape)
        self.arm.hold()

    def advance(self, substeps: int) -> None:
        """Advance by ``substeps`` x 2 ms. A command kept from the previous cycle is limited again first.

        Raises ValueError if ``substeps`` is negative.
        """
        if substeps and self._continued and self._wanted is not None:
            self.command(self._wanted)
        self.arm.advance(substeps)
        self._sum += substeps * self._moving
        self._substeps += substeps

    def finish(self) -> CycleResult:
        """End the cycle, return its executed motion, and start the next one."""
        mean = self._sum / max(self._substeps, 1)
        executed = CycleResult(self.actuation.to_action(mean), bool(self._layer), self._layer)
        self._layer = ""
        self._substeps = 0
        self._continued = True
        self._before = self._moving if self.actuation.mode == "velocity" else None
        self._sum = np.zeros_like(self._sum)
        return executed
