"""Evaluation: episodes with fresh goals and no noise, and their final distances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.replay import Step
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import Purpose, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.metrics import summarise


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


REACHED = 0.02
"""Distance that counts as there, for the time to reach [goal unit; m for reaching]."""


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation.

    Parameters
    ----------
    seed : int
        Goals and starts came from it.
    final_distance : tuple of float
        An entry an episode [goal unit; m for reaching].
    steps_to_reach : tuple of int or None
        First step from which the distance is at most 2 cm, None where that never happened [steps].
    success_task : float or None
        Share of the episodes that end within the task's own ``success``.
    success_env : float or None
        Share of the episodes whose last ``info["is_success"]``, or else ``info["success"]``, is true, where the
        environment gives one.
    """

    seed: int
    final_distance: tuple[float, ...]
    steps_to_reach: tuple[int | None, ...]
    success_task: float | None = None
    success_env: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `tdm_ros evaluate --json` prints."""
        reached = [steps for steps in self.steps_to_reach if steps is not None]
        return {
            "episodes": len(self.final_distance),
            "seed": self.seed,
            **summarise(list(self.final_distance)),
            "steps_to_2cm": {"median": float(np.median(reached)) if reached else None},
            **{key: getattr(self, key) for key in ("success_task", "success_env") if getattr(self, key) is not None},
        }


def actor_policy(actor: NumpyActor) -> Policy:
    """The policy without noise."""

    def policy(now: Situation) -> NDArray[np.float32]:
        left = actor.steps_left(now.time, now.steps_left)
        return actor.act(now.observation, now.achieved, now.goal, left)

    return policy


def evaluate(
    policy: Policy,
    env: GoalEnv,
    task: TaskSpec,
    episodes: int,
    seed: int,
    purpose: Purpose = "evaluate",
    each: Callable[[float], None] = lambda distance: None,
) -> Evaluation:
    """Play ``episodes`` episodes on the goals of ``seed``; judge by `TaskSpec.distance`.

    Where the observations are noisy, and the environment or a wrapper has the attribute ``true_achieved``, the true
    state is judged. Where it asks for something else on the way and has the attribute ``judged_goal``, that counts.

    Parameters
    ----------
    policy : Policy
    env : GoalEnv
    task : TaskSpec
    episodes : int
    seed : int
    purpose : "evaluate" or "validate"
        Which stream of goals; neither meets the training one.
    each : callable
        Called with the final distance of each episode.

    Raises
    ------
    ValueError
        If ``episodes`` is not positive.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be >= 1, got {episodes}")
    judged = Judged(env)
    finals: list[float] = []
    times: list[int | None] = []
    successes: list[bool] = []
    for episode in range(episodes):
        distances = [
            float(task.distance(judged.achieved(step.next_achieved), judged_goal(judged, step.desired)))
            for step, _ in play(judged, task, policy, reset_seed(purpose, seed, episode))
        ]
        finals.append(distances[-1])
        times.append(next((t + 1 for t, distance in enumerate(distances) if distance <= REACHED), None))
        if judged.success is not None:
            successes.append(judged.success)
        each(finals[-1])
    within = float(np.mean(np.array(finals) <= task.success))
    return Evaluation(seed, tuple(finals), tuple(times), within, float(np.mean(successes)) if successes else None)


class Judged(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps what the environment says beside the observation: the true state, and whether it counts as a success."""

    success: bool | None = None

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        self.success = None
        return super().reset(**keywords)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = super().step(action)
        info = result[4]
        said = info.get("is_success", info.get("success"))
        self.success = None if said is None else bool(np.all(said))
        return result

    def achieved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the agent is, (G,) [goal unit]; ``seen`` is what it was told."""
        return self.get_wrapper_attr("true_achieved") if self.has_wrapper_attr("true_achieved") else seen


def judged_goal(env: GoalEnv, asked: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an episode is judged by, (G,) [goal unit]; ``asked`` is what it is asked for at present."""
    return env.get_wrapper_attr("judged_goal") if env.has_wrapper_attr("judged_goal") else asked
