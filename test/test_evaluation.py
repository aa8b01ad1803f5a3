"""Evaluation: achieved goal without noise, distance of the task, success of the environment."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from tasks_for_tests import POINT, make_point

from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.training.evaluation import evaluate

NAME = "tasks_for_tests:make_point"


def straight(now):
    return np.clip((now.goal - now.achieved) / 0.1, -1, 1)


class Misreading(gym.Wrapper):
    """Observes the point 0.3 away from its position."""

    true_achieved = np.zeros(1)

    def step(self, action):
        seen, *rest = self.env.step(action)
        self.true_achieved = seen["achieved_goal"].copy()
        return {**seen, "achieved_goal": seen["achieved_goal"] + 0.3}, *rest

    def reset(self, **keywords):
        seen, info = self.env.reset(**keywords)
        return {**seen, "achieved_goal": seen["achieved_goal"] + 0.3}, info


class Success(gym.Wrapper):
    """Reports a success at the end of an episode with a positive goal, in ``info[key]``."""

    key = "is_success"

    def step(self, action):
        seen, reward, terminated, truncated, info = self.env.step(action)
        return seen, reward, terminated, truncated, {**info, self.key: truncated and seen["desired_goal"][0] > 0}


def test_evaluate_with_noisy_observations_measures_the_true_state():
    env, task = make_goal_env(NAME)
    exact = evaluate(straight, env, task, 10, seed=0)
    result = evaluate(straight, gym.wrappers.OrderEnforcing(Misreading(env)), task, 10, seed=0)
    assert max(exact.final_distance) < 1e-6
    assert np.median(result.final_distance) == pytest.approx(0.3, abs=1e-6)


def test_evaluate_reports_the_share_within_the_success_of_the_task():
    env, task = make_goal_env(NAME)
    still = evaluate(lambda now: np.zeros(1, np.float32), env, replace(task, success=0.5), 20, seed=0)
    share = np.mean(np.array(still.final_distance) <= 0.5)
    assert 0 < share < 1 and still.success_task == share == still.to_json()["success_task"]


@pytest.mark.parametrize("key", ["is_success", "success"])
def test_evaluate_reports_the_success_of_the_environment_at_the_end(key):
    env, task = make_goal_env(NAME)
    reports, goals = Success(env), []
    reports.key = key
    result = evaluate(lambda now: goals.append(now.goal[0]) or straight(now), reports, task, 20, seed=0)
    assert result.success_env == np.mean(np.array(goals[::20]) > 0) and 0 < result.success_env < 1
    assert "success_env" not in evaluate(straight, env, task, 2, seed=0).to_json()


def test_evaluate_measures_the_distance_of_the_task():
    task = replace(POINT, score=((3.0, (0,)),))
    plain, weighted = (
        evaluate(lambda now: np.zeros(1, np.float32), make_point(), one, 5, 0).final_distance for one in (POINT, task)
    )
    assert weighted == pytest.approx([3 * distance for distance in plain])
