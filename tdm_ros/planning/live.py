"""Decisions of the node `planner` per state: subgoal, when to plan again, when to hold. Independent of ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Thread

import numpy as np

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.loop_timing import Durations
from tdm_ros.control.timeline import Announcement, State, Timeline
from tdm_ros.planning.model import ReachModel
from tdm_ros.planning.plan import Plan, Pursuer, PursuitSettings, Segment, Status
from tdm_ros.planning.planner import SubgoalPlanner
from tdm_ros.planning.space import Array, GoalSpace
from tdm_ros.planning.states import CANDIDATES, SeenStates
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.replay.store import check_step
from tdm_ros.tasks import TaskSpec, observe
from tdm_ros.tdm.actor import NumpyActor


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


STATES = 1000
"""Seen states that are handed to the planner."""
REMEMBERED = 50_000
"""Transitions that they are taken from, the newest [1]."""


class Experience:
    """Makes planners from what came in, in a thread of its own: it takes some hundred milliseconds, a plan a few.

    Parameters
    ----------
    task : TaskSpec
    make : callable
        Makes a planner that has learned nothing.
    rng : numpy.random.Generator
        Which states are taken.
    every_s : float
        Least time between two times [s]; final weights are used at once.
    """

    def __init__(
        self, task: TaskSpec, make: Callable[[], SubgoalPlanner], rng: np.random.Generator, every_s: float
    ) -> None:
        self._task, self._make, self._rng, self._every_s = task, make, rng, every_s
        self._store = TrajectoryStore(task, REMEMBERED)
        self._fresh: tuple[ReachModel, int] | None = None
        self._hurry = False
        self._learned_s = -np.inf
        self._thread: Thread | None = None
        self._learned: tuple[SubgoalPlanner, int] | None = None
        self.version = 0
        """Of the weights that the newest planner uses."""

    def __len__(self) -> int:
        return self._store.total

    def add(self, step: Step, last: bool) -> None:
        """Take in a transition, one of a drive home without a goal, too.

        Raises
        ------
        ValueError
            If it is of another size, or not finite or physical.
        """
        whole = step if step.desired.size else step._replace(desired=step.next_achieved)
        check_step(whole, self._task)
        self._store.add(whole, last)

    def take(self, actor: NumpyActor, version: int, final: bool) -> str:
        """Take weights in; return "" or why they cannot be used."""
        task = self._task
        if actor.sizes != (sizes := (task.observation.size, task.goal.size, task.action.size)):
            return f"sizes {actor.sizes}, expected {sizes}"
        try:
            self._fresh, self._hurry = (ReachModel(actor), version), final
        except ValueError as error:
            return str(error)
        return ""

    def learned(self, now_s: float) -> SubgoalPlanner | None:
        """A new planner if one has just been made, else None; begins to make the next one when it is time."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            if self._learned is not None:
                (planner, self.version), self._learned = self._learned, None
                return planner
        if self._fresh is not None and len(self) and (self._hurry or now_s - self._learned_s >= self._every_s):
            (model, version), self._fresh, self._hurry, self._learned_s = self._fresh, None, False, now_s
            total, kept = self._store.total, len(self._store)
            index = self._rng.integers(total - kept, total, CANDIDATES)
            if kept <= CANDIDATES:
                index = np.arange(total - kept, total)
            seen, achieved = self._store.column("observation", index), self._store.column("achieved", index)

            def learn() -> None:
                planner = self._make()
                planner.learn(model, SeenStates.thinned(seen, achieved, GoalSpace.of(self._task), STATES))
                self._learned = planner, version

            self._thread = Thread(target=learn, daemon=True)
            self._thread.start()
        return None


MAY_STAND = (Status.OUT_OF_TIME, Status.UNREACHABLE)
"""What may come of a new plan while the last one stands."""
MAY_EXPLORE = (*MAY_STAND, Status.NO_EXPERIENCE)
"""What may come of a plan while an episode that explores goes straight for its goal: that is how it gets better."""
RETRY_STEPS = 5
"""Steps before what has failed is tried again; what was late is tried at once."""
TRIES = 3
"""No way was found so often, one after the other, before it is said that there is none: some planners draw."""


class _Course:
    """The plans of one episode."""

    def __init__(self, told: Announcement, pursuer: Pursuer, plan: Plan) -> None:
        self.told, self.pursuer, self.plan = told, pursuer, plan
        self.number = 0
        self.called_off = False
        self.tried, self.wait = -1, 1
        self.failed = 0
        self.said = (0, 0)


