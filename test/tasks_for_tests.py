"""A task small enough to know by heart: a point on a line that moves by its action."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.replay import Step
from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner


def channels(name: str, size: int, low: float, high: float, scale: float = 1.0) -> Channels:
    """Plain channels."""
    names = tuple(f"{name}_{i}" for i in range(size))
    return Channels(names, "m", (low,) * size, (high,) * size, (scale,) * size)


POINT = TaskSpec(
    name="point",
    observation=channels("observation", 2, -np.inf, np.inf),
    action=channels("action", 1, -1, 1),
    goal=channels("goal", 1, -1, 1),
    horizon=5,
    episode_steps=20,
    rate_hz=20.0,
)


def point_step(number: int) -> Step:
    """Transition that goes from ``number`` to ``number + 1``."""

    def one(*values: float) -> NDArray[np.float32]:
        return np.array(values, np.float32)

    return Step(one(number, 0), one(0.5), one(number + 1, 0), one(number), one(number + 1), one(0), False)


def learner_of_a_point(steps: int, config: TdmConfig, seed: int = 0) -> Learner:
    """Fill a learner with random motion of a point that moves by 0.1 times its action, and learn."""
    learner, rng = Learner(POINT, config, seed), np.random.default_rng(seed)
    at = np.zeros(1, np.float32)
    for number in range(steps):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        to = np.clip(at + 0.1 * action, -1, 1).astype(np.float32)
        pad = np.ones(1, np.float32)
        learner.add(Step(np.r_[at, pad], action, np.r_[to, pad], at, to, at, False), last=number % 20 == 19)
        at = rng.uniform(-1, 1, 1).astype(np.float32) if number % 20 == 19 else to
        learner.update(learner.updates_due())
    return learner


class PointEnv(gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]):
    """A point in [-1, 1] that an action moves by at most 0.1."""

    def __init__(self) -> None:
        box = gym.spaces.Box(-2.0, 2.0, (1,), np.float64)
        wide = gym.spaces.Box(-2.0, 2.0, (2,), np.float64)
        self.observation_space = gym.spaces.Dict({"observation": wide, "achieved_goal": box, "desired_goal": box})
        self.action_space = gym.spaces.Box(-0.1, 0.1, (1,), np.float32)
        self._at, self._goal = np.zeros(1), np.zeros(1)

    def _see(self) -> dict[str, NDArray[Any]]:
        observation = np.array([self._at[0], 1.0])
        return {"observation": observation, "achieved_goal": self._at.copy(), "desired_goal": self._goal.copy()}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._at, self._goal = self.np_random.uniform(-1, 1, 1), self.np_random.uniform(-1, 1, 1)
        return self._see(), {}

    def step(self, action: NDArray[np.float32]):
        self._at = np.clip(self._at + action, -1, 1)
        return self._see(), -float(abs(self._at - self._goal)[0]), False, False, {}


def make_point() -> gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """The factory that `--task tasks_for_tests:make_point` names."""
    return gym.wrappers.TimeLimit(PointEnv(), 20)
