"""One episode of any goal-conditioned environment, with the horizon bookkeeping that a TDM needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.replay import Step
from tdm_ros.sim.goal_env import GoalEnv
from tdm_ros.tasks import TaskSpec


class Situation(NamedTuple):
    """What a policy decides on."""

    observation: NDArray[np.float32]
    """(O,)"""
    achieved: NDArray[np.float32]
    """(G,) [goal unit]"""
    goal: NDArray[np.float32]
    """(G,) [goal unit]"""
    steps_left: int
    """Steps of the episode that follow the next state [steps]."""
    time: int
    """Steps since it began [steps]."""


Policy = Callable[[Situation], NDArray[np.float32]]


def play(env: GoalEnv, task: TaskSpec, policy: Policy, seed: int) -> Iterator[tuple[Step, bool]]:
    """Reset ``env`` with ``seed`` and act until the episode ends; yields each step and whether it was the last.

    A step holds the action that was executed, where the environment says so (``info["executed_action"]``).
    """
    seen, _ = env.reset(seed=seed)
    last, time = False, 0
    while not last:
        now = _situation(seen, task.episode_steps - 1 - time, time)
        action = policy(now)
        seen, _, terminated, truncated, info = env.step(action)
        then = _situation(seen, 0, time + 1)
        executed = np.asarray(info.get("executed_action", action), np.float32)
        last, time = bool(terminated or truncated), time + 1
        step = Step(
            now.observation, executed, then.observation, now.achieved, then.achieved, now.goal, bool(terminated)
        )
        yield step, last


def _situation(seen: dict[str, NDArray[Any]], steps_left: int, time: int) -> Situation:
    observation, achieved, goal = (
        np.asarray(seen[key], np.float32) for key in ("observation", "achieved_goal", "desired_goal")
    )
    return Situation(observation, achieved, goal, max(steps_left, 0), time)
