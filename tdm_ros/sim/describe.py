"""Describe a stranger's environment: sizes from its spaces, goals and their scale from a few hundred resets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdm_ros.sim.checked_env import GoalEnv
from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tasks.spec import HORIZON

SURVEY_RESETS = 200
TIME_LIMIT = "_max_episode_steps"
"""Where `gymnasium.wrappers.TimeLimit` keeps its number, whether the environment was registered or wrapped by hand."""
SCALE_OF_RANGE = 0.35
"""The goal scale of a described environment, as a part of the range of its goals: the ratio that reaching has."""
SUCCESS_OF_SCALE = 0.1
"""Success, where an environment names no ``distance_threshold``, as a part of that scale: again that of reaching."""
_UNIT = "environment units"


def describe(name: str, env: GoalEnv) -> TaskSpec:
    """Describe an environment without a `TaskSpec`: sizes from its spaces, goals from `SURVEY_RESETS` resets.

    Raises
    ------
    ValueError
        If its episodes have no end.
    """
    if not env.has_wrapper_attr(TIME_LIMIT):
        raise ValueError(f"{name} must end its episodes: wrap it in gymnasium.wrappers.TimeLimit")
    seen = [env.reset(seed=seed)[0] for seed in range(SURVEY_RESETS)]
    goals = np.array([s["desired_goal"] for s in seen], np.float64)
    reached = np.array([s["achieved_goal"] for s in seen], np.float64)
    low, high = goals.min(axis=0), goals.max(axis=0)
    span = np.maximum(high, reached.max(axis=0)) - np.minimum(low, reached.min(axis=0))
    # A coordinate that never differs (a goal on a table top) takes the scale of the others.
    scale = np.where(span > 1e-6, span * SCALE_OF_RANGE, SCALE_OF_RANGE * (span.max() or 1.0))
    threshold = getattr(env.unwrapped, "distance_threshold", None)
    names = tuple(f"goal_{i}" for i in range(goals.shape[1]))
    return TaskSpec(
        name=name,
        observation=_plain("observation", seen[0]["observation"].size, np.inf),
        action=_plain("action", env.action_space.shape[0], 1.0),  # type: ignore[index]
        goal=Channels(names, _UNIT, *(tuple(values.tolist()) for values in (low, high, scale))),
        horizon=HORIZON,
        episode_steps=env.get_wrapper_attr(TIME_LIMIT),
        rate_hz=float(env.metadata.get("render_fps", 20)),
        success=float(SUCCESS_OF_SCALE * scale.min() if threshold is None else threshold),
    )


def _plain(name: str, size: int, bound: float) -> Channels:
    names: Any = tuple(f"{name}_{i}" for i in range(size))
    return Channels(names, _UNIT, (-bound,) * size, (bound,) * size, (1.0,) * size)
