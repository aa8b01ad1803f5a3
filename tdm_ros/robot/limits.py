"""The bounds an arm is kept in, and the reading they are checked against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]

CYCLE_S = 0.05
"""How long a command acts before the next one is judged."""


@dataclass(frozen=True)
class ArmReading:
    """What the arm reports at one instant.

    Parameters
    ----------
    q_rad, qd_rad_s : (J,) float64
        Joint positions [rad] and velocities [rad/s].
    hand_m : (3,) float64 [m]
        Hand in frame base.
    """

    q_rad: Array
    qd_rad_s: Array
    hand_m: Array


@dataclass(frozen=True)
class Limits:
    """Bounds that the arm is kept in; the defaults are for the simulated arm.

    Parameters
    ----------
    box_low_m, box_high_m : (3,) tuple of float [m]
        Corners of the box that the hand stays in, frame base.
    joint_margin_rad : float
        Distance kept from each joint limit.
    velocity_scale : float
        Largest joint velocity, as a fraction of the vendor's limits, in (0, 1].
    torque_scale : float
        Largest torque, as a fraction of the actuation's scale, in (0, 1].
    look_ahead_s : float
        How far ahead a commanded velocity is followed to see where it leads. (Driven by torque, the arm is
        followed until it could have stopped.)
    """

    box_low_m: Point = (0.15, -0.60, 0.02)
    box_high_m: Point = (0.95, 0.60, 0.85)
    joint_margin_rad: float = 0.05
    velocity_scale: float = 1.0
    torque_scale: float = 1.0
    look_ahead_s: float = 0.15

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError, naming the field and what it should be, if a bound makes no sense."""
        for name in ("box_low_m", "box_high_m"):
            corner = np.asarray(getattr(self, name), np.float64)
            if corner.shape != (3,) or not np.isfinite(corner).all():
                raise ValueError(f"Limits.{name} must be three finite coordinates [m], got {corner.tolist()}")
        if not all(lo < hi for lo, hi in zip(self.box_low_m, self.box_high_m, strict=True)):
            raise ValueError(f"Limits.box_low_m must be below box_high_m, got {self.box_low_m} and {self.box_high_m}")
        if not 0 <= self.joint_margin_rad <= 0.5:
            raise ValueError(f"Limits.joint_margin_rad must be in [0, 0.5] rad, got {self.joint_margin_rad}")
        for name in ("velocity_scale", "torque_scale"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"Limits.{name} must be in (0, 1], got {getattr(self, name)}")
        if not CYCLE_S <= self.look_ahead_s <= 2:
            raise ValueError(f"Limits.look_ahead_s must be in [{CYCLE_S}, 2] s, got {self.look_ahead_s}")
