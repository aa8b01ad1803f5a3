"""How well does it reach? Fresh goals, no noise, the distance that is left at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import Purpose, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.episode import GoalEnv, Policy, play
from tdm_ros.training.metrics import summarise

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
    """

    seed: int
    final_distance: tuple[float, ...]
    steps_to_reach: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `tdm_ros evaluate --json` prints."""
        reached = [steps for steps in self.steps_to_reach if steps is not None]
        return {
            "episodes": len(self.final_distance),
            "seed": self.seed,
            **summarise(list(self.final_distance)),
            "steps_to_2cm": {"median": float(np.median(reached)) if reached else None},
        }


def actor_policy(actor: NumpyActor) -> Policy:
    """The policy without noise."""
    return lambda now: actor.act(*now)


def evaluate(
    policy: Policy,
    env: GoalEnv,
    task: TaskSpec,
    episodes: int,
    seed: int,
    purpose: Purpose = "evaluate",
    each: Callable[[float], None] = lambda distance: None,
) -> Evaluation:
    """Play ``episodes`` episodes on the goals of ``seed``.

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
    finals: list[float] = []
    times: list[int | None] = []
    for episode in range(episodes):
        distances = [
            float(task.distance(step.next_achieved, step.desired))
            for step, _ in play(env, task, policy, reset_seed(purpose, seed, episode))
        ]
        finals.append(distances[-1])
        times.append(next((t + 1 for t, distance in enumerate(distances) if distance <= REACHED), None))
        each(finals[-1])
    return Evaluation(seed, tuple(finals), tuple(times))
