"""Kinematics: pose and Jacobian of the hand, rotations, and joint velocities for a velocity of the hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.sawyer import JOINT_NAMES, facts

Array = NDArray[np.float64]


class HandPose(NamedTuple):
    """Pose of frame right_hand in frame base: (3,) [m], and (3, 3) whose columns are the axes of the hand."""

    position_m: Array
    rotation: Array


def rotation_from_rpy(rpy_rad: ArrayLike) -> Array:
    """Rotation matrix, (3, 3), of roll, pitch, yaw about fixed x, y, z (the URDF's order), (3,) [rad]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad), np.sin(rpy_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _origin(entry: dict[str, Any]) -> Array:
    """Fixed part of a joint's transform, (4, 4)."""
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_rpy([float(x) for x in entry["rpy"].split()])
    transform[:3, 3] = [float(x) for x in entry["xyz"].split()]
    return transform


_ALL = {joint["name"]: _origin(joint) for joint in facts()["joints"]}
_ORIGINS, _HAND = np.stack([_ALL[name] for name in JOINT_NAMES]), _ALL["right_hand"]
HEAD_LIFT_M = float(_ALL["head_pan"][2, 3])
"""Height of the head above the frame of right_l0."""


def _checked(q_rad: ArrayLike) -> Array:
    q = np.asarray(q_rad, np.float64)
    if q.shape != (len(JOINT_NAMES),):
        raise ValueError(f"q_rad must have shape ({len(JOINT_NAMES)},), one angle for each joint, got {q.shape}")
    return q


def link_frames(q_rad: ArrayLike) -> Array:
    """Transforms of right_l0..right_l6 and right_hand in frame base: (7,) [rad] -> (8, 4, 4).

    Raises ValueError if the shape is wrong.
    """
    q = _checked(q_rad)
    turns = np.zeros((len(q), 4, 4))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(q)
    turns[:, 1, 0] = np.sin(q)
    turns[:, 0, 1] = -turns[:, 1, 0]
    turns[:, 2, 2] = turns[:, 3, 3] = 1.0
    local = _ORIGINS @ turns
    frames = np.empty((len(q) + 1, 4, 4))
    frames[0] = local[0]
    for i in range(1, len(q)):
        frames[i] = frames[i - 1] @ local[i]
    frames[-1] = frames[-2] @ _HAND
    return frames


def joint_frames(q_rad: ArrayLike) -> dict[str, Array]:
    """Transform of each joint's child link into its parent link, (4, 4), at (7,) [rad]; the head is fixed.

    Raises ValueError if the shape is another.
    """
    q = _checked(q_rad)
    turned = {name: _ALL[name].copy() for name in JOINT_NAMES}
    for name, angle in zip(JOINT_NAMES, q, strict=True):
        turned[name][:3, :3] @= rotation_from_rpy([0.0, 0.0, angle])
    return _ALL | turned


def forward(q_rad: ArrayLike) -> HandPose:
    """Pose of the hand at joint positions, (7,) [rad]. Raises ValueError if the shape is wrong.

    A real arm deviates from this nominal model by about 1 mm and a few mrad: use the hand pose that it reports.
    """
    hand = link_frames(q_rad)[-1]
    return HandPose(hand[:3, 3].copy(), hand[:3, :3].copy())


def jacobian(q_rad: ArrayLike) -> Array:
    """Jacobian of the hand in frame base: (7,) [rad] -> (6, 7), three linear rows [m/rad] before angular.

    Raises ValueError if the shape is wrong.
    """
    frames = link_frames(q_rad)
    axes = frames[:-1, :3, 2]
    arms = frames[-1, :3, 3] - frames[:-1, :3, 3]
    linear = axes[:, [1, 2, 0]] * arms[:, [2, 0, 1]] - axes[:, [2, 0, 1]] * arms[:, [1, 2, 0]]
    return np.concatenate([linear.T, axes.T])


def quaternion_wxyz(rotation: ArrayLike) -> NDArray[np.float64]:
    """Unit quaternion (w, x, y, z) with w >= 0 of a rotation matrix, (3, 3).

    Source: the largest eigenvector of Bar-Itzhack's matrix (2000); without cases, and accurate for matrices slightly
    off.
    """
    r = np.asarray(rotation, np.float64)
    off = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    k = np.empty((4, 4))
    k[0, 0] = np.trace(r)
    k[0, 1:] = k[1:, 0] = off
    k[1:, 1:] = r + r.T - np.trace(r) * np.eye(3)
    quaternion = np.linalg.eigh(k)[1][:, -1]
    return quaternion if quaternion[0] >= 0 else -quaternion


def rotation_of(quaternion_wxyz: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrix, (3, 3), of a quaternion (w, x, y, z) of any length but zero."""
    w, x, y, z = np.asarray(quaternion_wxyz, np.float64) / np.linalg.norm(quaternion_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


DAMPING_M2 = 1e-3
"""For teleoperation: away from singular postures the error is a few percent, and in one the joints' speed [rad/s] is at
most sixteen times the hand's [m/s]."""


def joint_velocity(
    q_rad: ArrayLike, twist: ArrayLike, damping_m2: float = DAMPING_M2, toward_rad_s: ArrayLike | None = None
) -> Array:
    """Joint velocities, (7,) [rad/s], for a velocity of the hand, by damped least squares.

    At (7,) [rad], for the velocity [m/s], then angular velocity [rad/s], of right_hand in frame base, (6,). A larger
    damping makes the joints slower, and the hand less exact, near singular postures. In the null space they approach
    ``toward_rad_s``, (7,), by default zero. Raises ValueError if a shape is wrong or a number is not finite.
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
