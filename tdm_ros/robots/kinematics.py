"""Kinematics: pose and Jacobian of the hand, rotations, and joint velocities for a velocity of the hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.description import Array, Robot, transform
from tdm_ros.robots.description import rotation_from_rpy as rotation_from_rpy
from tdm_ros.robots.sawyer import SAWYER, facts


class HandPose(NamedTuple):
    """Pose of the hand in the base frame: (3,) [m], and (3, 3) whose columns are the axes of the hand."""

    position_m: Array
    rotation: Array


def _joints(q_rad: ArrayLike, robot: Robot) -> Array:
    """Transforms of the joints, each in the link before, at (J,) [rad]: (J, 4, 4)."""
    q = np.asarray(q_rad, np.float64)
    if q.shape != robot.home_rad.shape:
        raise ValueError(f"q_rad must have shape {robot.home_rad.shape}, one angle for each joint, got {q.shape}")
    constant, cosine, sine = robot.turns
    return robot.origins @ (constant + np.cos(q)[:, None, None] * cosine + np.sin(q)[:, None, None] * sine)


def link_frames(q_rad: ArrayLike, robot: Robot = SAWYER) -> Array:
    """Transforms of the links that joints move, and of the hand, in the base frame: (J,) [rad] -> (J + 1, 4, 4).

    Raises ValueError if the shape is wrong.
    """
    local = _joints(q_rad, robot)
    frames = np.empty((len(local) + 1, 4, 4))
    frames[0] = local[0]
    for i in range(1, len(local)):
        np.matmul(frames[i - 1], local[i], out=frames[i])
    np.matmul(frames[-2], robot.hand, out=frames[-1])
    return frames


def joint_axes(frames: Array, robot: Robot = SAWYER) -> Array:
    """Directions of the joints' axes in the base frame, (J, 3), for frames of `link_frames`."""
    return (frames[:-1, :3, :3] @ robot.axes[:, :, None])[:, :, 0]


_RESTING = {
    joint["name"]: transform(*([*map(float, joint[key].split())] for key in ("xyz", "rpy")))
    for joint in facts()["joints"]
}


def joint_links(robot: Robot = SAWYER) -> dict[str, tuple[str, str]]:
    """Parent and child link of each joint, fixed ones included, by the joint's name: a tree from the base."""
    if robot is SAWYER:
        return {joint["name"]: (joint["parent"], joint["child"]) for joint in facts()["joints"]}
    above = (robot.base_frame, *robot.link_names)
    moving = zip(robot.joint_names, zip(above, robot.link_names, strict=False), strict=True)
    fixed = {f"{name}_fixed": (parent, name) for name, (parent, _) in robot.fixed_links.items()}
    return {**dict(moving), **fixed, f"{robot.hand_frame}_fixed": (above[-1], robot.hand_frame)}


def joint_frames(q_rad: ArrayLike, robot: Robot = SAWYER) -> dict[str, Array]:
    """Transform of the child link of each of `joint_links` in its parent, (4, 4), at (J,) [rad]."""
    moving = dict(zip(robot.joint_names, _joints(q_rad, robot), strict=True))
    if robot is SAWYER:
        return _RESTING | moving
    fixed = {f"{name}_fixed": frame for name, (_, frame) in robot.fixed_links.items()}
    return {**moving, **fixed, f"{robot.hand_frame}_fixed": robot.hand}


def forward(q_rad: ArrayLike, robot: Robot = SAWYER) -> HandPose:
    """Pose of the hand at joint positions, (J,) [rad]. Raises ValueError if the shape is wrong.

    A real arm deviates from this nominal model by about 1 mm and a few mrad: use the hand pose that it reports.
    """
    hand = link_frames(q_rad, robot)[-1]
    return HandPose(hand[:3, 3].copy(), hand[:3, :3].copy())


def jacobian(q_rad: ArrayLike, robot: Robot = SAWYER) -> Array:
    """Jacobian of the hand in the base frame: (J,) [rad] -> (6, J), three linear rows [m/rad] before angular.

    Raises ValueError if the shape is wrong.
    """
    frames = link_frames(q_rad, robot)
    axes = joint_axes(frames, robot)
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
    q_rad: ArrayLike,
    twist: ArrayLike,
    damping_m2: float = DAMPING_M2,
    toward_rad_s: ArrayLike | None = None,
    robot: Robot = SAWYER,
) -> Array:
    """Joint velocities, (J,) [rad/s], for a velocity of the hand, by damped least squares.

    At (J,) [rad], for the velocity [m/s], then angular velocity [rad/s], of the hand in the base frame, (6,). A larger
    damping makes the joints slower, and the hand less exact, near singular postures. In the null space they approach
    ``toward_rad_s``, (J,), by default zero. Raises ValueError if a shape is wrong or a number is not finite.
    """
    wanted = np.asarray(twist, np.float64)
    if wanted.shape != (6,) or not np.isfinite(wanted).all():
        raise ValueError(f"twist must be six finite numbers, velocity and angular velocity, got {wanted.tolist()}")
    reach = jacobian(q_rad, robot)
    inverse = reach.T @ np.linalg.inv(reach @ reach.T + damping_m2 * np.eye(6))
    if toward_rad_s is None:
        return np.asarray(inverse @ wanted)
    toward = np.asarray(toward_rad_s, np.float64)
    return np.asarray(inverse @ (wanted - reach @ toward) + toward)
