"""Limits of an arm: joints, velocities, and the box of the hand."""

from __future__ import annotations

from dataclasses import dataclass
from math import e, isfinite
from typing import NamedTuple

import numpy as np

from tdm_ros.robots.description import Array, Point
from tdm_ros.robots.sawyer import SAWYER


class HandBox(NamedTuple):
    """Axis-aligned box in frame base."""

    low_m: Array
    high_m: Array
    """(3,) [m] each"""

    def share(self, hand_m: Array, travel_m: Array) -> float:
        """Largest fraction in [0, 1] of a travel of the hand, (3,) [m], that does not lead further out."""
        room = np.where(travel_m > 0, self.high_m - hand_m, hand_m - self.low_m)
        share = np.maximum(room, 0.0) / np.maximum(np.abs(travel_m), 1e-12)
        return min(float(share.min()), 1.0)


CYCLE_S = 0.05
"""Duration of a command before the next one is limited."""

STEADY = e
"""Ratio T / D >= e at which an approach with speed = distance / T, delayed by D, never overshoots."""

OPTIONAL = {
    "age_max_s": 1.0,
    "acceleration_scale": 1.0,
    "hand_speed_m_s": 5.0,
    "singular_m": 1.0,
    "clearance_m": 0.5,
}
"""Optional limits, and the largest value of each."""


@dataclass(frozen=True)
class ArmReading:
    """Reading of an arm's sensors at one instant."""

    q_rad: Array
    qd_rad_s: Array
    """(J,) each: joint positions [rad] and velocities [rad/s]."""
    hand_m: Array
    """(3,) [m]: position of the hand in frame base."""
    age_s: float = 0.0
    """Age of the reading [s]."""
    commanded_rad_s: Array | None = None
    """(J,): joint velocities commanded in the previous cycle [rad/s]; None if unknown: ``qd_rad_s`` is used instead."""


@dataclass(frozen=True)
class Limits:
    """Limits of an arm; the defaults are for the simulated arm, `real_limits` for a real one."""

    box_low_m: Point = SAWYER.hand_box_m[0]
    box_high_m: Point = SAWYER.hand_box_m[1]
    """(3,) [m] each: corners of the box of the hand, frame base."""
    joint_margin_rad: float = 0.05
    """Distance kept from each joint limit."""
    velocity_scale: float = 1.0
    """Largest joint velocity, as a fraction of the vendor's limits, in (0, 1]."""
    torque_scale: float = 1.0
    """Largest torque, as a fraction of the actuation's scale, in (0, 1]."""
    look_ahead_s: float = 0.15
    """Time over which a commanded velocity is extrapolated. (With torques the arm is extrapolated until it could have
    stopped.)"""
    age_max_s: float | None = None
    """Largest age of a reading. This limit and those below are off if None."""
    delay_s: float = 0.0
    """Largest time for which a command stays in force after the cycle that follows its reading."""
    acceleration_scale: float | None = None
    """Largest increase of joint speed per cycle, as a fraction of the vendor's accelerations, in (0, 1]."""
    links_low_m: Point | None = None
    links_high_m: Point | None = None
    """(3,) [m] each: corners of the box of the elbow and all moving links; its lower side is their minimum height."""
    hand_speed_m_s: float | None = None
    """Largest speed of the hand."""
    singular_m: float | None = None
    """Smallest singular value of the hand's linear Jacobian [m/rad]."""
    clearance_m: float | None = None
    """Smallest distance between parts of the arm."""

    @property
    def horizon_s(self) -> float:
        """Largest age of the reading behind a command when the command ends."""
        return CYCLE_S + self.delay_s

    def __post_init__(self) -> None:
        self._check_box("box_low_m", "box_high_m")
        if (self.links_low_m is None) != (self.links_high_m is None):
            raise ValueError("Limits.links_low_m and links_high_m must both be given, or neither")
        if self.links_low_m is not None:
            self._check_box("links_low_m", "links_high_m")
        if not 0 <= self.joint_margin_rad <= 0.5:
            raise ValueError(f"Limits.joint_margin_rad must be in [0, 0.5] rad, got {self.joint_margin_rad}")
        for name in ("velocity_scale", "torque_scale"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"Limits.{name} must be in (0, 1], got {getattr(self, name)}")
        if not CYCLE_S <= self.look_ahead_s <= 2:
            raise ValueError(f"Limits.look_ahead_s must be in [{CYCLE_S}, 2] s, got {self.look_ahead_s}")
        if not 0 <= self.delay_s <= 1:
            raise ValueError(f"Limits.delay_s must be in [0, 1] s, got {self.delay_s}")
        if self.delay_s and not self.look_ahead_s >= STEADY * self.horizon_s:
            least_s = STEADY * self.horizon_s
            raise ValueError(f"Limits.look_ahead_s must be >= {least_s:.3f} s with this delay, got {self.look_ahead_s}")
        for name, most in OPTIONAL.items():
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and 0 < value <= most):
                raise ValueError(f"Limits.{name} must be in (0, {most:g}], or None to be off, got {value}")

    def _check_box(self, low_name: str, high_name: str) -> None:
        corners = {name: np.asarray(getattr(self, name), np.float64) for name in (low_name, high_name)}
        for name, corner in corners.items():
            if corner.shape != (3,) or not np.isfinite(corner).all():
                raise ValueError(f"Limits.{name} must be three finite coordinates [m], got {corner.tolist()}")
        if not (corners[low_name] < corners[high_name]).all():
            low, high = getattr(self, low_name), getattr(self, high_name)
            raise ValueError(f"Limits.{low_name} must be below {high_name}, got {low} and {high}")


REAL = {
    "joint_margin_rad": 0.1,
    "velocity_scale": 0.25,
    "look_ahead_s": 0.68,
    "age_max_s": 0.1,
    "delay_s": 0.2,
    "acceleration_scale": 0.25,
    "hand_speed_m_s": 0.2,
}
"""Conservative limits of any real arm; its boxes, clearance and singular value are its own."""


def real_limits(table_height_m: float = 0.0, tool_length_m: float = 0.0) -> Limits:
    """Conservative limits for a Sawyer at a table. Raises ValueError if no space is left above the table.

    The table's height is that of its top, or of the highest object in front of the arm, in frame base [m]. A tool's
    length is that beyond frame right_hand [m]: it is kept above the table while it points down; other directions, and
    its width, are not modelled.
    """
    return Limits(
        box_low_m=(0.39, -0.31, 0.05 + table_height_m + tool_length_m),
        box_high_m=(0.76, 0.41, 0.51),
        **REAL,
        links_low_m=(-0.25, -0.65, 0.02 + table_height_m),
        links_high_m=(0.95, 0.75, 1.1),
        singular_m=0.1,
        clearance_m=0.02,
    )


REAL_LIMITS = real_limits()
"""Limits for a bare flange over a table at the height of frame base. The box of the hand excludes what only a stretched
arm reaches; the box of the links includes what elbow and links need for it."""
