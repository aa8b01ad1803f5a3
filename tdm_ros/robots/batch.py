"""Kinematics of many postures at once, and the postures in which damped least squares reaches points."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robots.capsules import body, capsule_ends, gaps
from tdm_ros.robots.description import Array, Robot

DAMPING_M2 = 1e-4
STEP_M = 0.1
"""Travel of the hand in one iteration at most."""
HOMEWARD = 0.1
"""Share of the way home that the joints go, in the null space, in one iteration."""
MARGIN_RAD = 0.05
"""Distance kept from joint limits, as the limiter does by default."""
ITERATIONS = 60
CLEAR_M = 0.02
"""Distance between parts of the arm, and of them to the table, where postures are chosen."""


def frames_of(q_rad: Array, robot: Robot) -> Array:
    """Transforms of the moved links and of the hand in the base frame: (N, J) [rad] -> (N, J + 1, 4, 4)."""
    constant, cosine, sine = robot.turns
    local = robot.origins @ (constant + np.cos(q_rad)[..., None, None] * cosine + np.sin(q_rad)[..., None, None] * sine)
    frames = np.empty((len(local), local.shape[1] + 1, 4, 4))
    frames[:, 0] = local[:, 0]
    for i in range(1, local.shape[1]):
        np.matmul(frames[:, i - 1], local[:, i], out=frames[:, i])
    np.matmul(frames[:, -2], robot.hand, out=frames[:, -1])
    return frames


def slopes_of(frames: Array, robot: Robot) -> Array:
    """Linear Jacobians of the hand, (N, 3, J) [m/rad], for frames of `frames_of`."""
    axes = np.einsum("njab,jb->nja", frames[:, :-1, :3, :3], robot.axes)
    arms = frames[:, -1:, :3, 3] - frames[:, :-1, :3, 3]
    return np.cross(axes, arms).transpose(0, 2, 1)


def clearances(frames: Array, robot: Robot) -> Array:
    """Least distances of all checked pairs of capsules, (N,) [m]; inf if the robot has no such pair."""
    shape = body(robot)
    if not len(shape.near):
        return np.full(len(frames), np.inf)
    return np.array([gaps(capsule_ends(one, shape), shape).gap_m.min() for one in frames])


@cache
def avoidable(robot: Robot) -> NDArray[np.bool_]:
    """Ends of the capsules, (S, 2), that more than one joint moves and that some posture brings above z = `CLEAR_M`.

    The others, such as that of an upper arm at a low shoulder, are near the table in every posture.
    """
    shape = body(robot)
    frames = frames_of(random_postures(robot, 300, np.random.default_rng(0)), robot)
    height = np.array([capsule_ends(one, shape)[..., 2] for one in frames]) - shape.radius_m[:, None]
    return np.asarray((height.max(axis=0) > CLEAR_M) & (shape.joints > 1)[:, None])


def heights(frames: Array, robot: Robot) -> Array:
    """Lowest points of the hand and of the ends of capsules that are `avoidable`, (N,) [m]."""
    shape, counted = body(robot), avoidable(robot)
    lowest = frames[:, -1, 2, 3].copy()
    for i in np.flatnonzero(counted.any(axis=1)):
        frame = frames[:, shape.joints[i] - 1]
        ends = frame[:, 2, :3] @ shape.ends_m[i, counted[i]].T + frame[:, 2, 3:]
        lowest = np.minimum(lowest, ends.min(axis=1) - shape.radius_m[i])
    return lowest


def random_postures(robot: Robot, count: int, rng: np.random.Generator) -> Array:
    """Postures, (N, J) [rad], uniform within the joint limits."""
    return rng.uniform(robot.lower_rad, robot.upper_rad, (count, len(robot.joint_names)))


class Reached(NamedTuple):
    """Postures at the end of damped least squares, (N, J) [rad], and distances from the goals, (N,) [m]."""

    q_rad: Array
    miss_m: Array


def reach_from_home(robot: Robot, goals_m: Array) -> Reached:
    """Move the hand from home toward goals, (N, 3) [m], by damped least squares within the joint limits.

    Joints go back toward home as far as it does not move the hand. Velocities are not limited.
    """
    margin = np.minimum(MARGIN_RAD, (robot.upper_rad - robot.lower_rad) / 4)
    q = np.tile(robot.home_rad, (len(goals_m), 1))
    for _ in range(ITERATIONS):
        frames = frames_of(q, robot)
        travel, slope = goals_m - frames[:, -1, :3, 3], slopes_of(frames, robot)
        travel *= np.minimum(1.0, STEP_M / np.maximum(np.linalg.norm(travel, axis=1), 1e-9))[:, None]
        home = HOMEWARD * (robot.home_rad - q)
        wanted = travel - np.einsum("nij,nj->ni", slope, home)
        square = slope @ slope.transpose(0, 2, 1) + DAMPING_M2 * np.eye(3)
        step = np.einsum("nij,ni->nj", slope, np.linalg.solve(square, wanted[..., None])[..., 0])
        q = np.clip(q + step + home, robot.lower_rad + margin, robot.upper_rad - margin)
    return Reached(q, np.linalg.norm(goals_m - frames_of(q, robot)[:, -1, :3, 3], axis=1))


def random_goals(robot: Robot, count: int, rng: np.random.Generator) -> Array:
    """Points, (N, 3) [m], uniform in the goal box."""
    return rng.uniform(*robot.goal_box_m, (count, 3))


def share_reached(robot: Robot, rng: np.random.Generator, count: int = 500, near_m: float = 1e-3) -> float:
    """Share of random goals that damped least squares reaches from home, free of self-collision."""
    q_rad, miss_m = reach_from_home(robot, random_goals(robot, count, rng))
    return float(((miss_m < near_m) & (clearances(frames_of(q_rad, robot), robot) > 0)).mean())
