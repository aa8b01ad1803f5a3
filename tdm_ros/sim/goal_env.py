"""Environment of a task by name: our own, any Gymnasium one by id, or the user's factory."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import replace
from typing import Any

import gymnasium as gym

from tdm_ros.sim import TASKS
from tdm_ros.sim.checked_env import CheckedGoalEnv, GoalEnv, check_goal_env, check_sizes
from tdm_ros.sim.describe import TIME_LIMIT, describe
from tdm_ros.sim.noise import Noise, NoisyGoalEnv
from tdm_ros.sim.unit_actions import UnitActions
from tdm_ros.tasks import TaskSpec

__all__ = ["GoalEnv", "adopt", "make_env", "make_goal_env"]

ROBOTICS = "gymnasium_robotics"
"""Where an id that Gymnasium does not know is looked for: Fetch, Shadow Hand, AntMaze and others."""


def make_goal_env(
    name: str,
    horizon: int | None = None,
    noise: Noise | None = None,
    render_mode: str | None = None,
    task: TaskSpec | None = None,
) -> tuple[GoalEnv, TaskSpec]:
    """Make the environment of a task, and its description.

    Parameters
    ----------
    name : str
        ``sawyer_reach`` (or another of `TASKS`), ``gym:ID`` for a registered goal-conditioned environment
        (``gym:module:ID`` imports ``module`` first), or ``module:factory`` for a callable that returns one.
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    noise : Noise, optional
        What to add to actions and observations.
    render_mode : str, optional
        As Gymnasium takes it: "rgb_array", say. A factory chooses its own.
    task : TaskSpec, optional
        The description of somebody else's environment; left out, it is made as `adopt` says.

    Raises
    ------
    ValueError
        If there is no such task, or it is not goal-conditioned with a finite box of actions.
    """
    return adopt(make_env(name, render_mode), name, horizon, task, noise)


def adopt(
    env: GoalEnv, name: str, horizon: int | None = None, task: TaskSpec | None = None, noise: Noise | None = None
) -> tuple[GoalEnv, TaskSpec]:
    """Take an environment that somebody made: check it, bring its actions to [-1, 1], describe it.

    Parameters
    ----------
    env : GoalEnv
    name : str
        What messages and the description call it.
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    task : TaskSpec, optional
        Its description. Left out, it is the attribute ``task`` of the environment or of a wrapper, or made from the
        environment's spaces and goals.
    noise : Noise, optional
        What to add to actions and observations.

    Raises
    ------
    ValueError
        If it is not goal-conditioned with a finite box of actions, or the description does not fit.
    """
    check_goal_env(name, env)
    if not isinstance(task, TaskSpec):
        task = env.get_wrapper_attr("task") if env.has_wrapper_attr("task") else None
    env = CheckedGoalEnv(UnitActions(env, name), name)
    if not isinstance(task, TaskSpec):
        task = describe(name, env)
    check_sizes(name, env, task)
    if not env.has_wrapper_attr(TIME_LIMIT):
        env = gym.wrappers.TimeLimit(env, task.episode_steps)
    if noise:
        env = NoisyGoalEnv(env, task, noise)
    return env, replace(task, horizon=task.horizon if horizon is None else horizon)


def make_env(name: str, render_mode: str | None = None) -> GoalEnv:
    """Make an environment by its name, as `make_goal_env` takes it, and leave it as it is.

    Raises
    ------
    ValueError
        If there is none of that name, or its constructor fails.
    """
    kind, _, rest = name.partition(":")
    try:
        # Only if it is asked for: some constructors do not take it, others refuse None.
        mode: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        if name in TASKS:
            return gym.make(TASKS[name], **mode)
        if kind == "gym" and rest:
            return _registered(rest, mode)
        if rest:
            made: GoalEnv = getattr(importlib.import_module(kind), rest)()
            return made
    except (gym.error.Error, ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"task {name!r} cannot be made: {error}") from error
    close = difflib.get_close_matches(name, TASKS, n=2)
    meant = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise ValueError(f"task must be one of {', '.join(TASKS)}, gym:ID or module:factory, got {name!r}{meant}")


def _registered(gym_id: str, mode: dict[str, Any]) -> GoalEnv:
    """Make an environment by its id; an id that is not registered is looked for in Gymnasium-Robotics."""
    try:
        return gym.make(gym_id, **mode)
    except gym.error.UnregisteredEnv as error:
        if ":" in gym_id:
            raise
        try:
            gym.register_envs(importlib.import_module(ROBOTICS))
        except ImportError:
            raise gym.error.UnregisteredEnv(
                f"{error} If another package registers it, name its module, gym:MODULE:{gym_id}; "
                "Fetch, Shadow Hand and the mazes come with `pip install gymnasium-robotics`"
            ) from error
        return gym.make(gym_id, **mode)
