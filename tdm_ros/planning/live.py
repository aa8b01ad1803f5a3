"""Decisions of the node `planner` per state of the arm: subgoal, replanning, hold. Independent of ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Thread

import numpy as np

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.loop_timing import Durations
from tdm_ros.control.timeline import Announcement, State, Timeline
from tdm_ros.planning.model import ReachModel
from tdm_ros.planning.plan import Plan, Pursuer, PursuitSettings, Segment, Status
from tdm_ros.planning.planner import SubgoalPlanner
from tdm_ros.planning.space import Array, GoalSpace
from tdm_ros.planning.states import SeenStates, candidates
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.replay.store import check_step
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor


@dataclass(frozen=True)
class SubgoalUpdate:
    """New subgoal for the policy, or a hold; the fields are those of the message `Subgoal`."""

    episode: int
    number: int
    status: str
    reason: str
    start_cycle: int
    steps_left: int
    goal: Array
    """(G,) [goal unit]; empty: hold."""
    plan: Plan
    knot: int
    """Its index in ``plan``, from 0."""
    ended: int
    reached: float
    """Number of segments of the episode that have ended, and final distance of the last one [goal unit], or NaN."""

    @property
    def predicted(self) -> float:
        """Predicted final distance to ``goal`` [goal unit]; NaN if there is no prediction."""
        return float(self.plan.predicted_miss[self.knot]) if self.knot >= 0 else float("nan")

    @property
    def last(self) -> bool:
        """Whether the subgoal is the goal."""
        return 0 <= self.knot == len(self.plan.knots) - 1


@dataclass
class PlanStatistics:
    """Counts of plans by status, and predicted against reached misses of segments."""

    plans: Counter[str] = field(default_factory=Counter)
    cpu: Durations = field(default_factory=Durations)
    segments: int = 0
    predicted: float = 0.0
    reached: float = 0.0

    def count(self, plan: Plan) -> None:
        self.plans[plan.status.value] += 1
        self.cpu.add(plan.cpu_s)

    def end(self, segment: Segment) -> None:
        """Count a finished segment."""
        if np.isfinite(segment.predicted_miss):
            self.segments += 1
            self.predicted += segment.predicted_miss
            self.reached += segment.miss

    def values(self) -> dict[str, object]:
        """Values for the diagnostics, flat."""
        count = max(self.segments, 1)
        spread = self.cpu.summary_ms("plan_cpu_ms")
        found = {f"plans.{status}": count for status, count in sorted(self.plans.items())}
        missed = {"predicted_m": self.predicted / count, "reached_m": self.reached / count}
        return {"plans": self.plans.total(), **found, **spread, "segments": self.segments, **missed}


STATES = 1000
"""Seen states per planner."""
REMEMBERED = 50_000
"""Newest transitions from which the seen states are drawn."""


class PlannerBuilder:
    """Builds planners from transitions and weights in a background thread: a build takes some hundred milliseconds.

    ``make`` makes a planner without model and states, and ``every_s`` is the least time between two builds; final
    weights are used at once.
    """

    def __init__(
        self, task: TaskSpec, make: Callable[[], SubgoalPlanner], rng: np.random.Generator, every_s: float
    ) -> None:
        self._task, self._make, self._rng, self._every_s = task, make, rng, every_s
        self._store = TrajectoryStore(task, REMEMBERED)
        self._weights: tuple[ReachModel, int] | None = None
        self._final = False
        self._built_s = -np.inf
        self._thread: Thread | None = None
        self._built: tuple[SubgoalPlanner, int] | None = None
        self._error: Exception | None = None
        self.version = 0
        """Version of the weights of the newest planner."""

    def __len__(self) -> int:
        return self._store.total

    def add(self, step: Step, last: bool) -> None:
        """Store a transition; one without a desired goal (a drive home) gets its next achieved goal.

        Raises ValueError if a size differs, or a value is not finite or not physical.
        """
        whole = step if step.desired.size else step._replace(desired=step.next_achieved)
        check_step(whole, self._task)
        self._store.add(whole, last)

    def set_weights(self, actor: NumpyActor, version: int, final: bool) -> str:
        """Use these weights in the next build; return "", or why they cannot be used."""
        task = self._task
        if actor.sizes != (sizes := (task.observation.size, task.goal.size, task.action.size)):
            return f"sizes {actor.sizes}, expected {sizes}"
        try:
            self._weights, self._final = (ReachModel(actor), version), final
        except ValueError as error:
            return str(error)
        return ""

    def poll(self, now_s: float) -> SubgoalPlanner | None:
        """Return a planner that was finished since the last call, else None; start the next build when it is due.

        Raises the error of a build that failed.
        """
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._built is not None:
                (planner, self.version), self._built = self._built, None
                return planner
        if self._weights is not None and len(self) and (self._final or now_s - self._built_s >= self._every_s):
            (model, version), self._weights, self._final, self._built_s = self._weights, None, False, now_s
            seen = candidates(self._store, self._rng)

            def build() -> None:
                try:
                    planner = self._make()
                    planner.learn(model, SeenStates.thinned(*seen, GoalSpace.of(self._task), STATES))
                    self._built = planner, version
                except Exception as error:
                    self._error = error

            self._thread = Thread(target=build, daemon=True)
            self._thread.start()
        return None


KEEPS_PLAN = (Status.OUT_OF_TIME, Status.UNREACHABLE)
"""Results of replanning after which the previous plan is kept."""
EXPLORES = (*KEEPS_PLAN, Status.NO_EXPERIENCE)
"""Results of planning after which an exploring training episode pursues the goal directly, which yields experience."""
RETRY_STEPS = 5
"""Steps before planning is tried again after a failure; after a time-out it is tried at once."""
MAX_ATTEMPTS = 3
"""Consecutive failures before a goal counts as unreachable: sampling planners may miss an existing path."""


class _EpisodePlan:
    """State of planning in one episode."""

    def __init__(self, announcement: Announcement, pursuer: Pursuer, plan: Plan) -> None:
        self.announcement, self.pursuer, self.plan = announcement, pursuer, plan
        self.number = 0
        self.canceled = False
        self.tried, self.wait = -1, 1
        self.failed = 0
        self.published = (0, 0)
        self.ended, self.reached = 0, float("nan")


class LivePlanner:
    """Plans for the supervisor's episodes, one state of the arm at a time.

    Without a planner the goal itself is the only subgoal. A plan takes at most ``budget_s``; there are ``replan_steps``
    between two plans.
    """

    def __init__(self, live: LiveTask, planner: SubgoalPlanner | None, budget_s: float, replan_steps: int) -> None:
        self._live, self.task, self.planner, self._budget_s = live, live.spec, planner, budget_s
        task = live.spec
        self.statistics = PlanStatistics()
        self._timeline = Timeline()
        self._settings = PursuitSettings.for_task(task, replan_steps)
        self._space = GoalSpace.of(task)
        self._episodes: dict[int, _EpisodePlan] = {}
        self._number = 0
        self._cycle = 0

    def announce(self, announcement: Announcement) -> None:
        """Store an announcement of the supervisor."""
        self._timeline.announce(announcement, self._cycle)

    @property
    def running(self) -> Announcement:
        """Announcement that applies to the last state."""
        return self._timeline.at(self._cycle)

    def update(self, sample: ArmSample) -> list[SubgoalUpdate]:
        """Process a state of the arm; return the new subgoals of the running and of the announced episode."""
        self._cycle = sample.cycle
        if self._live.problem(sample):
            return []
        announced = {t.episode: t for t in (self.running, self._timeline.newest) if t.state == State.RUNNING}
        self._episodes = {episode: planned for episode, planned in self._episodes.items() if episode in announced}
        updates = []
        for episode, announcement in announced.items():
            if episode not in self._episodes:
                self._episodes[episode] = self._begin(announcement)
            updates.append(self._update(self._episodes[episode], sample, max(sample.cycle, announcement.start_cycle)))
        return [update for update in updates if update is not None]

    def cancel(self, reason: str) -> list[SubgoalUpdate]:
        """Hold for the rest of the running and of the announced episode."""
        updates = []
        for planned in self._episodes.values():
            if planned.canceled:
                continue
            step, planned.canceled = max(self._cycle, planned.announcement.start_cycle), True
            planned.plan, planned.published = Plan.none(Status.UNREACHABLE, reason, self.task.goal.size), (0, 0)
            planned.pursuer.begin(planned.plan, step, planned.announcement.goal)
            updates.append(self._subgoal(planned, step))
        return [update for update in updates if update is not None]

    def set_planner(self, planner: SubgoalPlanner) -> None:
        """Replace the planner; keep-outs and multiplier are kept."""
        if self.planner is not None:
            planner.keep_out, planner.multiplier = self.planner.keep_out, self.planner.multiplier
        self.planner = planner

    def _begin(self, announcement: Announcement) -> _EpisodePlan:
        unplanned = Plan.none(Status.OUT_OF_TIME, "not planned yet", self.task.goal.size)
        return _EpisodePlan(announcement, Pursuer(self._space, self._settings, self._free), unplanned)

    def _free(self, start: Array, end: Array) -> bool:
        return self.planner is None or self.planner.free(start, end)

    def _update(self, planned: _EpisodePlan, sample: ArmSample, step: int) -> SubgoalUpdate | None:
        hand = self._live.achieved(sample)
        for segment in planned.pursuer.advance(step, hand):
            planned.ended, planned.reached = planned.ended + 1, segment.miss
            self.statistics.end(segment)
            if self.planner is not None and np.isfinite(segment.predicted_miss):
                self.planner.executed(segment.knot, segment.reached)
        if self._due(planned, step, hand):
            plan = self._retried(planned, self._plan(planned.announcement, sample))
            keeps = planned.pursuer.plan is not None and plan.status in KEEPS_PLAN
            late = plan.status == Status.OUT_OF_TIME and not keeps
            planned.tried, planned.wait = step, 1 if plan.usable or late else RETRY_STEPS
            if plan.usable or not keeps or self._blocked(planned, step, hand):
                self._take(planned, plan, step, hand)
        return self._subgoal(planned, step)

    def _due(self, planned: _EpisodePlan, step: int, hand: Array) -> bool:
        """Whether to plan in this step."""
        if planned.canceled:
            return False
        if self.planner is None:
            return planned.number == 0
        if self._blocked(planned, step, hand):
            return True
        waits = planned.number > 0 and step - planned.tried < planned.wait
        return not waits and bool(planned.pursuer.replan_reason(step, hand))

    def _blocked(self, planned: _EpisodePlan, step: int, hand: Array) -> bool:
        """Whether the straight line to the subgoal enters a keep-out; exploring episodes are exempt."""
        target = planned.pursuer.target(step)
        if target is None or self.planner is None or np.isnan(planned.plan.predicted_miss).any():
            return False
        return bool(self.planner.keep_out.crosses(hand, target.knot, may_leave=True))

    def _plan(self, announcement: Announcement, sample: ArmSample) -> Plan:
        if self.planner is None:
            return self._straight(announcement.goal, "no planner: the goal itself")
        seen = self._live.observe(sample)
        plan = self.planner.plan(seen, sample.hand_m, announcement.goal, self._budget_s)
        self.statistics.count(plan)
        if plan.status in EXPLORES and announcement.exploration > 0:
            return self._straight(announcement.goal, f"exploring; {plan.reason}")
        return plan

    def _retried(self, planned: _EpisodePlan, plan: Plan) -> Plan:
        """Report the first failures to find a path as a time-out, so that planning is tried again."""
        planned.failed = planned.failed + 1 if plan.status is Status.UNREACHABLE else 0
        if 0 < planned.failed < MAX_ATTEMPTS:
            return replace(plan, status=Status.OUT_OF_TIME, reason=f"not found yet: {plan.reason}")
        return plan

    def _straight(self, goal: Array, reason: str) -> Plan:
        """Plan of the goal alone, for the longest horizon, without a prediction."""
        steps = np.array([self.task.horizon + 1])
        return Plan(Status.DIRECT, goal[None], steps, np.full(1, np.nan, np.float32), reason=reason)

    def _take(self, planned: _EpisodePlan, plan: Plan, step: int, hand: Array) -> None:
        if not (plan.usable or planned.plan.usable) and planned.number and plan.status == planned.plan.status:
            return  # already holding for this reason
        self._number += 1
        planned.number, planned.plan = self._number, plan
        planned.pursuer.begin(plan, step, hand)

    def _subgoal(self, planned: _EpisodePlan, step: int) -> SubgoalUpdate | None:
        """Subgoal to publish, or None if it is unchanged."""
        target = planned.pursuer.target(step)
        knot = -1 if target is None else target.number
        if planned.published == (planned.number, knot):
            return None
        planned.published = planned.number, knot
        status = "CANCELED" if planned.canceled else planned.plan.status.name
        left, goal = (0, np.zeros(0, np.float32)) if target is None else (target.steps_left, target.knot)
        episode, plan = planned.announcement.episode, planned.plan
        progress = planned.ended, planned.reached
        return SubgoalUpdate(episode, planned.number, status, plan.reason, step, left, goal, plan, knot, *progress)
