"""Other people's goal environments: any Gymnasium one by id, or a factory of one's own."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.sim import TASKS
from tdm_ros.tasks import Channels, TaskSpec

GoalEnv = gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]

SURVEY_RESETS = 200
_TIME_LIMIT = "_max_episode_steps"
"""Where `gymnasium.wrappers.TimeLimit` keeps its number, whether the environment was registered or wrapped by hand."""
SCALE_OF_RANGE = 0.35
"""The goal scale of a described environment, as a part of the range of its goals: the ratio that reaching has."""


def make_goal_env(name: str, horizon: int | None = None) -> tuple[GoalEnv, TaskSpec]:
    """Make the environment of a task, and its description.

    Parameters
    ----------
    name : str
        ``sawyer_reach`` (or another of `TASKS`), ``gym:ID`` for a registered goal-conditioned environment
        (``gym:module:ID`` imports ``module`` first), or ``module:factory`` for a callable that returns one.
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own, or 10.

    Raises
    ------
    ValueError
        If there is no such task, or it is not goal-conditioned with a finite box of actions.
    """
    return adopt(_make(name), name, horizon)


def adopt(
    env: GoalEnv, name: str, horizon: int | None = None, task: TaskSpec | None = None
) -> tuple[GoalEnv, TaskSpec]:
    """Take an environment that somebody made: check it, bring its actions to [-1, 1], describe it.

    Parameters
    ----------
    env : GoalEnv
    name : str
        What messages and the description call it.
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own, or 10.
    task : TaskSpec, optional
        Its description, where ``env.unwrapped.task`` is none.

    Raises
    ------
    ValueError
        If it is not goal-conditioned with a finite box of actions.
    """
    task = task or getattr(env.unwrapped, "task", None)
    if not isinstance(task, TaskSpec):
        _check(name, env)
        env = gym.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
        task = describe(name, env)
    return env, replace(task, horizon=task.horizon if horizon is None else horizon)


def _make(name: str) -> GoalEnv:
    try:
        if name in TASKS:
            return gym.make(TASKS[name])
        kind, _, rest = name.partition(":")
        if kind == "gym" and rest:
            return gym.make(rest)
        if rest:
            made: GoalEnv = getattr(importlib.import_module(kind), rest)()
            return made
    except (gym.error.Error, ImportError, AttributeError) as error:
        raise ValueError(f"task {name!r} can not be made: {error}") from error
    known = ", ".join(TASKS)
    raise ValueError(f"task must be one of {known}, gym:ID or module:factory, got {name!r}")


def _check(name: str, env: GoalEnv) -> None:
    space, actions = env.observation_space, env.action_space
    keys = {"observation", "achieved_goal", "desired_goal"}
    if not isinstance(space, gym.spaces.Dict) or not keys <= set(space.spaces):
        raise ValueError(f"{name} must have a dict observation with {', '.join(sorted(keys))}, got {space}")
    if any(len(space[key].shape or (0, 0)) != 1 for key in keys):
        raise ValueError(f"{name} must have flat vectors as observation and goals, got {space}")
    if not isinstance(actions, gym.spaces.Box) or not np.isfinite([actions.low, actions.high]).all():
        raise ValueError(f"{name} must have a finite box of actions, got {actions}")
    if not env.has_wrapper_attr(_TIME_LIMIT):
        raise ValueError(f"{name} must end its episodes: wrap it in gymnasium.wrappers.TimeLimit")


def describe(name: str, env: GoalEnv) -> TaskSpec:
    """Describe an environment without a `TaskSpec`: sizes from its spaces, goals from `SURVEY_RESETS` resets."""
    seen = [env.reset(seed=seed)[0] for seed in range(SURVEY_RESETS)]
    goals = np.array([s["desired_goal"] for s in seen], np.float64)
    reached = np.array([s["achieved_goal"] for s in seen], np.float64)
    low, high = goals.min(axis=0), goals.max(axis=0)
    span = np.maximum(high, reached.max(axis=0)) - np.minimum(low, reached.min(axis=0))
    # A coordinate that never differs (a goal on a table top) takes the scale of the others.
    scale = np.where(span > 1e-6, span * SCALE_OF_RANGE, SCALE_OF_RANGE * (span.max() or 1.0))
    return TaskSpec(
        name=name,
        observation=_unbounded("observation", seen[0]["observation"].size),
        action=Channels(*_plain("action", env.action_space.shape[0], -1.0, 1.0)),  # type: ignore[index]
        goal=Channels(
            tuple(f"goal_{i}" for i in range(goals.shape[1])),
            "environment units",
            tuple(low.tolist()),
            tuple(high.tolist()),
            tuple(scale.tolist()),
        ),
        horizon=10,
        episode_steps=env.get_wrapper_attr(_TIME_LIMIT),
        rate_hz=float(env.metadata.get("render_fps", 20)),
    )


def _unbounded(name: str, size: int) -> Channels:
    return Channels(*_plain(name, size, -np.inf, np.inf))


def _plain(name: str, size: int, low: float, high: float) -> tuple[Any, ...]:
    return (
        tuple(f"{name}_{i}" for i in range(size)),
        "environment units",
        (low,) * size,
        (high,) * size,
        (1.0,) * size,
    )
