"""The settings of the learner, one frozen dataclass; a checkpoint carries them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tdm_ros.replay.relabel import GoalMix


@dataclass(frozen=True)
class TdmConfig:
    """Settings of `TdmAgent` and `Learner`. Distances are in parts of the task's goal scale unless a unit is given.

    Parameters
    ----------
    hidden : int
        Width of both hidden layers.
    batch_size : int
        Transitions an update.
    learning_rate : float
        Adam step size of actor and critics.
    final_learning_rate : float
        Part of ``learning_rate`` that is left when ``total_steps`` are reached.
    polyak : float
        Part of the way that target networks move towards the learned ones in each update (the paper's soft tau).
    average : float
        The same for the averaged actor, the one that is published and evaluated.
    loss_scale : float
        Distances are multiplied by it before they are squared.
    effort : float
        Pull of the actor's actions towards zero, as a part of the mean slope of the distance over the actions. It
        keeps joints that do not matter to the goal from wandering, so that an arm that has arrived rests.
    near_scale : float
        Width of the second, saturating difference input.
    updates_per_step : int
        Gradient updates for each environment step.
    random_steps : int
        Steps of random actions before learning; their statistics normalise the observations from then on.
    catch_up_updates : int
        Updates at the moment when learning begins.
    total_steps : int
        Length of the schedule of learning rate and exploration [steps]; 0: both stay as they are.
    noise : float
        Standard deviation of the exploration noise [action units].
    goals : GoalMix
    """

    hidden: int = 128
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.2
    polyak: float = 0.01
    average: float = 0.002
    loss_scale: float = 5.0
    effort: float = 0.5
    near_scale: float = 0.15
    updates_per_step: int = 5
    random_steps: int = 300
    catch_up_updates: int = 750
    total_steps: int = 0
    noise: float = 0.2
    goals: GoalMix = field(default_factory=GoalMix)

    def __post_init__(self) -> None:
        for name in ("hidden", "batch_size", "updates_per_step", "random_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"TdmConfig.{name} must be >= 1, got {getattr(self, name)}")
        for name in ("learning_rate", "loss_scale", "near_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"TdmConfig.{name} must be positive, got {getattr(self, name)}")
        for name in ("polyak", "average", "final_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"TdmConfig.{name} must be in (0, 1], got {getattr(self, name)}")
        for name in ("total_steps", "noise", "effort", "catch_up_updates"):
            if getattr(self, name) < 0:
                raise ValueError(f"TdmConfig.{name} must be >= 0, got {getattr(self, name)}")

    def progress(self, steps: int) -> float:
        """Part of the schedule that is over after ``steps`` environment steps, in [0, 1]."""
        return min(1.0, steps / self.total_steps) if self.total_steps else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TdmConfig:
        """Rebuild from `to_json` data.

        Raises
        ------
        ValueError
            If a field is unknown or out of range.
        """
        try:
            return cls(**{**data, "goals": GoalMix(**data["goals"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a learner configuration: {error}") from error
