"""Meaning of an action in [-1, 1] on the arm: joint velocities or joint torques."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.sawyer import EFFORT_MAX_N_M, QD_MAX_RAD_S

Mode = Literal["velocity", "torque"]


@dataclass(frozen=True)
class Actuation:
    """One way of driving the joints.

    Parameters
    ----------
    name : str
    mode : "velocity" or "torque"
    scale : (J,) float64
        What an action of one means [rad/s or N m].
    damping_factor, friction_factor : float
        Multiply the joint damping and dry friction of the simulated arm.
    """

    name: str
    mode: Mode
    scale: NDArray[np.float64]
    damping_factor: float = 1.0
    friction_factor: float = 1.0

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


ACTUATIONS: dict[str, Actuation] = {
    a.name: a
    for a in (
        Actuation("velocity", "velocity", 0.5 * QD_MAX_RAD_S),
        Actuation("torque", "torque", 0.12 * EFFORT_MAX_N_M),
        Actuation("torque_low_damping", "torque", 0.05 * EFFORT_MAX_N_M, damping_factor=0.1, friction_factor=0.01),
    )
}
