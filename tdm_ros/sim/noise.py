"""Action and observation noise for any goal-conditioned environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.sim.checked_env import GoalEnv
from tdm_ros.tasks import TaskSpec

SURVEY_EPISODES = 4
_STREAM = 0x6E6F6973
"""Keeps the noise of an episode apart from its start and its goal, which are drawn from the same seed."""


@dataclass(frozen=True)
class Noise:
    """How much noise.

    Parameters
    ----------
    action : float
        Standard deviation of what is added to each action, in action units: the whole range is 2.
    observation : float
        Standard deviation of what is added to each number of the observation, in parts of that number's own standard
        deviation during random play; to each number of the achieved goal, in parts of `Channels.scale` of the goal.

    Raises
    ------
    ValueError
        If one is negative or not finite.
    """

    action: float = 0.0
    observation: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("action", self.action), ("observation", self.observation)):
            if not 0 <= value < np.inf:
                raise ValueError(f"Noise.{name} must be >= 0 and finite, got {value}")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.action or self.observation)


class NoisyGoalEnv(gym.Wrapper[dict[str, NDArray[Any]], NDArray[np.float32], Any, Any]):
    """Adds Gaussian noise; the goal that is asked for stays exact, and so do reward and ``info``.

    The learner gets to know the action that it chose, not the disturbed one. A number of the observation that *is* an
    achieved goal (the hand, say) gets the noise of that goal: one sensor, one reading.

    Parameters
    ----------
    env : GoalEnv
        With actions in [-1, 1].
    task : TaskSpec
    noise : Noise
    """

    def __init__(self, env: GoalEnv, task: TaskSpec, noise: Noise) -> None:
        super().__init__(env)
        self.noise = noise
        self._rng = np.random.default_rng()
        self._goal_std = noise.observation * np.asarray(task.goal.scale)
        self._std = np.zeros(task.observation.size)
        self._shared: list[tuple[int, int]] = []
        if noise.observation:
            self._survey()
        self.true_achieved = np.zeros(task.goal.size, np.float32)
        """What has really been achieved, (G,) [goal unit]: what an evaluation judges."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Reset the environment; with a seed, the noise of the episode is that of the seed."""
        seen, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed]))
        return self._sense(seen), info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], SupportsFloat, bool, bool, dict[str, Any]]:
        """Act, but not quite as asked."""
        wanted = np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        acted = wanted
        if self.noise.action:
            shake = self._rng.normal(0.0, self.noise.action, wanted.shape)
            acted = np.clip(wanted + shake, -1.0, 1.0).astype(np.float32)
        seen, reward, terminated, truncated, info = self.env.step(acted)
        if "executed_action" in info:
            undisturbed = np.asarray(info["executed_action"], np.float32) - (acted - wanted)
            info = info | {"executed_action": np.clip(undisturbed, -1.0, 1.0)}
        return self._sense(seen), reward, terminated, truncated, info

    def _sense(self, seen: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        observation, achieved = seen["observation"], seen["achieved_goal"]
        self.true_achieved = np.array(achieved, np.float32)
        if not self.noise.observation:
            return seen
        read = (achieved + self._rng.normal(0.0, self._goal_std)).astype(achieved.dtype)
        felt = (observation + self._rng.normal(0.0, self._std)).astype(observation.dtype)
        for goal, index in self._shared:
            felt[index] = read[goal]
        return seen | {"observation": felt, "achieved_goal": read}

    def _survey(self) -> None:
        """Play at random, to find how much each number varies and which of them are achieved goals."""
        rng = np.random.default_rng(_STREAM)
        observations, goals = [], []
        for episode in range(SURVEY_EPISODES):
            seen, last = self.env.reset(seed=episode)[0], False
            while not last:
                observations.append(np.array(seen["observation"], np.float64))
                goals.append(np.array(seen["achieved_goal"], np.float64))
                action = rng.uniform(-1, 1, self.action_space.shape).astype(np.float32)
                seen, _, terminated, truncated, _ = self.env.step(action)
                last = bool(terminated or truncated)
        table, reached = np.array(observations), np.array(goals)
        self._std = self.noise.observation * table.std(axis=0)
        same = (table[:, None, :] == reached[:, :, None]).all(axis=0)
        self._shared = [(int(goal), int(index)) for goal, index in np.argwhere(same)]
