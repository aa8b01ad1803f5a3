"""Pushing with Gymnasium-Robotics' Fetch: a goal of hand and object, for learners that need the hand in the goal."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.mujoco_env import Array, MujocoGoalEnv
from tdm_ros.envs.view import Marker, View
from tdm_ros.tasks import FETCH_PUSH, prompt_from_behind

FETCH = "FetchPush-v4"


class FetchPushEnv(MujocoGoalEnv, gym.utils.EzPickle):
    """Push a cube to a target on a table: FetchPush-v4, whose physics, starts and targets these are, at 25 Hz.

    Observation (25,): FetchPush's. Goal (5,): hand, and object x and y [m], see `prompt_from_behind`. Actions (4,): the
    hand by up to 5 cm; the fingers stay closed. It never terminates. Raises ImportError without gymnasium-robotics.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 - declared so by Gymnasium
    view = View((1.3, 0.75, 0.45), 1.3, 155.0, -40.0)
    puck_stays = True
    """See `prompt_from_behind`."""

    def __init__(self, render_mode: str | None = None) -> None:
        try:
            robotics = importlib.import_module("gymnasium_robotics")
        except ImportError as error:
            raise ImportError("fetch_push needs Gymnasium-Robotics: `pip install gymnasium-robotics`") from error
        gym.register_envs(robotics)
        fetch: Any = gym.make(FETCH).unwrapped
        fetch.model.vis.global_.offwidth, fetch.model.vis.global_.offheight = 640, 480  # for our camera
        fetch.model.site("target0").rgba = (0, 0, 0, 0)  # FetchPush moves this mark in its own renderer alone
        self._fetch, self._seen = fetch, dict[str, NDArray[np.float64]]()
        gym.utils.EzPickle.__init__(self, render_mode)  # a copy must share its simulation with its own FetchPush
        MujocoGoalEnv.__init__(self, FETCH_PUSH, fetch.model, render_mode, fetch.data)

    def _reset(self, options: dict[str, Any]) -> None:
        self._start(self.np_random)

    def _start(self, rng: np.random.Generator) -> None:
        self._seen, _ = self._fetch.reset(seed=int(rng.integers(2**31)))

    def _draw_goal(self, rng: np.random.Generator) -> ArrayLike:
        target = self._seen["desired_goal"]
        return (*target[:2], self.task.goal.low[2], *target[:2])

    def _act(self, action: NDArray[np.floating[Any]]) -> None:
        self._seen, *_ = self._fetch.step(np.asarray(action, np.float32))

    def _observation(self) -> Array:
        return self._seen["observation"]

    def _achieved(self, observation: Array) -> Array:
        return observation[:5]

    def _present_goal(self, achieved: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = self._seen["observation"]
        return prompt_from_behind(seen[:3], seen[3:6], self._goal[3:], self.puck_stays)

    def _markers(self) -> list[Marker]:
        return [Marker((*self._goal[3:].tolist(), self.task.goal.low[2]), 0.02)]

    def close(self) -> None:
        """Free both environments."""
        self._fetch.close()
        super().close()
