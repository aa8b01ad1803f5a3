"""Objective of a plan: the settings of the problem, each with its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tdm_ros.planning.space import GoalSpace
from tdm_ros.tasks import TaskSpec

FORMULATIONS = ("k_step", "final_state", "explicit", "direct")


@dataclass(frozen=True)
class Objective:
    """How a plan is put together and weighed.

    Parameters
    ----------
    formulation : str
        The paper's, section 5: ``k_step`` (a knot every K steps, each to be reachable from the one before),
        ``final_state`` (a single knot), ``explicit`` (as k_step, with the task judged at the points that the critics
        predict, so that nothing needs to be constrained) or ``direct`` (the goal itself).
    segments : int
        Number of knots n.
    segment_steps : int
        Steps from one knot to the next, K [steps].
    tolerance : float
        Predicted miss of a segment up to which it counts as feasible [goal unit].
    acceptable : float
        A plan that misses a knot by more is none [goal unit]; infinite: whatever comes is taken.
    margin : float
        How much the keep-out boxes are grown [goal unit].
    multiplier : float
        What a predicted miss beyond the tolerance costs at first, beside a distance to the goal; 0 leaves the
        feasibility out. `Multiplier` changes it from what is executed.
    on_the_way : float
        What the distance to the goal costs at the knots before the last one; 1: the paper's sum over the knots.
    keep_out : float
        What being inside a keep-out box costs, beside a distance.
    limits : float
        What a joint beyond its range costs [goal unit a range].
    limit_margin : float
        Part of the range at each end that a joint is to stay away from.
    rarity : float
        What the distance to the nearest seen state costs beyond the spacing of the seen states.
    """

    formulation: str = "k_step"
    segments: int = 5
    segment_steps: int = 12
    tolerance: float = 0.02
    acceptable: float = 0.1
    margin: float = 0.0
    multiplier: float = 10.0
    on_the_way: float = 0.1
    keep_out: float = 20.0
    limits: float = 1.0
    limit_margin: float = 0.02
    rarity: float = 0.5

    def __post_init__(self) -> None:
        if self.formulation not in FORMULATIONS:
            raise ValueError(f"formulation must be one of {', '.join(FORMULATIONS)}, got {self.formulation!r}")
        if self.segments < 1 or self.segment_steps < 1:
            raise ValueError(f"segments and segment_steps must be >= 1, got {self.segments} and {self.segment_steps}")
        if not 0 < self.tolerance <= self.acceptable:
            raise ValueError(
                f"0 < tolerance <= acceptable is needed [goal unit], got {self.tolerance} and {self.acceptable}"
            )
        for name in ("margin", "multiplier", "on_the_way", "keep_out", "limits", "rarity"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.limit_margin < 0.5:
            raise ValueError(f"limit_margin must be in [0, 0.5), got {self.limit_margin}")

    @classmethod
    def for_task(cls, task: TaskSpec, **changes: Any) -> Objective:
        """Lengths in parts of the task's goal scale, times within its horizon; ``changes`` replace what they name."""
        unit = GoalSpace.of(task).unit
        made = {
            "segment_steps": min(12, task.horizon + 1),
            "tolerance": 0.1 * unit,
            "acceptable": 0.5 * unit,
        }
        return cls(**(made | changes))

    @property
    def knots(self) -> int:
        """Number of knots that an optimiser varies."""
        return self.segments if self.formulation in ("k_step", "explicit") else 1

    def steps(self, horizon: int) -> int:
        """Steps of a segment for a model that knows up to ``horizon`` steps left [steps]."""
        return min(self.segment_steps, horizon + 1) if self.formulation in ("k_step", "explicit") else horizon + 1
