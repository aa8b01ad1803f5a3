"""Posture for home, goal box and hand box of an arm, found by computation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robots.batch import CLEAR_M, clearances, frames_of, heights, random_postures, reach_from_home, slopes_of
from tdm_ros.robots.description import Array, Robot

Space = tuple[Array, Array]
"""Low and high corner of a box, (3,) each [m]."""

POSTURES = 2000
SHORT_M, FLAT_M = 0.01, 1e-4
AHEAD, ABOVE = 0.55, 0.3
"""Place of the hand at home: shares of the reach, horizontally from the base and above the table."""
STARTS, TRIES, ROUNDS = 8, 24, 40
"""Search for home: best random postures, changes of each per round, rounds."""

CELLS = (6, 6, 4)
"""Grid for corners of the goal box: cells on either side of the hand at home along x and y, half of those along z."""
EXTENT = 0.6
"""Extent of this grid on either side, as a share of the reach."""
CLOSE_RAD, WORSE, KEPT = 0.5, 1.0, 4
"""Postures for home differ by more in some joint, and have a score that is less worse than the best one's."""
GOALS = 500
NEAREST, LEAST, ROOM = 0.2, 0.02, 0.15
"""Shares of the reach: horizontal distance of goals from the base, half side of the goal box (both at least), room of
the hand box around it."""
SHRINKS = 30
ENOUGH = 0.99
"""Share of random goals that damped least squares reaches in the goal box."""
NEAR_M = 1e-3


def reach_of(robot: Robot, rng: np.random.Generator) -> float:
    """Largest distance of the hand from the base over random postures [m]."""
    hands = frames_of(random_postures(robot, POSTURES, rng), robot)[:, -1, :3, 3]
    return float(np.linalg.norm(hands, axis=1).max())


def approach_of(robot: Robot) -> Array:
    """Axis of the hand, (3,), in its frame, that points out of the arm.

    It is the one most parallel to the way from the last joint to the hand, or, if they coincide, to that joint's axis.
    """
    frames = frames_of(robot.home_rad[None], robot)[0]
    way = robot.hand[:3, 3]
    if np.linalg.norm(way) < SHORT_M:
        before = frames[max(len(robot.joint_names) - 2, 0), :3, 3]
        along = (frames[-2, :3, :3] @ robot.axes[-1]) @ (frames[-1, :3, 3] - before)
        way = robot.axes[-1] * (-1.0 if along < -1e-6 else 1.0)
    local = robot.hand[:3, :3].T @ way
    out = np.zeros(3)
    out[np.abs(local).argmax()] = np.sign(local[np.abs(local).argmax()])
    return out


def home_and_boxes(robot: Robot, rng: np.random.Generator) -> tuple[Array, Space, Space]:
    """Home, (J,) [rad], goal box and hand box: of the best postures for home, one with a large goal box.

    Raises ValueError, one sentence, if there is none around any of them.
    """
    slopes = slopes_of(frames_of(random_postures(robot, 100, rng), robot), robot)
    directions = int(np.linalg.matrix_rank(slopes, tol=FLAT_M).max())
    if directions < 3:
        got = f"{len(robot.joint_names)} joints that move it in {directions}"
        raise ValueError(
            f"--tip must be a link that joints move in three directions, got {got}: choose one further out"
        )
    reach_m = reach_of(robot, rng)
    found = []
    for value, home_rad in find_homes(robot, reach_m, rng):
        at_home = replace(robot, home_rad=np.round(home_rad, 3))
        goal = goal_box(at_home, reach_m)
        found.append((value, float(np.prod(goal[1] - goal[0])), at_home, goal))
    largest = max(volume for _, volume, *_ in found)
    *_, at_home, goal = max(found, key=lambda choice: choice[0] + choice[1] / largest)
    goal = _shrunk(at_home, goal, reach_m, rng)
    return at_home.home_rad, goal, _around(goal, reach_m)


