"""Drive home: all joints start and arrive together, and slow down before the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.limits import Limits
from tdm_ros.robot.sawyer import QD_MAX_RAD_S

HOME_LIMITS = Limits(box_low_m=(0.15, -1.0, 0.02), box_high_m=(1.1, 1.0, 1.2))
"""Wider than the box of a policy, so that the straight way home does not end in one of its corners; the table
and the robot's own body stay out of it."""

TOLERANCE_RAD = 0.03
STILL_RAD_S = 0.05


def home_velocity(
    q_rad: ArrayLike, target_rad: ArrayLike, speed: float = 0.4, gain_hz: float = 4.0
) -> NDArray[np.float64]:
    """Joint velocities towards a posture.

    Parameters
    ----------
    q_rad, target_rad : (J,) [rad]
    speed : float
        Largest velocity as a fraction of each joint's limit, in (0, 1].
    gain_hz : float
        Near the target the velocity is this times what is left [1/s].

    Returns
    -------
    (J,) float64 [rad/s]
        Along the straight line to the target, so that the joints arrive together.

    Raises
    ------
    ValueError
        If the speed or the gain is out of range, or the shapes differ.
    """
    if not 0 < speed <= 1:
        raise ValueError(f"speed must be in (0, 1], got {speed}")
    if not 0 < gain_hz <= 10:
        raise ValueError(f"gain_hz must be in (0, 10] 1/s to be stable at 20 Hz, got {gain_hz}")
    left = np.asarray(target_rad, np.float64) - np.asarray(q_rad, np.float64)
    if left.shape != QD_MAX_RAD_S.shape:
        raise ValueError(f"q_rad and target_rad must be {len(QD_MAX_RAD_S)} angles each, got {left.shape}")
    velocity = gain_hz * left
    slow_down = max(1.0, float(np.max(np.abs(velocity) / (speed * QD_MAX_RAD_S))))
    return velocity / slow_down


def at_home(q_rad: ArrayLike, qd_rad_s: ArrayLike, target_rad: ArrayLike) -> bool:
    """Whether every joint is within 0.03 rad of the posture, (J,) [rad], and slower than 0.05 rad/s."""
    gap = np.abs(np.asarray(q_rad, np.float64) - np.asarray(target_rad, np.float64))
    return bool(gap.max() < TOLERANCE_RAD and np.abs(np.asarray(qd_rad_s, np.float64)).max() < STILL_RAD_S)
