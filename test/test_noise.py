"""Noise: as much as asked, the same for the same seed, and never in what an attempt is judged by."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from tasks_for_tests import POINT, PointEnv

from tdm_ros.envs.goal_env import make_goal_env, wrap_env
from tdm_ros.envs.wrappers import Noise


def point(noise: Noise) -> tuple[gym.Env, PointEnv]:
    inner = PointEnv()
    return wrap_env(gym.wrappers.TimeLimit(inner, 20), "point", task=POINT, noise=noise)[0], inner


def readings(env: gym.Env, episodes: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the achieved goal and of the observation's first number, and true places."""
    goal, first, true = [], [], []
    for seed in range(episodes):
        seen, _ = env.reset(seed=seed)
        for _ in range(20):
            goal.append(seen["achieved_goal"][0] - env.unwrapped._at[0])
            first.append(seen["observation"][0] - env.unwrapped._at[0])
            true.append(env.unwrapped._at[0])
            seen = env.step(np.zeros(1, np.float32))[0]
    return np.array(goal), np.array(first), np.array(true)


def test_noise_of_observation_has_the_size_asked_for_and_is_one_reading_where_goal_and_observation_are_one() -> None:
    env, _ = point(Noise(observation=0.05))
    goal, first, _ = readings(env)
    assert goal.std() == pytest.approx(0.05 * POINT.goal.scale[0], rel=0.1)
    assert abs(goal.mean()) < 0.005
    np.testing.assert_array_equal(goal, first)


def test_noise_of_observation_is_in_parts_of_each_numbers_own_spread() -> None:
    env, task = make_goal_env("cheetah", noise=Noise(observation=0.1))
    made, errors, values = env.unwrapped, [], []
    for seed in range(3):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(99):
            seen = env.step(rng.uniform(-1, 1, 6).astype(np.float32))[0]
            errors.append(seen["observation"] - made._observation())
            values.append(made._observation())
    parts = np.delete(np.std(errors, axis=0) / np.std(values, axis=0), 8)
    assert (parts > 0.05).all() and (parts < 0.2).all()
    assert np.std(errors, axis=0)[8] == pytest.approx(0.1 * task.goal.scale[0], rel=0.2)


def test_noise_leaves_goal_reward_and_true_state_alone() -> None:
    env, inner = point(Noise(observation=0.3))
    seen, _ = env.reset(seed=1)
    assert seen["desired_goal"] == inner._goal
    seen, reward, *_ = env.step(np.ones(1, np.float32))
    assert reward == -abs(inner._at - inner._goal)[0]
    np.testing.assert_array_equal(env.get_wrapper_attr("true_achieved"), inner._at.astype(np.float32))
    assert seen["achieved_goal"] != inner._at


def test_noise_of_action_moves_the_world_by_as_much() -> None:
    env, inner = point(Noise(action=0.2))
    moved = []
    for seed in range(100):
        env.reset(seed=seed)
        inner._at[:] = 0.0
        env.step(np.zeros(1, np.float32))
        moved.append(inner._at[0] / 0.1)
    assert np.std(moved) == pytest.approx(0.2, rel=0.25)


def test_noise_of_action_never_leaves_the_range() -> None:
    env, inner = point(Noise(action=5.0))
    for seed in range(20):
        env.reset(seed=seed)
        inner._at[:] = 0.0
        env.step(np.zeros(1, np.float32))
        assert abs(inner._at[0]) <= 0.1 + 1e-6


def test_noise_of_action_is_not_told_to_the_learner() -> None:
    env, _ = make_goal_env("sawyer_reach", noise=Noise(action=0.1))
    env.reset(seed=0)
    action = np.full(7, 0.2, np.float32)
    told = [env.step(action)[4] for _ in range(5)]
    free = [info["executed_action"] for info in told if not info["limited"]]
    assert free
    for executed in free:
        np.testing.assert_allclose(executed, action, atol=1e-6)


def test_noise_same_seed_same_episode() -> None:
    for noise in (Noise(action=0.3), Noise(observation=0.3)):
        env, _ = point(noise)
        runs = []
        for seed in (4, 4, 5):
            env.reset(seed=seed)
            runs.append([env.step(np.zeros(1, np.float32))[0]["achieved_goal"][0] for _ in range(5)])
        assert runs[0] == runs[1] != runs[2]


def test_noise_none_changes_nothing() -> None:
    assert not Noise() and Noise(action=0.1)
    with pytest.raises(AttributeError):
        point(Noise())[0].get_wrapper_attr("true_achieved")


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_noise_senseless_rejected(value: float) -> None:
    with pytest.raises(ValueError, match=r"Noise\.observation must be >= 0"):
        Noise(observation=value)
