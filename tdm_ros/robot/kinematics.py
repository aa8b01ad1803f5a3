"""Forward kinematics and Jacobian of the nominal arm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.sawyer import JOINT_NAMES, facts

Array = NDArray[np.float64]


class HandPose(NamedTuple):
    """Pose of frame right_hand in frame base.

    Parameters
    ----------
    position_m : (3,) float64 [m]
    rotation : (3, 3) float64
        Columns are the axes of the hand.
    """

    position_m: Array
    rotation: Array


def rotation_from_rpy(rpy_rad: ArrayLike) -> Array:
    """Turn roll, pitch, yaw about fixed x, y, z (the URDF's order), (3,) [rad], into a (3, 3) rotation."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad), np.sin(rpy_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _origin(joint: str) -> Array:
    """The fixed part of a joint's transform, (4, 4), from the table."""
    entry = next(j for j in facts()["joints"] if j["name"] == joint)
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_rpy([float(x) for x in entry["rpy"].split()])
    transform[:3, 3] = [float(x) for x in entry["xyz"].split()]
    return transform


_ORIGINS = np.stack([_origin(name) for name in JOINT_NAMES])
_HAND = _origin("right_hand")
HEAD_LIFT_M = float(_origin("head_pan")[2, 3])
"""The head's height above the frame of right_l0."""


def _checked(q_rad: ArrayLike) -> Array:
    q = np.asarray(q_rad, np.float64)
    if q.shape != (len(JOINT_NAMES),):
        raise ValueError(f"q_rad must have shape ({len(JOINT_NAMES)},), one angle for each joint, got {q.shape}")
    return q


def link_frames(q_rad: ArrayLike) -> Array:
    """Transforms of right_l0..right_l6 and right_hand in frame base: (7,) [rad] -> (8, 4, 4).

    Raises
    ------
    ValueError
        If the shape is another.
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


def forward(q_rad: ArrayLike) -> HandPose:
    """Pose of the hand at joint positions ``q_rad``, (7,) [rad].

    Raises
    ------
    ValueError
        If the shape is another.

    Notes
    -----
    A real arm deviates from this nominal one by about 1 mm and a few mrad: observe the hand that it reports.
    """
    hand = link_frames(q_rad)[-1]
    return HandPose(hand[:3, 3].copy(), hand[:3, :3].copy())


def link_positions(q_rad: ArrayLike) -> Array:
    """Origins of right_l0..right_l6 and right_hand in frame base: (7,) [rad] -> (8, 3) [m]."""
    return link_frames(q_rad)[:, :3, 3].copy()


def jacobian(q_rad: ArrayLike) -> Array:
    """Jacobian of the hand in frame base: (7,) [rad] -> (6, 7), three linear rows [m/rad] before angular.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    frames = link_frames(q_rad)
    axes = frames[:-1, :3, 2]
    arms = frames[-1, :3, 3] - frames[:-1, :3, 3]
    linear = axes[:, [1, 2, 0]] * arms[:, [2, 0, 1]] - axes[:, [2, 0, 1]] * arms[:, [1, 2, 0]]
    return np.concatenate([linear.T, axes.T])
