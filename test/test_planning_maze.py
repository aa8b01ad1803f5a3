"""The maze: its walls hold, its ball is as fast as it says, and its shortest ways are known exactly."""

from __future__ import annotations

import heapq
from itertools import product

import numpy as np
import pytest

from benchmarks.planning_geometric import shortest_path
from tdm_ros.envs.maze_env import MazeEnv
from tdm_ros.tasks.registry import FENCE_M, MAZE, RADIUS_M, SPEED_M_S, WALLS_M


@pytest.fixture
def env():
    made = MazeEnv()
    yield made
    made.close()


def length(way) -> float:
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())


def test_ball_driven_along_a_corridor_gets_to_its_speed_and_not_beyond(env):
    env.reset(seed=0)
    env.data.qpos[:] = (-0.9, -0.7)
    speeds = [env.step(np.array([1.0, 0.0]))[0]["observation"][2] for _ in range(12)]
    assert 0.3 * SPEED_M_S < speeds[0] < 0.7 * SPEED_M_S, "it has inertia"
    assert speeds[-1] == pytest.approx(SPEED_M_S, rel=0.02)


def test_ball_driven_against_a_wall_stays_on_its_side_and_slides(env):
    env.reset(seed=0)
    env.data.qpos[:] = (-0.5, -0.7)
    for _ in range(25):
        seen, *_ = env.step(np.array([0.3, 1.0]))
    x, y = seen["achieved_goal"]
    assert y < WALLS_M[0, 0, 1] and x > -0.2


def test_starts_and_goals_are_clear_of_the_walls(env):
    for seed in range(50):
        seen, _ = env.reset(seed=seed)
        for key in ("achieved_goal", "desired_goal"):
            inside = (seen[key] > WALLS_M[:, 0] - RADIUS_M) & (seen[key] < WALLS_M[:, 1] + RADIUS_M)
            assert not inside.all(axis=1).any()
            assert MAZE.goal.low[0] <= seen[key].min() and seen[key].max() <= MAZE.goal.high[0]


def test_shortest_way_around_one_box_is_over_its_nearer_corner():
    way = shortest_path((-1, 0), (1, 0), [[(-0.1, -1.0), (0.1, 0.5)]])
    assert way.tolist() == [[-1, 0], [-0.1, 0.5], [0.1, 0.5], [1, 0]]


def test_shortest_way_through_the_maze_is_a_little_shorter_than_the_best_one_on_a_grid():
    way = length(shortest_path((-0.8, -0.8), (0.8, 0.8), np.concatenate([WALLS_M, FENCE_M]), RADIUS_M))
    on_grid = grid_length((-0.8, -0.8), (0.8, 0.8))
    assert way <= on_grid <= 1.09 * way, "eight directions cost at most 8.3 % more"
    assert way > 1.5 * np.hypot(1.6, 1.6), "it is no straight line"


def grid_length(start, goal, step=0.04) -> float:
    """Dijkstra's algorithm on a grid with eight neighbours, written down once more and slowly."""

    def blocked(x, y):
        inside = (np.array([x, y]) > WALLS_M[:, 0] - RADIUS_M) & (np.array([x, y]) < WALLS_M[:, 1] + RADIUS_M)
        return max(abs(x), abs(y)) > 0.97 or inside.all(axis=1).any()

    first, last = (tuple(np.round(np.array(point) / step).astype(int)) for point in (start, goal))
    queue, done = [(0.0, first)], set()
    while queue:
        far, cell = heapq.heappop(queue)
        if cell == last:
            return far * step
        if cell in done:
            continue
        done.add(cell)
        for dx, dy in product((-1, 0, 1), repeat=2):
            nearby = (cell[0] + dx, cell[1] + dy)
            if nearby not in done and not blocked(nearby[0] * step, nearby[1] * step):
                heapq.heappush(queue, (far + np.hypot(dx, dy), nearby))
    return float("inf")


def test_shortest_way_into_a_closed_box_is_none():
    ring = [[(-1, -1), (1, -0.9)], [(-1, 0.9), (1, 1)], [(-1, -1), (-0.9, 1)], [(0.9, -1), (1, 1)]]
    assert len(shortest_path((0, 0), (3, 0), ring)) == 0
