"""Validation of an environment's numbers: a NaN is rejected where it appears, not hours later in a network."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec

KEYS = ("observation", "achieved_goal", "desired_goal")

GoalEnv = gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]


class CheckedGoalEnv(gym.Wrapper[dict[str, NDArray[Any]], NDArray[np.float32], Any, Any]):
    """Passes on copies of what an environment returns, if all of it is finite.

    Copies, because an environment may return the same arrays at every step and write into them.

    Parameters
    ----------
    env : GoalEnv
    name : str
        What messages call it.
    """

    def __init__(self, env: GoalEnv, name: str) -> None:
        super().__init__(env)
        self._name, self._step = name, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """As the environment.

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        seen, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        return self._checked(seen), info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], SupportsFloat, bool, bool, dict[str, Any]]:
        """As the environment.

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        seen, reward, terminated, truncated, info = self.env.step(action)
        self._step += 1
        return self._checked(seen), reward, terminated, truncated, info

    def _checked(self, seen: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        copies = {key: np.array(seen[key]) for key in KEYS}
        for key, values in copies.items():
            # The sum of finite numbers is finite, and a sum is cheap.
            if not math.isfinite(np.add.reduce(values)) and not np.isfinite(values).all():
                which = np.flatnonzero(~np.isfinite(values)).tolist()
                raise ValueError(
                    f"{self._name} must return finite numbers, got {values[which].tolist()} in {key} "
                    f"at {which}, step {self._step} of the episode: repair its simulation or its sensor there, or let "
                    "it terminate the episode one step earlier"
                )
        return {**seen, **copies}


def check_goal_env(name: str, env: GoalEnv) -> None:
    """Refuse an environment that is not goal-conditioned with flat vectors and a finite box of actions.

    Raises
    ------
    ValueError
        Naming ``name``, what was found and what was expected.
    """
    space, actions = env.observation_space, env.action_space
    if not isinstance(space, gym.spaces.Dict) or not set(KEYS) <= set(space.spaces):
        raise ValueError(f"{name} must have a dict observation with {', '.join(sorted(KEYS))}, got {space}")
    if any(len(space[key].shape or (0, 0)) != 1 for key in KEYS):
        raise ValueError(f"{name} must have flat vectors as observation and goals, got {space}")
    achieved, desired = _size(env, "achieved_goal"), _size(env, "desired_goal")
    if achieved != desired:
        raise ValueError(
            f"{name} must have an achieved_goal and a desired_goal of one size, got {achieved} and {desired}: "
            "a goal is judged by its distance to what was achieved"
        )
    if not isinstance(actions, gym.spaces.Box) or not np.isfinite([actions.low, actions.high]).all():
        raise ValueError(f"{name} must have a finite box of actions, got {actions}")
    if len(actions.shape) != 1:
        raise ValueError(f"{name} must have a flat vector of actions, got {actions}")


def check_sizes(name: str, env: GoalEnv, task: TaskSpec) -> None:
    """Refuse a description that does not fit its environment.

    Raises
    ------
    ValueError
        Naming both sizes and the field to change.
    """
    for field, channels, size in (
        ("observation", task.observation, _size(env, "observation")),
        ("goal", task.goal, _size(env, "desired_goal")),
        ("action", task.action, (env.action_space.shape or (0,))[0]),
    ):
        if channels.size != size:
            raise ValueError(
                f"{name} has {size} dimensions of {field}, but its TaskSpec {task.name!r} describes {channels.size} "
                f"({', '.join(channels.names)}): make TaskSpec.{field} and the spaces of the environment agree"
            )


def _size(env: GoalEnv, key: str) -> int:
    space: Any = env.observation_space
    return int(space[key].shape[0])
