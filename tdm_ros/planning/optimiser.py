"""Common interface of the optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning.model import Model
from tdm_ros.planning.objective import Objective
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.space import Array
from tdm_ros.planning.states import SeenStates
from tdm_ros.planning.timing import quickest

Late = Callable[[], bool]
"""Whether the time for planning is over."""

SLACK = 0.25
"""What a knot may be missed by beyond the best that is promised, to be there sooner [parts of the tolerance]."""


def never() -> bool:
    """There is no hurry."""
    return False


class Proposal(NamedTuple):
    """What an optimiser found; whether it is good enough is for others to say."""

    knots: Array
    """(n, G) [goal unit]"""
    steps: NDArray[np.int64]
    """(n,) for each [steps]"""
    miss: Array
    """(n,) predicted miss of each, by the worst member [goal unit]"""
    away: Array
    """(n,) how far from the goal one is expected to be then, by the worst member, in what counts [goal unit]"""
    free: bool
    """Whether the straight way from knot to knot crosses no keep-out."""
    cost: float
    """By `Problem.cost`."""
    late: bool = False
    """Whether time ran out before the optimiser was done."""


class Optimiser(ABC):
    """Solves `Problem`s."""

    def prepare(self, model: Model, states: SeenStates, objective: Objective) -> None:  # noqa: B027 - few need it
        """Do once, with new weights or states, what holds for all problems that come."""

    @abstractmethod
    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: Late = never
    ) -> Proposal | None:
        """Look for the knots that cost least.

        Parameters
        ----------
        problem : Problem
        rng : numpy.random.Generator
            Two calls with generators of one seed give the same.
        warm : (m, G), optional
            Knots of the last plan that are still ahead [goal unit].
        late : callable
            Asked now and then; when it says yes, what was found so far is returned.

        Returns
        -------
        Proposal or None
            None if nothing can be proposed at all.
        """


def propose(problem: Problem, knots: Array, late: bool = False) -> Proposal:
    """Judge one candidate, (n, G); give each knot the time that it takes, and leave out those after the goal."""
    course = problem.follow(knots[None])
    terms = problem.judge(course)
    space = problem.model.space
    there = space.distance(course.end[0], problem.goal, problem.counted) <= 0.5 * problem.objective.tolerance
    count = int(np.argmax(there)) + 1 if there.any() else len(knots)
    margin, way_out = problem.margins(len(knots))
    away = space.distance(course.points[:, 0], problem.goal, problem.counted).max(axis=0)
    steps, miss = np.full(len(knots), problem.steps, np.int64), terms.miss[0]
    if not course.chained:
        before = np.concatenate([problem.observation[None], course.observation[0, :-1]])
        slack = SLACK * problem.objective.tolerance
        steps, miss = quickest(problem.model, before, course.start[0], knots, problem.steps, slack)
    crosses = problem.keep_out.crosses(course.start[0], course.end[0], margin, way_out)
    return Proposal(
        knots[:count].copy(),
        steps[:count],
        miss[:count],
        away[:count],
        not crosses[:count].any(),
        float(problem.weigh(terms)[0]),
        late,
    )
