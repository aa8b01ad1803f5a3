"""Environment of a task, by name, by Gymnasium id, or as an object; and its description."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from tdm_ros.envs import PUSH, TASKS
from tdm_ros.envs.wrappers import CheckedGoalEnv, GoalEnv, Noise, NoisyGoalEnv, UnitActions, check_goal_env, check_sizes
from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tasks.spec import HORIZON

SURVEY_RESETS = 200
TIME_LIMIT = "_max_episode_steps"
"""Attribute in which `gymnasium.wrappers.TimeLimit` stores its limit."""
SURVEY_EPISODES, LONGEST_STEPS = 5, 2000
"""Without a time limit, the episode length is measured."""
RATE_HZ = 20.0
"""Control rate of an environment without ``render_fps`` in its metadata [Hz]."""
SCALE_OF_RANGE = 0.35
"""Goal scale of an environment without a description, as a part of the range of its goals: the ratio of reaching."""
SUCCESS_OF_SCALE = 0.1
"""Success distance of an environment without ``distance_threshold``, as a part of that scale: the ratio of reaching."""
_UNIT = "environment units"


def describe(name: str, env: GoalEnv) -> TaskSpec:
    """Describe an environment without a `TaskSpec`: sizes from its spaces, goals from `SURVEY_RESETS` resets.

    Raises ValueError if no episode ends within `LONGEST_STEPS`.
    """
    seen = [env.reset(seed=seed)[0] for seed in range(SURVEY_RESETS)]
    goals = np.array([s["desired_goal"] for s in seen], np.float64)
    reached = np.array([s["achieved_goal"] for s in seen], np.float64)
    low, high = goals.min(axis=0), goals.max(axis=0)
    span = np.maximum(high, reached.max(axis=0)) - np.minimum(low, reached.min(axis=0))
    # A coordinate that never differs (a goal on a table top) takes the scale of the others.
    scale = np.where(span > 1e-6, span * SCALE_OF_RANGE, SCALE_OF_RANGE * (span.max() or 1.0))
    threshold = getattr(env.unwrapped, "distance_threshold", None)
    names = tuple(f"goal_{i}" for i in range(goals.shape[1]))
    limited = env.has_wrapper_attr(TIME_LIMIT)
    return TaskSpec(
        name=name,
        observation=_plain("observation", seen[0]["observation"].size, np.inf),
        action=_plain("action", env.action_space.shape[0], 1.0),  # type: ignore[index]
        goal=Channels(names, _UNIT, *(tuple(values.tolist()) for values in (low, high, scale))),
        horizon=HORIZON,
        episode_steps=env.get_wrapper_attr(TIME_LIMIT) if limited else _measured_steps(name, env),
        rate_hz=float((env.metadata or {}).get("render_fps") or RATE_HZ),
        success=float(SUCCESS_OF_SCALE * scale.min() if threshold is None else threshold),
    )


def _measured_steps(name: str, env: GoalEnv) -> int:
    """Length of the longest of a few random episodes, for an environment that truncates by itself [steps]."""
    rng, longest = np.random.default_rng(0), 0
    for seed in range(SURVEY_EPISODES):
        env.reset(seed=seed)
        for step in range(1, LONGEST_STEPS + 1):
            action = rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32)
            _, _, terminated, truncated, _ = env.step(action)
            longest = max(longest, step)
            if terminated or truncated:
                break
        else:
            raise ValueError(
                f"{name} must end its episodes, got one of more than {LONGEST_STEPS} steps: "
                "wrap it in gymnasium.wrappers.TimeLimit"
            )
        if truncated and not terminated:
            return longest
    return longest


def _plain(name: str, size: int, bound: float) -> Channels:
    names: Any = tuple(f"{name}_{i}" for i in range(size))
    return Channels(names, _UNIT, (-bound,) * size, (bound,) * size, (1.0,) * size)


__all__ = ["GoalEnv", "make_env", "make_goal_env", "wrap_env"]

ROBOTICS = "gymnasium_robotics"
"""Package of ids that Gymnasium does not know: Fetch, Shadow Hand, AntMaze and others."""


def make_goal_env(
    name: str,
    horizon: int | None = None,
    noise: Noise | None = None,
    render_mode: str | None = None,
    task: TaskSpec | None = None,
) -> tuple[GoalEnv, TaskSpec]:
    """Make the environment of a task, and its description; ``horizon``, ``noise`` and ``task`` as for `wrap_env`.

    ``name`` is ``sawyer_reach`` (or another of `TASKS`), ``reach:ROBOT`` or ``reach:ROBOT:ACTUATION`` for reaching with
    an arm of config/robots (or a .yaml file), ``push:ROBOT`` for pushing with it, ``gym:ID`` for a registered
    goal-conditioned environment (``gym:module:ID`` imports ``module`` first), or ``module:factory`` for a callable that
    returns one. ``render_mode`` as Gymnasium takes it, for example "rgb_array"; a factory chooses its own. Raises
    ValueError if there is no such task, or it is not goal-conditioned with a finite box of actions.
    """
    return wrap_env(make_env(name, render_mode), name, horizon, task, noise)


def wrap_env(
    env: GoalEnv, name: str, horizon: int | None = None, task: TaskSpec | None = None, noise: Noise | None = None
) -> tuple[GoalEnv, TaskSpec]:
    """Check an environment, convert its actions to [-1, 1], and describe it.

    ``name`` is for messages and the description, ``horizon`` the longest ``steps_left``, by default the task's own
    [steps]. The description is ``task``, else the attribute ``task`` of the environment or of a wrapper, else generated
    from the environment's spaces and goals. Raises ValueError if it is not goal-conditioned with a finite box of
    actions, or the description does not fit.
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
    """Make an environment by its name, as for `make_goal_env`, without wrappers.

    Raises ValueError if the name is unknown, or the constructor fails.
    """
    kind, _, rest = name.partition(":")
    try:
        # Only if given: some constructors do not accept it, others reject None.
        mode: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        if name in TASKS:
            return gym.make(TASKS[name], **mode)
        if kind == "reach" and rest:
            robot, _, actuation = rest.partition(":")
            return gym.make(TASKS["sawyer_reach"], robot=robot, actuation=actuation or "velocity", **mode)
        if kind == "push" and rest:
            return gym.make(PUSH, robot=rest, **mode)
        if kind == "gym" and rest:
            return _registered(rest, mode)
        if rest:
            if "" not in sys.path:  # a console script has not; the last, so that it hides nothing
                sys.path.append("")
            made: GoalEnv = getattr(importlib.import_module(kind), rest)()
            return made
    except (gym.error.Error, ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"task {name!r} cannot be made: {error}") from error
    close = difflib.get_close_matches(name, TASKS, n=2)
    if re.fullmatch(r"([\w.-]+/)?[\w.-]+-v\d+", name):
        close = [f"gym:{name}"]
    meant = f" (did you mean {' or '.join(close)}?)" if close else ""
    known = ", ".join((*TASKS, "reach:ROBOT", "push:ROBOT", "gym:ID"))
    raise ValueError(f"task must be one of {known} or module:factory, got {name!r}{meant}")


def _registered(gym_id: str, mode: dict[str, Any]) -> GoalEnv:
    """Make an environment by its id; unknown ids are registered by importing Gymnasium-Robotics."""
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
