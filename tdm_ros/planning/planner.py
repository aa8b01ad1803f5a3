"""Planner for nodes and benchmarks: takes experience and a goal, returns subgoals or a reason."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.planning.gradient import Gradient
from tdm_ros.planning.graph import Graph
from tdm_ros.planning.model import Model, quickest
from tdm_ros.planning.optimiser import SLACK, Optimiser, Proposal
from tdm_ros.planning.plan import Plan, Status
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.sampling import Cem, Mppi
from tdm_ros.planning.slsqp import Slsqp
from tdm_ros.planning.space import Array, GoalSpace, KeepOut
from tdm_ros.planning.states import SeenStates
from tdm_ros.tasks import TaskSpec

RANGE = (0.1, 1000.0)
"""As in the authors' code."""


@dataclass
class Multiplier:
    """Dual variable of the constraint that all but a few segments miss their knots by no more than is tolerated.

    Projected ascent in the logarithm, from what was executed and not from what was predicted: critics that promise too
    much are believed less and less. It settles where the allowed part of the segments misses; were the mean miss to be
    just tolerated instead, a row of good segments would buy a way through a wall.

    Parameters
    ----------
    value : float
        At first; zero stays zero (the constraint is left out).
    tolerance : float
        Miss that is tolerated [goal unit].
    rate : float
        The most that one segment raises the logarithm by.
    allowed : float
        Part of the segments that may miss; an arrival lowers the logarithm by that part of the rate at most.

    Source: arXiv 1802.09081, section 5, relaxes the constraint by a Lagrange multiplier. The authors' code doubles or
    halves it; here it moves in proportion to the violation, and slowly down.
    """

    value: float
    tolerance: float
    rate: float = 0.5
    allowed: float = 0.05

    def __post_init__(self) -> None:
        if not (self.value >= 0 and self.tolerance > 0 and self.rate >= 0):
            raise ValueError(
                "Multiplier needs value >= 0, tolerance > 0 and rate >= 0, "
                f"got {self.value}, {self.tolerance} and {self.rate}"
            )

    def executed(self, miss: float) -> float:
        """Learn how far from its knot a segment ended [goal unit]; returns the new value. NaN is not looked at."""
        if self.value > 0 and math.isfinite(miss):
            violation = max(-1.0, min(1.0, miss / self.tolerance - 1))
            violation *= self.allowed if violation < 0 else 1.0
            low, high = RANGE
            self.value = min(max(self.value * math.exp(self.rate * violation), low), high)
        return self.value


OPTIMISERS: dict[str, type[Optimiser]] = {
    "graph": Graph,
    "cem": Cem,
    "mppi": Mppi,
    "gradient": Gradient,
    "slsqp": Slsqp,
}
"""Ways to solve the problem, by name."""

PASSED = 2.0
"""A knot that is passed on the way is never met exactly: up to so many tolerances an executed segment did not miss."""


@dataclass(frozen=True)
class PlannerSettings:
    """How to plan.

    Parameters
    ----------
    optimiser : str
        One of `OPTIMISERS`.
    objective : Objective, optional
        Left out, `Objective.for_task`.
    options : mapping
        Parameters of the optimiser by name.
    seed : int
    every : bool
        Whether all goal dimensions count, also those that the task's score does not name: for the goal of a stage.
    """

    optimiser: str = "graph"
    objective: Objective | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    every: bool = False

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser must be one of {', '.join(OPTIMISERS)}, got {self.optimiser!r}")