class LivePlanner:
    """Follows the supervisor's episodes with plans.

    Parameters
    ----------
    task : TaskSpec
    planner : SubgoalPlanner or None
        None passes every goal on.
    budget_s : float
        Longest time for a plan [s].
    replan_steps : int
        Steps after which a plan is made again [steps].
    """

    def __init__(self, task: TaskSpec, planner: SubgoalPlanner | None, budget_s: float, replan_steps: int) -> None:
        self.task, self.planner, self._budget_s = task, planner, budget_s
        self.tally = Tally()
        self.ended: list[Segment] = []
        """Segments that were over at the last look."""
        self._timeline = Timeline()
        self._settings = PursuitSettings.for_task(task, replan_steps)
        self._space = GoalSpace.of(task)
        self._courses: dict[int, _Course] = {}
        self._number = 0
        self._cycle = 0

    def hear(self, told: Announcement) -> None:
        """Take in what the supervisor announced."""
        self._timeline.announce(told, self._cycle)

    @property
    def running(self) -> Announcement:
        """What governs the last state that was looked at."""
        return self._timeline.at(self._cycle)

    @property
    def newest(self) -> Announcement:
        """What was announced last; it may begin later."""
        return self._timeline.newest

    def look(self, sample: ArmSample) -> list[Order]:
        """Take in a state of the arm; return what is new for the policy, for the episode that runs and the next."""
        self._cycle, self.ended = sample.cycle, []
        told = {t.episode: t for t in (self.running, self.newest) if t.state == State.RUNNING}
        self._courses = {episode: course for episode, course in self._courses.items() if episode in told}
        orders = []
        for episode, announced in told.items():
            if episode not in self._courses:
                self._courses[episode] = self._course(announced)
            orders.append(self._look(self._courses[episode], sample, max(sample.cycle, announced.start_cycle)))
        return [order for order in orders if order is not None]

    def call_off(self, episode: int, reason: str) -> Order | None:
        """Let an episode hold for good; None if it is not one that runs or is announced."""
        course = self._courses.get(episode)
        if course is None or course.called_off:
            return None
        course.called_off = True
        course.plan, course.said = Plan.none(Status.UNREACHABLE, reason, self.task.goal.size), (0, 0)
        course.pursuer.begin(course.plan, self._cycle, course.told.goal)
        return self._order(course, self._cycle)

    def swap(self, planner: SubgoalPlanner) -> None:
        """Plan with another planner from now on, that has learned more; what executions have taught stays."""
        if self.planner is not None:
            planner.keep_out, planner.multiplier = self.planner.keep_out, self.planner.multiplier
        self.planner = planner

    def _course(self, told: Announcement) -> _Course:
        unplanned = Plan.none(Status.OUT_OF_TIME, "not planned yet", self.task.goal.size)
        return _Course(told, Pursuer(self._space, self._settings, self._free), unplanned)

    def _free(self, start: Array, end: Array) -> bool:
        return self.planner is None or self.planner.free(start, end)

    def _look(self, course: _Course, sample: ArmSample, step: int) -> Order | None:
        hand = sample.hand_m.astype(np.float32)
        for segment in course.pursuer.advance(step, hand):
            self.ended.append(segment)
            self.tally.end(segment)
            if self.planner is not None and np.isfinite(segment.predicted_miss):
                self.planner.executed(segment.knot, segment.reached)
        if self._due(course, step, hand):
            plan = self._patient(course, self._plan(course.told, sample))
            stands = course.pursuer.plan is not None and plan.status in MAY_STAND
            late = plan.status == Status.OUT_OF_TIME and not stands
            course.tried, course.wait = step, 1 if plan.usable or late else RETRY_STEPS
            if plan.usable or not stands or self._barred(course, step, hand):
                self._take(course, plan, step, hand)
        return self._order(course, step)

    def _due(self, course: _Course, step: int, hand: Array) -> bool:
        """Whether to plan now."""
        if course.called_off:
            return False
        if self.planner is None:
            return course.number == 0
        if self._barred(course, step, hand):
            return True
        waits = course.number > 0 and step - course.tried < course.wait
        return not waits and bool(course.pursuer.due(step, hand))

    def _barred(self, course: _Course, step: int, hand: Array) -> bool:
        """Whether the straight way to what is pursued leads through what must be kept out of; exploring, it may."""
        target = course.pursuer.target(step)
        if target is None or self.planner is None or np.isnan(course.plan.predicted_miss).any():
            return False
        return bool(self.planner.keep_out.crosses(hand, target.knot, way_out=True))

    def _plan(self, told: Announcement, sample: ArmSample) -> Plan:
        if self.planner is None:
            return self._straight(told.goal, "passed on")
        seen = observe(sample.q_rad, sample.qd_rad_s, sample.hand_m)
        plan = self.planner.plan(seen, sample.hand_m, told.goal, self._budget_s)
        self.tally.count(plan)
        if plan.status in MAY_EXPLORE and told.exploration > 0:
            return self._straight(told.goal, f"exploring; {plan.reason}")
        return plan

    def _patient(self, course: _Course, plan: Plan) -> Plan:
        """Not to have found a way a few times is to be late."""
        course.failed = course.failed + 1 if plan.status is Status.UNREACHABLE else 0
        if 0 < course.failed < TRIES:
            return replace(plan, status=Status.OUT_OF_TIME, reason=f"not found yet: {plan.reason}")
        return plan

    def _straight(self, goal: Array, reason: str) -> Plan:
        """The goal itself, for the longest horizon, with nothing promised."""
        steps = np.array([self.task.horizon + 1])
        return Plan(Status.DIRECT, goal[None], steps, np.full(1, np.nan, np.float32), reason=reason)

    def _take(self, course: _Course, plan: Plan, step: int, hand: Array) -> None:
        if not (plan.usable or course.plan.usable) and course.number and plan.status == course.plan.status:
            return  # it holds already, and has said why
        self._number += 1
        course.number, course.plan = self._number, plan
        course.pursuer.begin(plan, step, hand)

    def _order(self, course: _Course, step: int) -> Order | None:
        """What is to be said now, or None if it has been said."""
        target = course.pursuer.target(step)
        knot = -1 if target is None else target.number
        if course.said == (course.number, knot):
            return None
        course.said = course.number, knot
        status = "CANCELED" if course.called_off else course.plan.status.name
        left, goal = (0, np.zeros(0, np.float32)) if target is None else (target.steps_left, target.knot)
        told, plan = course.told, course.plan
        return Order(told.episode, course.number, status, plan.reason, step, left, goal, plan, knot)