def find_homes(robot: Robot, reach_m: float, rng: np.random.Generator) -> list[tuple[float, Array]]:
    """Scores and postures, (J,) [rad]: hand in front, pointing down, joints near the middle, nothing near.

    The best of random postures are improved by random changes that become smaller; the best one is the first.
    """
    low, high = np.maximum(robot.lower_rad, -np.pi), np.minimum(robot.upper_rad, np.pi)
    low, high = np.where(low < high, low, robot.lower_rad), np.where(low < high, high, robot.upper_rad)
    low, high = low + 0.1 * (high - low), high - 0.1 * (high - low)
    out = approach_of(robot)

    def scores(q: Array) -> Array:
        return _scores(q, robot, (low, high), reach_m, out)

    q = rng.uniform(low, high, (POSTURES, len(low)))
    best = q[np.argsort(scores(q))[-STARTS:]]
    for size in np.geomspace(0.3, 0.003, ROUNDS):
        tried = np.repeat(best, TRIES, axis=0)
        tried += size * rng.normal(size=tried.shape) * (rng.random(tried.shape) < 0.5)
        tried = np.clip(tried, low, high).reshape(STARTS, TRIES, -1)
        tried[:, 0] = best
        for joint in range(min(len(low), TRIES - 1)):  # a joint that matters little goes to its middle at once
            tried[:, 1 + joint] = best
            tried[:, 1 + joint, joint] = (low[joint] + high[joint]) / 2
        value = scores(tried.reshape(-1, len(low))).reshape(STARTS, TRIES)
        best = tried[np.arange(STARTS), value.argmax(axis=1)]
    found: list[tuple[float, Array]] = []
    value = scores(best)
    for i in np.argsort(-value):
        differs = all(np.abs(best[i] - other).max() > CLOSE_RAD for _, other in found)
        if differs and value[i] > value.max() - WORSE:
            found.append((float(value[i]), best[i]))
    return found[:KEPT]


def _scores(q: Array, robot: Robot, range_rad: tuple[Array, Array], reach_m: float, out: Array) -> Array:
    frames = frames_of(q, robot)
    hand = frames[:, -1, :3, 3]
    down = -(frames[:, -1, 2, :3] @ out)
    place = np.linalg.norm(hand - [AHEAD * reach_m, 0.0, ABOVE * reach_m], axis=1) / reach_m
    middle, half = (range_rad[0] + range_rad[1]) / 2, (range_rad[1] - range_rad[0]) / 2
    central = np.square((q - middle) / half).mean(axis=1)
    rank = min(3, len(middle))
    agile = np.linalg.svd(slopes_of(frames, robot), compute_uv=False)[:, rank - 1] / (0.2 * reach_m)
    total = 3 * down - 4 * place - central + np.minimum(agile, 1.0)
    total -= 50 * np.maximum(CLEAR_M - heights(frames, robot), 0.0) / reach_m
    near = np.argsort(total)[-400:]  # distances take the most time
    total[near] -= 50 * np.maximum(2 * CLEAR_M - clearances(frames[near], robot), 0.0) / reach_m
    total[np.setdiff1d(np.arange(len(q)), near)] -= 1e3
    return np.asarray(total)


def goal_box(robot: Robot, reach_m: float) -> Space:
    """Largest box on a grid around the hand at home in which all points are reached: low and high, (3,) each [m].

    Reached is: by damped least squares from home, free of self-collision, above the table.
    """
    hand_m = frames_of(robot.home_rad[None], robot)[0, -1, :3, 3]
    floor = min(max(0.03, 0.06 * reach_m), 0.7 * hand_m[2]) if hand_m[2] > 0 else hand_m[2] - 0.1 * reach_m
    side = [np.linspace(-EXTENT, EXTENT, 2 * n + 1) * reach_m for n in CELLS[:2]]
    grid = hand_m[0] + side[0], hand_m[1] + side[1], np.linspace(floor, hand_m[2] + EXTENT * reach_m, 2 * CELLS[2] + 1)
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    good = _good(robot, points.reshape(-1, 3)).reshape(points.shape[:3])
    good &= np.linalg.norm(points[..., :2], axis=-1) > NEAREST * reach_m
    if hand_m[0] > NEAREST * reach_m:
        good &= points[..., 0] > NEAREST * reach_m
    low, high = _largest(good, grid, hand_m)
    least = LEAST * reach_m
    return np.minimum(low, hand_m - least), np.maximum(high, hand_m + least)