class SubgoalPlanner:
    """Plans over a model of what can be reached.

    Parameters
    ----------
    task : TaskSpec
    settings : PlannerSettings
    clock : callable
        Time that budgets are measured with [s].
    """

    def __init__(
        self, task: TaskSpec, settings: PlannerSettings | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.task = task
        self.settings = settings or PlannerSettings()
        self.objective = self.settings.objective or Objective.for_task(task)
        self.optimiser = OPTIMISERS[self.settings.optimiser](**self.settings.options)
        self.keep_out = KeepOut()
        """Assign another to plan around other boxes."""
        self.multiplier = Multiplier(self.objective.multiplier, PASSED * self.objective.tolerance)
        self._clock = clock
        self._space = GoalSpace.of(task)
        self._model: Model | None = None
        self._states: SeenStates | None = None
        self._rng = np.random.default_rng(self.settings.seed)
        self._last: tuple[Array, Array] | None = None
        self._status: Status | None = None

    @property
    def ready(self) -> bool:
        """Whether there are weights and states to plan with."""
        return self._model is not None and self._states is not None

    def learn(self, model: Model | None = None, states: SeenStates | None = None) -> None:
        """Take new weights, new states, or both; the graph is made anew, which takes longer than a plan."""
        self._model = model or self._model
        self._states = states or self._states
        if self._model is not None and self._states is not None:
            self.optimiser.prepare(self._model, self._states, self.objective)

    def executed(self, predicted: ArrayLike, reached: ArrayLike) -> float:
        """Learn where a segment of the last plan was to end and where it did, (G,) each [goal unit].

        Where the policy itself was used there was no plan to be wrong. Returns the multiplier.
        """
        if self._status is Status.DIRECT:
            return self.multiplier.value
        miss = self._space.distance(np.asarray(reached, np.float32), np.asarray(predicted, np.float32))
        return self.multiplier.executed(float(miss))

    def free(self, start: Array, end: Array) -> bool:
        """Whether the straight way between two points, (G,) each, keeps its distance from the keep-outs."""
        return not bool(self.keep_out.crosses(start, end, self.objective.margin, way_out=True))

    def forget(self) -> None:
        """Begin the next plan without the last one."""
        self._last = None

    def plan(
        self, observation: ArrayLike, achieved: ArrayLike, goal: ArrayLike, budget_s: float = float("inf")
    ) -> Plan:
        """Find subgoals on the way to a goal. Never raises for what it is given; the status says what is wrong.

        Parameters
        ----------
        observation : (O,)
        achieved, goal : (G,) [goal unit]
        budget_s : float
            Time after which whatever was found is returned [s].
        """
        began, cpu = self._clock(), time.thread_time()
        plan = self._plan(observation, achieved, goal, lambda: self._clock() - began >= budget_s)
        self._last = (np.array(goal, np.float32), plan.knots) if plan.usable else None
        self._status = plan.status if plan.usable else self._status
        return replace(plan, optimiser=self.settings.optimiser, cpu_s=time.thread_time() - cpu)

    def _plan(self, observation: ArrayLike, achieved: ArrayLike, goal: ArrayLike, late: Callable[[], bool]) -> Plan:
        try:
            asked = self.task.goal.checked(goal, "goal")
        except (ValueError, TypeError) as error:
            return self._none(Status.BAD_GOAL, f"no goal: {error}")
        try:
            state = self.task.observation.checked(observation, "observation")
            here = self.task.goal.checked(achieved, "achieved")
        except (ValueError, TypeError) as error:
            return self._none(Status.BAD_STATE, f"no state: {error}")
        if self.keep_out.contains(asked):
            return self._none(Status.GOAL_IN_KEEP_OUT, f"the goal {_text(asked)} is inside a keep-out box")
        if self._model is None or self._states is None:
            lacks = "learned weights" if self._model is None else "seen states"
            return self._none(Status.NO_EXPERIENCE, f"there are no {lacks} yet to plan with")
        free = np.zeros(len(asked), np.bool_) if self.settings.every else None
        known = self.task, self._model, self._states, state, here, asked, self.objective, self.keep_out
        return self._solve(Problem(*known, free=free, multiplier=self.multiplier.value), late)

    def _solve(self, problem: Problem, late: Callable[[], bool]) -> Plan:
        by = self.objective
        direct = self._direct(problem)
        if by.formulation == "direct" or (direct.free and direct.miss[0] <= by.tolerance):
            if not direct.free:
                return self._none(Status.UNREACHABLE, "the straight way to the goal crosses a keep-out")
            return self._made(Status.DIRECT, direct, f"the policy itself is expected to miss by {direct.miss[0]:.3f}")
        found = None if late() else self.optimiser.solve(problem, self._rng, self._warm(problem.goal), late)
        if found is not None and found.free and found.miss.max() <= by.acceptable and self._arrives(problem, found):
            if direct.free and direct.miss[0] <= found.miss.max():
                reason = (
                    f"the policy itself is expected to miss by {direct.miss[0]:.3f}, a plan by {found.miss.max():.3f}"
                )
                return self._made(Status.DIRECT, direct, reason)
            reason = (
                f"{len(found.knots)} knots, worst miss {found.miss.max():.3f}, at the end {found.away[-1]:.3f} away"
            )
            return self._made(Status.PLANNED, found, reason)
        if direct.free and direct.miss[0] <= by.acceptable:
            return self._made(Status.DIRECT, direct, f"no better plan; expected to miss by {direct.miss[0]:.3f}")
        if late() or (found is not None and found.late):
            return self._none(Status.OUT_OF_TIME, "the time was over before a way was found")
        return self._none(Status.UNREACHABLE, self._why(problem, found, direct))

    def _direct(self, problem: Problem) -> Proposal:
        """What the policy alone promises: the goal itself, over the horizon that promises most."""
        model = problem.model
        here = problem.observation[None], problem.achieved[None], problem.goal[None]
        slack = SLACK * problem.objective.tolerance
        steps, miss = quickest(model, *here, model.horizon + 1, slack, problem.counted)
        margin, way_out = problem.margins(1)
        crossed = problem.keep_out.crosses(problem.achieved, problem.goal, margin[0], way_out[0])
        knots = problem.goal[None]
        cost = float(problem.cost(knots[None])[0])
        return Proposal(knots, steps, miss, miss, not bool(crossed), cost)

    def _arrives(self, problem: Problem, found: Proposal) -> bool:
        """Whether a plan ends near the goal, or, where that is far, is still on its way when it ends."""
        near = self.objective.acceptable
        if found.away[-1] <= near or not problem.far:
            return bool(found.away[-1] <= near)
        start = self._space.distance(problem.achieved, problem.goal, problem.counted)
        before = found.away[-2] if len(found.away) > 1 else start
        return bool(before - found.away[-1] > near / 2)

    def _why(self, problem: Problem, found: Proposal | None, direct: Proposal) -> str:
        if found is None:
            return (
                f"no chain of reaches that are expected to miss by less than {self.objective.acceptable:.3f} leads to "
                f"{_text(problem.goal)}; the policy itself is expected to miss it by {direct.miss[0]:.3f}"
            )
        if not found.free:
            return f"no way around the keep-outs to {_text(problem.goal)} was found"
        away, worst = found.away[-1], found.miss.max()
        return f"the best plan to {_text(problem.goal)} ends {away:.3f} beside it and misses a knot by {worst:.3f}"

    def _warm(self, goal: Array) -> Array | None:
        """The last plan, where it was for the same goal."""
        if self._last is None or not np.array_equal(self._last[0], goal):
            return None
        return self._last[1]

    def _made(self, status: Status, found: Proposal, reason: str) -> Plan:
        return Plan(status, found.knots, found.steps, found.miss, found.cost, reason)

    def _none(self, status: Status, reason: str) -> Plan:
        return Plan.none(status, reason, self.task.goal.size)


def _text(point: Array) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in point) + ")"
