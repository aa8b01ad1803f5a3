"""Environment that the caller of the library passes, by name or as an object, prepared for learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym

from tdm_ros.sim.checked_env import KEYS, check_goal_env
from tdm_ros.sim.goal_env import GoalEnv, adopt, make_env
from tdm_ros.sim.noise import Noise
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.spec import HORIZON
from tdm_ros.training.saved import refuse_other_sizes, refuse_other_task

Source = str | GoalEnv | tuple[GoalEnv, TaskSpec]


class Adopted(NamedTuple):
    """An environment that is ready to learn in."""

    env: GoalEnv
    """With actions in [-1, 1]."""
    task: TaskSpec
    box: gym.spaces.Box
    """Action space of the environment that was passed; of a name: [-1, 1]."""
    name: str | None
    """What `make_env` makes it from, if that is how it came."""


def adopted(
    source: Source, horizon: int | None, noise: Noise | None, learned: tuple[Path, TaskSpec] | None = None
) -> Adopted:
    """Check an environment, describe it and bring its actions to [-1, 1].

    Parameters
    ----------
    source : str, Gymnasium goal environment, or (environment, TaskSpec)
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    noise : Noise, optional
    learned : (Path, TaskSpec), optional
        A checkpoint and the description stored with it. It replaces one that would be made from spaces and resets,
        which need not come out the same on another machine; a description of the environment's own must agree.

    Raises
    ------
    ValueError
        If the environment is unknown, no goal environment with a finite box of actions, or of another task than
        ``learned``.
    """
    if isinstance(source, str):
        outer, given, name = make_env(source), None, source
    else:
        outer, given = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
        name = _name(outer)
    check_goal_env(name, outer)
    if learned:
        folder, task = learned
        own = given or (outer.get_wrapper_attr("task") if outer.has_wrapper_attr("task") else None)
        if isinstance(own, TaskSpec):
            refuse_other_task(folder, task, own)
        else:
            space: Any = outer.observation_space
            sizes = [int(space[key].shape[0]) for key in KEYS[:2]] + [int(outer.action_space.shape[0])]  # type: ignore[index]
            refuse_other_sizes(folder, task, name, *sizes)
        given = replace(task, horizon=own.horizon if isinstance(own, TaskSpec) else HORIZON)
    env, task = adopt(outer, name, horizon, given, noise)
    box: Any = env.action_space if isinstance(source, str) else outer.action_space
    return Adopted(env, task, box, source if isinstance(source, str) else None)


def _name(env: Any) -> str:
    """A name for messages and descriptions.

    Raises
    ------
    ValueError
        If it is no environment.
    """
    if isinstance(env, gym.Env):
        return f"gym:{env.spec.id}" if env.spec else type(env.unwrapped).__name__
    if isinstance(env, type):
        got, remedy = f"the class {env.__name__}", f"call it, {env.__name__}()"
    elif hasattr(env, "num_envs"):
        got, remedy = f"a vector of {env.num_envs} environments", "give one of them"
    else:
        got, remedy = repr(env), 'give a name such as "sawyer_reach" or "gym:FetchReach-v4", or an environment'
    raise ValueError(f"env must be a task name or a Gymnasium environment, got {got}: {remedy}")
