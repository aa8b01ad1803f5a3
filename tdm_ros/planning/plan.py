"""Plan and its execution: subgoals with their times, current knot, replanning conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.planning.space import Array, GoalSpace
from tdm_ros.tasks import TaskSpec


class Status(Enum):
    """Result of planning. `PLANNED` and `DIRECT` plans are executed; all others mean hold."""

    PLANNED = "planned"
    """Knots lead to the goal."""
    DIRECT = "direct"
    """The goal itself is predicted to be reached at least as well as by a plan."""
    UNREACHABLE = "unreachable"
    """No path was found on which every segment is predicted to be reachable and free of keep-outs."""
    GOAL_IN_KEEP_OUT = "goal_in_keep_out"
    NO_EXPERIENCE = "no_experience"
    """There are no weights or no seen states yet."""
    BAD_GOAL = "bad_goal"
    """The goal has a wrong size or is not finite."""
    BAD_STATE = "bad_state"
    """The state has a wrong size or is not finite."""
    OUT_OF_TIME = "out_of_time"
    """The time budget was over before a path was found."""


@dataclass(frozen=True)
class Plan:
    """Subgoals to pursue one after the other."""

    status: Status
    knots: Array
    """(n, G): goals for the policy [goal unit]; n is 0 unless the plan is usable."""
    steps: np.ndarray
    """(n,): time of each segment [steps]."""
    predicted_miss: Array
    """(n,): predicted distance to each knot at its time, of the worst critic [goal unit]."""
    cost: float = float("inf")
    """`Problem.cost`; smaller is better."""
    reason: str = ""
    """Explanation for the operator."""
    optimiser: str = ""
    cpu_s: float = 0.0
    """CPU time of the calling thread [s]; that of `TDM.plan` includes the graph, if it is computed anew."""

    @classmethod
    def none(cls, status: Status, reason: str, goal_size: int) -> Plan:
        """Empty plan: hold, for this reason."""
        knots, steps, misses = np.zeros((0, goal_size), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(status, knots, steps, misses, reason=reason)

    @property
    def usable(self) -> bool:
        """Whether the plan is to be executed."""
        return self.status in (Status.PLANNED, Status.DIRECT)


@dataclass(frozen=True)
class PursuitSettings:
    """Conditions for the next knot and for replanning."""

    replan_steps: int = 10
    """Longest time between two plans [steps]."""
    passed: float = 0.04
    """A knot before the last one counts as passed within this distance [goal unit]; the next one follows at once."""
    off_plan: float = 0.1
    """Distance from the straight line to the knot at which a new plan is made [goal unit]."""

    @classmethod
    def for_task(cls, task: TaskSpec, replan_steps: int = 10) -> PursuitSettings:
        """Settings with lengths in parts of the task's goal scale."""
        unit = GoalSpace.of(task).unit
        return cls(replan_steps, 0.2 * unit, 0.5 * unit)


class Target(NamedTuple):
    """Present subgoal of the policy."""

    knot: Array
    """(G,) [goal unit]"""
    steps_left: int
    """Further steps after the next state [steps]."""
    number: int
    """Index of the knot in the plan, from 0."""


class Segment(NamedTuple):
    """Finished segment of a plan."""

    number: int
    """Index in its plan, from 0."""
    knot: Array
    """(G,) planned end [goal unit]"""
    reached: Array
    """(G,) actual end [goal unit]"""
    predicted_miss: float
    """[goal unit]"""
    miss: float
    """Distance between planned and actual end [goal unit]."""
    steps: int
    """Duration [steps]."""


class Pursuer:
    """Executes plans. The caller counts the steps: cycles of an arm, or steps of an episode.

    ``free`` returns whether the straight line between two points, (G,) each, is free; otherwise a knot is not left
    early.
    """

    def __init__(
        self,
        space: GoalSpace,
        settings: PursuitSettings,
        free: Callable[[Array, Array], bool] = lambda start, end: True,
    ) -> None:
        self.space, self.settings, self._free = space, settings, free
        self.plan: Plan | None = None
        """Plan in execution; None before the first one and after one that is not usable."""
        self._number = self._first = 0
        self._planned = self._since = self._until = 0
        self._from = np.zeros(len(space.scale), np.float32)

    def begin(self, plan: Plan, step: int, achieved: ArrayLike) -> None:
        """Start a plan made at ``step`` for the state at ``achieved``, (G,) [goal unit]; an unusable one means hold.

        Knots that are passed already are skipped: otherwise a plan that begins at a seen state close by would be
        replaced, once that is passed, by one that begins there again. A plan whose first subgoal equals the present
        one keeps its deadline, so that replanning cannot postpone it without end.
        """
        here = np.asarray(achieved, np.float32)
        last, until = self.target(step), self._until
        self.plan = plan if plan.usable else None
        self._number = 0
        while self.plan is not None and self._passed(here):
            self._number += 1
        self._first = self._number
        self._planned = step
        self._start(step, here)
        now = self.target(step)
        if last and now and until > step and self.space.distance(last.knot, now.knot) <= self.settings.passed:
            self._until = min(self._until, until)

    def advance(self, step: int, achieved: ArrayLike) -> list[Segment]:
        """Process the achieved goal of one step; return the finished segments."""
        here = np.asarray(achieved, np.float32)
        done: list[Segment] = []
        while (
            self.plan is not None
            and self._number < len(self.plan.knots)
            and (step >= self._until or self._passed(here))
        ):
            plan, number = self.plan, self._number
            knot = plan.knots[number]
            miss = float(self.space.distance(here, knot))
            predicted = float(plan.predicted_miss[number])
            done.append(Segment(number, knot, here, predicted, miss, step - self._since))
            self._number += 1
            self._start(step, here)
        return done

    def target(self, step: int) -> Target | None:
        """Subgoal at ``step``; after the last knot, that one. None: hold."""
        if self.plan is None:
            return None
        number = min(self._number, len(self.plan.knots) - 1)
        return Target(self.plan.knots[number], max(self._until - step - 1, 0), number)

    def replan_reason(self, step: int, achieved: ArrayLike) -> str:
        """Reason for a new plan (none yet, schedule, end of segment or plan, off the plan), or ""."""
        if self.plan is None:
            return "no plan"
        if self._number >= len(self.plan.knots):
            return "end of the plan"
        if step - self._planned >= self.settings.replan_steps:
            return "schedule"
        if self._number > self._first and self._since == step:
            return "end of a segment"
        if self.cross_track_error(achieved) > self.settings.off_plan:
            return "off the plan"
        return ""

    def cross_track_error(self, achieved: ArrayLike) -> float:
        """Distance from the straight line of the present segment [goal unit]."""
        if self.plan is None or self._number >= len(self.plan.knots):
            return 0.0
        line = self.space.gap(self.plan.knots[self._number], self._from)
        offset = self.space.gap(np.asarray(achieved, np.float32), self._from)
        length = float(line @ line)
        part = min(max(float(offset @ line) / length, 0.0), 1.0) if length > 0 else 0.0
        return float(np.linalg.norm(offset - part * line))

    def _passed(self, here: Array) -> bool:
        """Whether the present knot is near, is not the last, and the line to the next one is free."""
        assert self.plan is not None
        later = self._number + 1
        near = self.space.distance(here, self.plan.knots[self._number]) <= self.settings.passed
        return bool(near) and later < len(self.plan.knots) and self._free(here, self.plan.knots[later])

    def _start(self, step: int, here: Array) -> None:
        self._since, self._from = step, here
        plan = self.plan
        self._until = step
        if plan is not None and self._number < len(plan.steps):
            self._until += int(plan.steps[self._number])
