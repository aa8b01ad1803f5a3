"""Validation of steps from a message or a file before they are learned from."""

from __future__ import annotations

from tdm_ros.replay.store import Step
from tdm_ros.tasks import TaskSpec

ACTION_SLACK = 1e-3
"""Rounding by which an executed action may leave [-1, 1]."""


def check_step(step: Step, task: TaskSpec) -> None:
    """Check every vector of a step before it is kept.

    Raises
    ------
    ValueError
        If a vector has another size than the task's, is not finite, or farther out than any robot gets.
    """
    kinds = {"observation": task.observation, "next_observation": task.observation}
    kinds |= {"achieved": task.goal, "next_achieved": task.goal, "desired": task.goal}
    for name, channels in kinds.items():
        channels.plausible(getattr(step, name), name)
    action = task.action.checked(step.action, "action")
    if (abs(action) > 1 + ACTION_SLACK).any():
        raise ValueError(f"action must be in [-1, 1], got {action.tolist()}")
