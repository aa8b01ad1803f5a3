"""Velocity of the hand to joint velocity by damped least squares; the limiter checks the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.kinematics import jacobian

Array = NDArray[np.float64]

DAMPING_M2 = 1e-3
"""For a person's velocities: away from singular postures the hand follows within a few percent, and in one the joints
get no faster than sixteen times the hand's speed in m/s, as rad/s."""


def joint_velocity(
    q_rad: ArrayLike, twist: ArrayLike, damping_m2: float = DAMPING_M2, toward_rad_s: ArrayLike | None = None
) -> Array:
    """Joint velocities, (7,) [rad/s], that move the hand as asked, as nearly as is reasonable.

    Parameters
    ----------
    q_rad : (7,) [rad]
    twist : (6,)
        Velocity [m/s], then angular velocity [rad/s], of right_hand in frame base. An angular velocity of zero asks
        for a hand that keeps its attitude.
    damping_m2 : float
        The larger, the slower the joints, and the less exact the hand, near singular postures.
    toward_rad_s : (7,) [rad/s], optional
        What the joints do as far as the hand does not notice; left out, they are as slow as possible.

    Raises
    ------
    ValueError
        If a shape is another or a number is not finite.
    """
    wanted = np.asarray(twist, np.float64)
    if wanted.shape != (6,) or not np.isfinite(wanted).all():
        raise ValueError(f"twist must be six finite numbers, velocity and angular velocity, got {wanted.tolist()}")
    reach = jacobian(q_rad)
    inverse = reach.T @ np.linalg.inv(reach @ reach.T + damping_m2 * np.eye(6))
    if toward_rad_s is None:
        return np.asarray(inverse @ wanted)
    toward = np.asarray(toward_rad_s, np.float64)
    return np.asarray(inverse @ (wanted - reach @ toward) + toward)