def _shrunk(robot: Robot, goal: Space, reach_m: float, rng: np.random.Generator) -> Space:
    """Goal box, made smaller around the hand until random goals in it are reached, and rounded."""
    hand_m = frames_of(robot.home_rad[None], robot)[0, -1, :3, 3]
    low, high = goal
    for _ in range(SHRINKS):
        if _good(robot, rng.uniform(low, high, (GOALS, 3))).mean() >= ENOUGH:
            break
        low, high = hand_m + 0.93 * (low - hand_m), hand_m + 0.93 * (high - hand_m)
    else:
        at, angles = np.round(hand_m, 3).tolist(), robot.home_rad.tolist()
        raise ValueError(
            f"{robot.name} must reach points around a hand in front of it that points down, got none about {at} with "
            f"the joints at {angles}: check --base, --tip, limits and shapes, or write home and boxes yourself"
        )
    step = 10.0 ** np.floor(np.log10(LEAST * reach_m))
    return np.ceil(low / step) * step, np.floor(high / step) * step


def _around(goal: Space, reach_m: float) -> Space:
    """Hand box: the goal box with room on all sides, but not below the table."""
    room = ROOM * reach_m
    low, high = np.round(goal[0] - room, 2), np.round(goal[1] + room, 2)
    if goal[0][2] > 0:
        low[2] = round(max(low[2], min(0.01, goal[0][2] / 2)), 3)
    return low, high


def _good(robot: Robot, points_m: Array) -> NDArray[np.bool_]:
    """Whether damped least squares reaches points, (N, 3) [m], free of collision, above the table: (N,) bool."""
    q, miss_m = reach_from_home(robot, points_m)
    good = miss_m < NEAR_M
    frames = frames_of(q[good], robot)
    good[good] = (clearances(frames, robot) > CLEAR_M) & (heights(frames, robot) > 0)
    return good


def _largest(good: NDArray[np.bool_], grid: tuple[Array, Array, Array], hand_m: Array) -> Space:
    """Corners of the largest box of good points that has the hand inside and is symmetric about it along y."""
    sums = np.pad(good.astype(np.int64).cumsum(0).cumsum(1).cumsum(2), ((1, 0),) * 3)
    (nx, ny), nz = (n // 2 for n in good.shape[:2]), good.shape[2]
    level = int(np.clip(np.searchsorted(grid[2], hand_m[2]), 1, nz - 1))
    best, found = 0.0, (hand_m, hand_m)
    sides = range(nx + 1), range(nx, 2 * nx + 1), range(ny + 1), range(level), range(level, nz)
    for x0, x1, y, z0, z1 in product(*sides):
        low, high = (x0, ny - y, z0), (x1, ny + y, z1)
        corners = [np.array([axis[i] for axis, i in zip(grid, index, strict=True)]) for index in (low, high)]
        volume = float(np.prod(corners[1] - corners[0]))
        if volume > best and _full(sums, low, high):
            best, found = volume, (corners[0], corners[1])
    return found


def _full(sums: Array, low: tuple[int, int, int], high: tuple[int, int, int]) -> bool:
    """Whether all points of a box of indices are good, from sums over all boxes that begin at the first point."""
    corners = 0
    for signs in np.ndindex(2, 2, 2):
        index = tuple(high[i] + 1 if signs[i] else low[i] for i in range(3))
        corners += sums[index] * (-1) ** (3 - sum(signs))
    return bool(corners == np.prod(np.subtract(high, low) + 1))
