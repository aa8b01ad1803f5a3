"""Planner for nodes and benchmarks: returns subgoals to a goal, or the reason why there are none."""

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
from tdm_ros.planning.model import Model, shortest_times
from tdm_ros.planning.optimiser import SLACK, Optimiser, Proposal
from tdm_ros.planning.plan import Plan, Status
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.sampling import Cem, Mppi
from tdm_ros.planning.space import Array, GoalSpace, KeepOut
from tdm_ros.planning.states import SeenStates
from tdm_ros.tasks import TaskSpec

RANGE = (0.1, 1000.0)
"""Bounds of a multiplier that is not 0, as in the authors' code."""


@dataclass
class Multiplier:
    """Dual variable of the constraint that all but a few segments end within a tolerance of their knots.

    Projected ascent in the logarithm, from executed segments and not from predicted ones: optimistic critics lose
    weight. It settles where the allowed part of the segments misses. A constraint on the mean miss would allow a
    segment through a wall after a row of good ones.

    Source: arXiv 1802.09081, section 5, relaxes the constraint by a Lagrange multiplier. The authors' code doubles or
    halves it; here the change is proportional to the violation, and slow downwards.
    """

    value: float
    """Initial value; 0 stays 0 (the constraint is left out)."""
    tolerance: float
    """Tolerated miss [goal unit]."""
    rate: float = 0.5
    """Largest increase of the logarithm per segment."""
    allowed: float = 0.05
    """Part of the segments that may miss; an arrival lowers the logarithm by at most that part of the rate."""

    def executed(self, miss: float) -> float:
        """Update with the miss of an executed segment [goal unit]; return the new value. NaN is ignored."""
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
}
"""Optimisers by name."""

PASSED = 2.0
"""Tolerances within which an executed segment does not count as a miss: the arm passes knots without stopping there."""


@dataclass(frozen=True)
class PlannerSettings:
    """Settings of a `SubgoalPlanner`."""

    optimiser: str = "graph"
    """One of `OPTIMISERS`."""
    objective: Objective | None = None
    """Default: `Objective.for_task`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the optimiser by name."""
    seed: int = 0
    all_dimensions: bool = False
    """Whether all goal dimensions count, also those that the task's score does not name: for goals of a stage."""

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser must be one of {', '.join(OPTIMISERS)}, got {self.optimiser!r}")


