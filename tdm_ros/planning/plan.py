"""Plan and its execution: subgoals with their times, current knot, when to plan again."""

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


@dataclass(frozen=True)
class PursuitSettings:
    """When a knot is done with, and when a plan is.

    Parameters
    ----------
    replan_steps : int
        Plan anew after so many steps at the latest [steps].
    passed : float
        A knot before the last counts as passed when it is nearer than this [goal unit]; the next one follows at once.
    off_plan : float
        Plan anew when the straight way to the knot is farther away than this [goal unit].
    """

    replan_steps: int = 10
    passed: float = 0.04
    off_plan: float = 0.1

    def __post_init__(self) -> None:
        if self.replan_steps < 1 or not (self.passed >= 0 and self.off_plan > 0):
            raise ValueError(
                "replan_steps >= 1, passed >= 0 and off_plan > 0 are needed, "
                f"got {self.replan_steps}, {self.passed} and {self.off_plan}"
            )

    @classmethod
    def for_task(cls, task: TaskSpec, replan_steps: int = 10) -> PursuitSettings:
        """Lengths in parts of the task's goal scale."""
        unit = GoalSpace.of(task).unit
        return cls(replan_steps, 0.2 * unit, 0.5 * unit)


class Target(NamedTuple):
    """What the policy is to go for at present."""

    knot: Array
    """(G,) [goal unit]"""
    steps_left: int
    """Further steps after the next state [steps]."""
    number: int
    """Which knot of the plan, from 0."""


class Segment(NamedTuple):
    """A segment that is over."""

    number: int
    """Which of its plan, from 0."""
    knot: Array
    """(G,) where it was to end [goal unit]"""
    reached: Array
    """(G,) where it did [goal unit]"""
    predicted_miss: float
    """[goal unit]"""
    miss: float
    """[goal unit]"""
    steps: int
    """That it took [steps]."""


class Pursuer:
    """Follows plans, one after the other. Steps are counted by the caller: cycles of an arm, or steps of an episode.

    Parameters
    ----------
    space : GoalSpace
    settings : PursuitSettings
    free : callable
        Whether the straight way between two points, (G,) each, may be gone; a knot is not left early otherwise.
    """

    def __init__(
        self,
        space: GoalSpace,
        settings: PursuitSettings,
        free: Callable[[Array, Array], bool] = lambda start, end: True,
    ) -> None:
        self.space, self.settings, self._free = space, settings, free
        self.plan: Plan | None = None
        """The plan that is followed; none before the first, and after one that is not to be pursued."""
        self._number = self._first = 0
        self._planned = self._since = self._until = 0
        self._from = np.zeros(len(space.scale), np.float32)

    def begin(self, plan: Plan, step: int, achieved: ArrayLike) -> None:
        """Take a new plan, made at ``step`` for the state at ``achieved``, (G,) [goal unit]; an unusable one: hold.

        Knots that are passed already are left out: a plan that begins with a seen state right here would else be
        replaced, once that is passed, by one that begins with it again. And a plan that goes for the same point as the
        last one does not put it off: what can be had within some steps at any time would never be had.
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
        """Look at where one is, once a step: the segments that are over, which the planner is to learn from."""
        here = np.asarray(achieved, np.float32)
        done: list[Segment] = []
        while self.plan is not None and self._number < len(self.plan.knots) and self._over(step, here):
            plan, number = self.plan, self._number
            knot = plan.knots[number]
            miss = float(self.space.distance(here, knot))
            predicted = float(plan.predicted_miss[number])
            done.append(Segment(number, knot, here, predicted, miss, step - self._since))
            self._number += 1
            self._start(step, here)
        return done

    def target(self, step: int) -> Target | None:
        """What to go for at ``step``; after the last knot, that one. None: hold."""
        if self.plan is None:
            return None
        number = min(self._number, len(self.plan.knots) - 1)
        return Target(self.plan.knots[number], max(self._until - step - 1, 0), number)

    def due(self, step: int, achieved: ArrayLike) -> str:
        """Why it is time for a new plan, or "": none yet, schedule, a segment or the plan is over, off the plan."""
        if self.plan is None:
            return "no plan"
        if self._number >= len(self.plan.knots):
            return "end of the plan"
        if step - self._planned >= self.settings.replan_steps:
            return "schedule"
        if self._number > self._first and self._since == step:
            return "end of a segment"
        if self.aside(achieved) > self.settings.off_plan:
            return "off the plan"
        return ""

    def aside(self, achieved: ArrayLike) -> float:
        """How far the straight way of the present segment is away [goal unit]."""
        if self.plan is None or self._number >= len(self.plan.knots):
            return 0.0
        way = self.space.gap(self.plan.knots[self._number], self._from)
        gone = self.space.gap(np.asarray(achieved, np.float32), self._from)
        length = float(way @ way)
        part = min(max(float(gone @ way) / length, 0.0), 1.0) if length > 0 else 0.0
        return float(np.linalg.norm(gone - part * way))

    def _over(self, step: int, here: Array) -> bool:
        assert self.plan is not None
        return step >= self._until or self._passed(here)

    def _passed(self, here: Array) -> bool:
        """Whether the present knot, not the last, is near enough, and the next one may be gone for."""
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
