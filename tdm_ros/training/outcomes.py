"""Rollouts to goals at several distances, with the predictions of the critics before each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.sim.goal_env import GoalEnv
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.training.evaluation import Judged
from tdm_ros.training.reachability import predicted
from tdm_ros.training.states import as_states

GOALS = 50
"""Resets that goals are taken from."""
WAYS = (0.1, 0.3, 1.0)
"""Goals lie this part of the way from where the agent is to one of those."""


class Outcome(NamedTuple):
    """One goal that was gone for, over ``steps_left + 1`` steps."""

    episode: int
    steps_left: int
    """[steps]"""
    predicted: float
    """Distance that the critics expected [goal unit]."""
    std: float
    """Spread of the critics' points [goal unit]."""
    before: float
    """Distance at the start [goal unit]."""
    reached: float
    """Distance that was left [goal unit]."""


def horizons_of(task: TaskSpec) -> tuple[int, ...]:
    """The horizons that are looked at [steps]: 0, 1, 3, half of the longest and the longest, as far as they fit."""
    longest = min(task.horizon, task.episode_steps - 1)
    return tuple(sorted({h for h in (0, 1, 3, longest // 2, longest) if h <= longest}))


def outcomes(
    agent: TdmAgent,
    env: GoalEnv,
    task: TaskSpec,
    episodes: int,
    seed: int,
    each: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Go for goals at several distances, from wherever the last one ended, over each horizon about equally often.

    Nothing is asked of the environment but `reset` and `step`: the policy is played out, ``steps_left`` counting down
    to 0. What an end of the episode cuts short is left out.

    Parameters
    ----------
    agent : TdmAgent
    env : GoalEnv
        With actions in [-1, 1].
    task : TaskSpec
    episodes, seed : int
        Starts and goals are those of the stream "evaluate".
    each : callable
        Called after each episode.

    Raises
    ------
    ValueError
        If ``episodes`` is less than 2, or the critics predict no points.
    """
    if episodes < 2:
        raise ValueError(f"episodes must be >= 2, one half fixes the interval, the other checks it; got {episodes}")
    walk = _Walk(agent, env, task, seed, min(episodes, GOALS))
    found: list[Outcome] = []
    for episode in range(episodes):
        found += walk.episode(episode)
        each()
    return found


class _Walk:
    """Wanders from goal to goal."""

    def __init__(self, agent: TdmAgent, env: GoalEnv, task: TaskSpec, seed: int, goals: int) -> None:
        self._agent, self._env, self._task, self._seed = agent, Judged(env), task, seed
        # The policy itself, without the choice of a shorter horizon: that is whom the critics speak of.
        self._actor = NumpyActor(agent.actor_tensors("hold"))
        self._goals = [np.asarray(self._reset(number)["desired_goal"], np.float32) for number in range(goals)]
        self._played = dict.fromkeys(horizons_of(task), 0)

    def _reset(self, episode: int) -> dict[str, NDArray[Any]]:
        seen: dict[str, NDArray[Any]] = self._env.reset(seed=reset_seed("evaluate", self._seed, episode))[0]
        return seen

    def episode(self, episode: int) -> Iterator[Outcome]:
        rng = np.random.default_rng(np.random.SeedSequence([5, self._seed, episode]))
        seen, left, over = self._reset(episode), self._task.episode_steps, False
        while not over:
            fitting = [h for h in self._played if h < left]
            if not fitting:
                return
            horizon = min(fitting, key=lambda h: (self._played[h], rng.random()))
            goal = self._goal(seen, rng)
            states, _ = as_states(self._task, seen, goal, horizon)
            distance, std = predicted(self._agent, self._task, states)
            before = self._distance(seen, goal)
            for steps_left in range(horizon, -1, -1):
                if over:
                    return
                at, achieved = (np.asarray(seen[key], np.float32) for key in ("observation", "achieved_goal"))
                seen, _, terminated, truncated, _ = self._env.step(self._actor.act(at, achieved, goal, steps_left))
                over, left = bool(terminated or truncated), left - 1
            self._played[horizon] += 1
            yield Outcome(episode, horizon, float(distance[0]), float(std[0]), before, self._distance(seen, goal))

    def _goal(self, seen: dict[str, NDArray[Any]], rng: np.random.Generator) -> NDArray[np.float32]:
        here = np.asarray(seen["achieved_goal"], np.float32)
        there = self._goals[rng.integers(len(self._goals))]
        return (here + rng.choice(WAYS) * self._task.goal.difference(there, here)).astype(np.float32)

    def _distance(self, seen: dict[str, NDArray[Any]], goal: NDArray[np.float32]) -> float:
        return float(self._task.distance(self._env.achieved(seen["achieved_goal"]), goal))