class SubgoalPlanner:
    """Plans subgoals with a model of what is reachable. ``clock`` is that of time budgets [s]."""

    def __init__(
        self, task: TaskSpec, settings: PlannerSettings | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.task = task
        self.settings = settings or PlannerSettings()
        self.objective = self.settings.objective or Objective.for_task(task)
        self.optimiser = OPTIMISERS[self.settings.optimiser](**self.settings.options)
        self.keep_out = KeepOut()
        """Keep-out boxes; may be replaced at any time."""
        self._clock = clock
        self._space = GoalSpace.of(task)
        self._model: Model | None = None
        self._states: SeenStates | None = None
        self.restart()

    def restart(self) -> None:
        """Plan as a new planner would: without the last plan and executed segments, with the first random numbers."""
        self.multiplier = Multiplier(self.objective.multiplier, PASSED * self.objective.tolerance)
        self._rng = np.random.default_rng(self.settings.seed)
        self._last: tuple[Array, Array] | None = None
        self._status: Status | None = None

    @property
    def ready(self) -> bool:
        """Whether there are a model and seen states."""
        return self._model is not None and self._states is not None

    def learn(self, model: Model | None = None, states: SeenStates | None = None) -> None:
        """Set a new model, new seen states, or both; recomputes the graph, which takes longer than a plan."""
        self._model = model or self._model
        self._states = states or self._states
        if self._model is not None and self._states is not None:
            self.optimiser.prepare(self._model, self._states, self.objective)

    def executed(self, predicted: ArrayLike, reached: ArrayLike) -> float:
        """Update the multiplier with the planned and the reached end of a segment, (G,) each [goal unit].

        A `DIRECT` plan does not change it. Returns the multiplier.
        """
        if self._status is Status.DIRECT:
            return self.multiplier.value
        miss = self._space.distance(np.asarray(reached, np.float32), np.asarray(predicted, np.float32))
        return self.multiplier.executed(float(miss))

    def free(self, start: Array, end: Array) -> bool:
        """Whether the straight line between two points, (G,) each, keeps its margin from the keep-outs."""
        return not bool(self.keep_out.crosses(start, end, self.objective.margin, may_leave=True))

    def forget(self) -> None:
        """Do not start the next plan from the last one."""
        self._last = None

    def plan(
        self, observation: ArrayLike, achieved: ArrayLike, goal: ArrayLike, budget_s: float = float("inf")
    ) -> Plan:
        """Plan subgoals to a goal. Never raises for invalid arguments: the status names the error.

        (O,), (G,) and (G,) [goal unit]; after ``budget_s`` the best plan so far is returned.
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
        free = np.zeros(len(asked), np.bool_) if self.settings.all_dimensions else None
        known = self.task, self._model, self._states, state, here, asked, self.objective, self.keep_out
        return self._solve(Problem(*known, free=free, multiplier=self.multiplier.value), late)

    def _solve(self, problem: Problem, late: Callable[[], bool]) -> Plan:
        by = self.objective
        direct = self._direct(problem)
        if by.formulation == "direct" or (direct.free and direct.miss[0] <= by.tolerance):
            if not direct.free:
                return self._none(Status.UNREACHABLE, "the straight line to the goal crosses a keep-out")
            return self._made(Status.DIRECT, direct, f"the predicted miss of the goal itself is {direct.miss[0]:.3f}")
        found = None if late() else self.optimiser.solve(problem, self._rng, self._warm(problem.goal), late)
        if found is not None and found.free and found.miss.max() <= by.acceptable and self._arrives(problem, found):
            worst = found.miss.max()
            if direct.free and direct.miss[0] <= worst:
                reason = f"the predicted miss of the goal itself is {direct.miss[0]:.3f}, of a plan {worst:.3f}"
                return self._made(Status.DIRECT, direct, reason)
            reason = f"{len(found.knots)} knots, worst miss {worst:.3f}, end {found.away[-1]:.3f} from the goal"
            return self._made(Status.PLANNED, found, reason)
        if direct.free and direct.miss[0] <= by.acceptable:
            return self._made(Status.DIRECT, direct, f"no better plan; predicted miss {direct.miss[0]:.3f}")
        if late() or (found is not None and found.timed_out):
            return self._none(Status.OUT_OF_TIME, "the time budget was over before a path was found")
        return self._none(Status.UNREACHABLE, self._why(problem, found, direct))

    def _direct(self, problem: Problem) -> Proposal:
        """Proposal of the goal itself, over the horizon with the smallest predicted miss."""
        model = problem.model
        here = problem.observation[None], problem.achieved[None], problem.goal[None]
        slack = SLACK * problem.objective.tolerance
        steps, miss = shortest_times(model, *here, model.horizon + 1, slack, problem.counted)
        margin, may_leave = problem.margins(1)
        crossed = problem.keep_out.crosses(problem.achieved, problem.goal, margin[0], may_leave[0])
        knots = problem.goal[None]
        cost = float(problem.cost(knots[None])[0])
        return Proposal(knots, steps, miss, miss, not bool(crossed), cost)

    def _arrives(self, problem: Problem, found: Proposal) -> bool:
        """Whether a plan ends near the goal or, where the goal is far, still approaches it at its end."""
        near = self.objective.acceptable
        if found.away[-1] <= near or not problem.far:
            return bool(found.away[-1] <= near)
        start = self._space.distance(problem.achieved, problem.goal, problem.counted)
        before = found.away[-2] if len(found.away) > 1 else start
        return bool(before - found.away[-1] > near / 2)

    def _why(self, problem: Problem, found: Proposal | None, direct: Proposal) -> str:
        if found is None:
            return (
                f"no path of segments with a predicted miss below {self.objective.acceptable:.3f} leads to "
                f"{_text(problem.goal)}; the predicted miss of the goal itself is {direct.miss[0]:.3f}"
            )
        if not found.free:
            return f"no path around the keep-outs to {_text(problem.goal)} was found"
        away, worst = found.away[-1], found.miss.max()
        return f"the best plan to {_text(problem.goal)} ends {away:.3f} from it and misses a knot by {worst:.3f}"

    def _warm(self, goal: Array) -> Array | None:
        """Knots of the last plan, if it was for the same goal."""
        if self._last is None or not np.array_equal(self._last[0], goal):
            return None
        return self._last[1]

    def _made(self, status: Status, found: Proposal, reason: str) -> Plan:
        return Plan(status, found.knots, found.steps, found.miss, found.cost, reason)

    def _none(self, status: Status, reason: str) -> Plan:
        return Plan.none(status, reason, self.task.goal.size)


def _text(point: Array) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in point) + ")"
