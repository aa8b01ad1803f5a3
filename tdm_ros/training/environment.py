"""The environment that a caller of the library hands over, by name or as an object, made ready to learn in."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from tdm_ros.sim.goal_env import GoalEnv, adopt, make_goal_env
from tdm_ros.sim.noise import Noise
from tdm_ros.tasks import TaskSpec

Source = str | GoalEnv | tuple[GoalEnv, TaskSpec]


def adopted(
    env: Source, horizon: int | None, noise: Noise | None
) -> tuple[GoalEnv, TaskSpec, tuple[NDArray[Any], NDArray[Any]]]:
    """The environment with actions in [-1, 1], its task, and the bounds of the actions that its owner knows.

    Raises
    ------
    ValueError
        If it is unknown, or no goal environment with a finite box of actions.
    """
    if isinstance(env, str):
        inner, task = make_goal_env(env, horizon, noise)
        return inner, task, _bounds(inner)
    outer, given = env if isinstance(env, tuple) else (env, None)
    name = f"gym:{outer.spec.id}" if outer.spec else type(outer.unwrapped).__name__
    inner, task = adopt(outer, name, horizon, given, noise)
    return inner, task, _bounds(outer)


def _bounds(env: GoalEnv) -> tuple[NDArray[Any], NDArray[Any]]:
    space: Any = env.action_space
    return space.low, space.high
