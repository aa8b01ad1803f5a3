"""Result of planning: subgoals with their times and predicted distances, or the reason for a failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from tdm_ros.planning.space import Array


class Status(Enum):
    """How planning ended. Only a plan that was `PLANNED`, or is `DIRECT`, is to be pursued; for all others hold."""

    PLANNED = "planned"
    """Knots lead to the goal."""
    DIRECT = "direct"
    """The policy is better off going for the goal itself."""
    UNREACHABLE = "unreachable"
    """No way was found on which every segment is predicted to arrive, free of keep-outs."""
    GOAL_IN_KEEP_OUT = "goal_in_keep_out"
    NO_EXPERIENCE = "no_experience"
    """No weights yet, or no states."""
    BAD_GOAL = "bad_goal"
    """The goal has another size, or is not finite."""
    BAD_STATE = "bad_state"
    """So it is with the state."""
    OUT_OF_TIME = "out_of_time"
    """The budget was spent before a way was found."""


@dataclass(frozen=True)
class Plan:
    """Subgoals to pursue one after the other.

    Parameters
    ----------
    status : Status
    knots : (n, G) float32
        What the policy is asked for [goal unit]; n is 0 unless the plan is to be pursued.
    steps : (n,) int
        How long for each [steps].
    predicted_miss : (n,) float32
        How far from each knot one will be, by the critic that expects the worst [goal unit].
    cost : float
        By `Problem.cost`; smaller is better.
    reason : str
        A sentence for a person.
    optimiser : str
    cpu_s : float
        CPU time that it took [s].
    """

    status: Status
    knots: Array
    steps: np.ndarray
    predicted_miss: Array
    cost: float = float("inf")
    reason: str = ""
    optimiser: str = ""
    cpu_s: float = 0.0

    @classmethod
    def none(cls, status: Status, reason: str, goal_size: int, optimiser: str = "", cpu_s: float = 0.0) -> Plan:
        """No plan: hold, for this reason."""
        empty = np.zeros(0, np.float32)
        return cls(
            status,
            np.zeros((0, goal_size), np.float32),
            np.zeros(0, np.int64),
            empty,
            float("inf"),
            reason,
            optimiser,
            cpu_s,
        )

    @property
    def usable(self) -> bool:
        """Whether there is something to pursue."""
        return self.status in (Status.PLANNED, Status.DIRECT)
