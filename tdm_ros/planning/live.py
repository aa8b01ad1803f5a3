"""What the planner node decides, state by state: which subgoal now, when to plan anew, when to say hold. No ROS."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tdm_ros.control.arm_sample import ArmSample
from tdm_ros.control.statistics import Durations
from tdm_ros.control.timeline import Announcement, State, Timeline
from tdm_ros.planning.execution import Pursuer, PursuitSettings, Segment
from tdm_ros.planning.plan import Plan, Status
from tdm_ros.planning.planner import SubgoalPlanner
from tdm_ros.planning.space import Array
from tdm_ros.tasks import TaskSpec, observe

MAY_STAND = (Status.OUT_OF_TIME, Status.UNREACHABLE)
"""What may be said of a new plan while the last one stands."""
MAY_EXPLORE = (*MAY_STAND, Status.NO_EXPERIENCE)
"""What may be said of a plan while an exploring episode goes straight for its goal: that is how it gets better."""


@dataclass(frozen=True)
class Order:
    """A subgoal for the policy, or, with a status that is not to be pursued, a hold.

    Parameters
    ----------
    episode, number : int
        Of the episode, and of the plan.
    status : Status
    reason : str
    start_cycle, steps_left : int
        ``steps_left`` [steps] applies at ``start_cycle``.
    goal : (G,) float32 [goal unit]
    last : bool
        It is the goal.
    plan : Plan
        What it is part of.
    knot : int
        Which knot of it, from 0.
    """

    episode: int
    number: int
    status: Status
    reason: str
    start_cycle: int
    steps_left: int
    goal: Array
    last: bool
    plan: Plan
    knot: int


@dataclass
class Tally:
    """What became of plans and segments."""

    plans: Counter[Status] = field(default_factory=Counter)
    cpu: Durations = field(default_factory=Durations)
    segments: int = 0
    predicted: float = 0.0
    reached: float = 0.0

    def count(self, plan: Plan) -> None:
        """Count a plan."""
        self.plans[plan.status] += 1
        self.cpu.add(plan.cpu_s)

    def end(self, segment: Segment) -> None:
        """Count a segment that is over."""
        self.segments += 1
        self.predicted += segment.predicted_miss
        self.reached += segment.miss

    def values(self) -> dict[str, object]:
        """Flat, for the diagnostics."""
        mean = max(self.segments, 1)
        spread = {f"plan_cpu_ms.{key}": value for key, value in self.cpu.summary_ms().items()}
        found = {f"plans.{status.value}": count for status, count in self.plans.items()}
        missed = {"predicted_m": self.predicted / mean, "reached_m": self.reached / mean}
        return {"plans": self.plans.total(), **found, **spread, "segments": self.segments, **missed}


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
        self.task, self.planner, self.budget_s = task, planner, budget_s
        self.timeline = Timeline()
        self.tally = Tally()
        self.ended: list[Segment] = []
        """Segments that were over at the last look."""
        self._pursuers: dict[int, Pursuer] = {}
        self._settings = PursuitSettings.for_task(task, replan_steps)
        self._number = 0
        self._sent: Order | None = None
        self._cycle = 0

    def hear(self, told: Announcement) -> None:
        """Take in what the supervisor announced."""
        self.timeline.announce(told, self._cycle)

    def look(self, sample: ArmSample) -> list[Order]:
        """Take in a state of the arm; return what is new for the policy."""
        self._cycle, self.ended = sample.cycle, []
        told, newest = self.timeline.at(sample.cycle), self.timeline.newest
        orders = [self._follow(told, sample)] if told.state == State.RUNNING else []
        if newest.state == State.RUNNING and newest.start_cycle > sample.cycle and newest.episode not in self._pursuers:
            orders.append(self._begin(newest, sample))  # for its start, from where the hand is now
        wanted = {told.episode, newest.episode}
        self._pursuers = {episode: pursuer for episode, pursuer in self._pursuers.items() if episode in wanted}
        return [order for order in orders if order is not None]

    def quiet(self, cycles: int) -> bool:
        """Whether nothing will be asked for so many cycles: time to learn."""
        told = self.timeline.at(self._cycle)
        if told.state != State.RUNNING:
            return self.timeline.newest.state != State.RUNNING
        on_the_way = self._sent is not None and not self._sent.last
        return told.start_cycle + told.length - self._cycle > cycles and not on_the_way

    def hold(self, told: Announcement, status: Status, reason: str) -> Order:
        """Let an episode hold from now on."""
        plan = Plan.none(status, reason, self.task.goal.size)
        self._pursuers[told.episode] = self._pursuer()
        self._pursuers[told.episode].begin(plan, told.start_cycle, told.goal)
        return self._order(told, plan, self._cycle, 0, np.zeros(0, np.float32), 0)

    def _follow(self, told: Announcement, sample: ArmSample) -> Order | None:
        pursuer = self._pursuers.get(told.episode)
        if pursuer is None:
            return self._begin(told, sample)
        hand = sample.hand_m.astype(np.float32)
        self._advance(pursuer, sample.cycle, hand)
        if self.planner is not None and (pursuer.due(sample.cycle, hand) or self._barred(pursuer, sample.cycle, hand)):
            plan = self._plan(told, sample)
            stands = plan.status in MAY_STAND and pursuer.plan is not None
            if not stands or self._barred(pursuer, sample.cycle, hand):
                return self._take(told, plan, pursuer, sample.cycle, hand)
        target, sent = pursuer.target(sample.cycle), self._sent
        if target is None or pursuer.plan is None:
            return None
        if sent is not None and sent.plan is pursuer.plan and sent.knot == target.number:
            return None
        return self._order(told, pursuer.plan, sample.cycle, target.steps_left, target.knot, target.number)

    def _begin(self, told: Announcement, sample: ArmSample) -> Order | None:
        pursuer = self._pursuers[told.episode] = self._pursuer()
        plan = self._plan(told, sample)
        cycle = max(told.start_cycle, sample.cycle)
        return self._take(told, plan, pursuer, cycle, sample.hand_m.astype(np.float32))

    def _pursuer(self) -> Pursuer:
        from tdm_ros.planning.space import GoalSpace

        space = GoalSpace.of(self.task)
        return Pursuer(space, self._settings) if self.planner is None else Pursuer(space, self._settings, self.planner.free)
