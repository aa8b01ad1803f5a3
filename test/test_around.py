"""Tasks whose straight way is barred: what bars it, and that there is another way."""

from __future__ import annotations

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

from tdm_ros.envs import TASKS
from tdm_ros.envs.around_env import APART_M, SawyerAroundEnv, SawyerPushAroundEnv, ring_goal
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_UPPER_RAD
from tdm_ros.tasks import SAWYER_REACH, SCENES


def around() -> SawyerAroundEnv:
    made = gym.make(TASKS["sawyer_around"]).unwrapped
    assert isinstance(made, SawyerAroundEnv)
    return made


def pushing(beyond: bool) -> SawyerPushAroundEnv:
    made = gym.make(TASKS["sawyer_push_around"]).unwrapped
    assert isinstance(made, SawyerPushAroundEnv)
    made.beyond = beyond
    return made


def test_around_starts_and_goals_lie_all_round_the_robot_and_in_the_box() -> None:
    env, angles = around(), []
    for seed in range(60):
        seen, _ = env.reset(seed=seed)
        goal = seen["desired_goal"]
        assert (goal >= np.float32(env.task.goal.low)).all() and (goal <= np.float32(env.task.goal.high)).all()
        angles.append([np.arctan2(p[2], p[1]) for p in (seen["achieved_goal"], goal)])
    filled = [np.histogram(column, bins=8, range=(-np.pi, np.pi))[0] for column in np.transpose(angles)]
    assert (np.array(filled) > 0).all()


def test_around_the_hand_can_go_behind_the_robot_until_the_joint_stops() -> None:
    env = around()
    env.reset(seed=0, options={"q_rad": np.array([2.7, *NEUTRAL_RAD[1:]])})
    turn = np.zeros(7, np.float32)
    turn[0] = 1.0
    for _ in range(30):
        seen, *_, info = env.step(turn)
    assert "joint limit" in info["limiter"]
    assert seen["observation"][0] == pytest.approx(Q_UPPER_RAD[0] - 0.05, abs=0.02)
    assert seen["achieved_goal"][1] < -0.3 and seen["achieved_goal"][0] == seen["observation"][0]


def test_around_opposite_sides_of_the_stop_are_close_in_space_and_far_for_the_joint() -> None:
    one, other = ring_goal(2.9, 0.5, 0.3), ring_goal(-2.9, 0.5, 0.3)
    assert np.linalg.norm(one[1:] - other[1:]) < 0.3
    assert around().task.distance(one, other) == pytest.approx(np.linalg.norm(one[1:] - other[1:]))
    reached = [forward(np.array([q, *NEUTRAL_RAD[1:]])).position_m for q in (2.9, -2.9)]
    assert np.linalg.norm(reached[0] - reached[1]) < 0.3


def test_push_around_hand_starts_beyond_the_puck_if_so_wished() -> None:
    for beyond in (False, True):
        env = pushing(beyond)
        ahead = []
        for seed in range(40):
            seen, _ = env.reset(seed=seed)
            hand, puck = np.split(seen["achieved_goal"], 2)
            assert np.linalg.norm(hand - puck) > APART_M - 0.05
            ahead.append(hand[0] > puck[0] + 0.1)
        assert all(ahead) == beyond and any(ahead)


def test_push_around_learns_errands_that_leave_the_puck_and_pushes() -> None:
    env = pushing(beyond=False)
    stays = 0
    for seed in range(40):
        seen, _ = env.reset(seed=seed)
        stays += bool((env.evaluation_goal[2:] == seen["achieved_goal"][2:]).all())
        asked_m = np.linalg.norm(seen["desired_goal"][2:] - seen["achieved_goal"][2:])
        assert asked_m < 1e-6, "until it is held, the puck is to stay"
    assert 10 < stays < 30


def test_push_around_straight_to_the_puck_pushes_it_off() -> None:
    env = pushing(beyond=True)
    moved = []
    for seed in range(5):
        seen, _ = env.reset(seed=seed)
        start = seen["achieved_goal"][2:].copy()
        for _ in range(30):
            gap = seen["achieved_goal"][2:] - seen["achieved_goal"][:2]
            seen = env.step(np.clip(gap / 0.015, -1, 1))[0]
        moved.append(float(np.linalg.norm(seen["achieved_goal"][2:] - start)))
    assert min(moved) > 0.05


def test_wall_bars_every_straight_line_to_its_goals() -> None:
    wall, start, task = SCENES["wall"], forward(NEUTRAL_RAD).position_m, SAWYER_REACH["velocity"]
    rng = np.random.default_rng(0)
    parts = np.linspace(0, 1, 200)[:, None]
    for goal in (wall.sample_goal(task, rng, evaluation=True) for _ in range(200)):
        assert not wall.inside(goal) and wall.inside(start + parts * (goal - start)).any()
    over = np.array([[0.45, 0.16, 0.2], [0.45, 0.16, 0.5], [0.45, -0.3, 0.5], [0.45, -0.3, 0.2]])
    assert not any(wall.inside(a + parts * (b - a)).any() for a, b in pairwise(over))
