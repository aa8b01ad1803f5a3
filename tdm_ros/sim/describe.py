"""Task description of a foreign environment: sizes from its spaces, goals and their scale from a few hundred resets."""

from __future__ import annotations

from typing import Any

import numpy as np

from tdm_ros.sim.checked_env import GoalEnv
from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tasks.spec import HORIZON

SURVEY_RESETS = 200
TIME_LIMIT = "_max_episode_steps"
"""Where `gymnasium.wrappers.TimeLimit` keeps its number, whether the environment was registered or wrapped by hand."""
SURVEY_EPISODES, LONGEST_STEPS = 5, 2000
"""Where there is no such number, the length of an episode is measured."""
RATE_HZ = 20.0
"""Control rate of an environment without ``render_fps`` in its metadata [Hz]."""
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
        If no episode ends within `LONGEST_STEPS`.
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
    """Length of the longest of a few episodes of random play, of an environment that truncates by itself [steps]."""
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
