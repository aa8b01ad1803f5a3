"""Orders of the planner to the policy, and their outcome."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tdm_ros.control.statistics import Durations
from tdm_ros.planning.execution import Segment
from tdm_ros.planning.plan import Plan
from tdm_ros.planning.space import Array


@dataclass(frozen=True)
class Order:
    """A subgoal for the policy, or a hold.

    Parameters
    ----------
    episode, number : int
        Of the episode, and of the plan.
    status : str
        Name of a `Status`, or CANCELED.
    reason : str
    start_cycle, steps_left : int
        ``steps_left`` [steps] applies at ``start_cycle``.
    goal : (G,) float32 [goal unit]
        Empty: hold.
    plan : Plan
        What it is part of.
    knot : int
        Which knot of it, from 0.
    """

    episode: int
    number: int
    status: str
    reason: str
    start_cycle: int
    steps_left: int
    goal: Array
    plan: Plan
    knot: int

    @property
    def last(self) -> bool:
        """Whether it is the goal."""
        return 0 <= self.knot == len(self.plan.knots) - 1


@dataclass
class Tally:
    """What became of plans and of segments."""

    plans: Counter[str] = field(default_factory=Counter)
    cpu: Durations = field(default_factory=Durations)
    segments: int = 0
    predicted: float = 0.0
    reached: float = 0.0

    def count(self, plan: Plan) -> None:
        """Count a plan."""
        self.plans[plan.status.value] += 1
        self.cpu.add(plan.cpu_s)

    def end(self, segment: Segment) -> None:
        """Count a segment that is over."""
        if np.isfinite(segment.predicted_miss):
            self.segments += 1
            self.predicted += segment.predicted_miss
            self.reached += segment.miss

    def values(self) -> dict[str, object]:
        """Flat, for the diagnostics."""
        count = max(self.segments, 1)
        spread = {f"plan_cpu_ms.{key}": value for key, value in self.cpu.summary_ms().items()}
        found = {f"plans.{status}": count for status, count in sorted(self.plans.items())}
        missed = {"predicted_m": self.predicted / count, "reached_m": self.reached / count}
        return {"plans": self.plans.total(), **found, **spread, "segments": self.segments, **missed}
