"""Action server `reach_goal` of the planner, with feedback for each subgoal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future

from tdm_ros.action import ReachGoal
from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, State
from tdm_ros.control.validation import Rejections, printable
from tdm_ros.nodes.convert import floats
from tdm_ros.nodes.node_runner import every
from tdm_ros.planning.live import LivePlanner, SubgoalUpdate
from tdm_ros.planning.space import Array
from tdm_ros.srv import RequestGoal

AGAIN_CYCLES = 8
"""Cycles before the end of an episode at which its goal is asked for once more; the supervisor decides 4 before."""
ASK_EVERY_S = 0.5
WATCH_S = 0.1
UNANSWERED = 10
"""Requests to the supervisor whose answers are waited for."""
WITHDRAWN = 100
"""Goals that were withdrawn last: an episode may have been announced for them already."""
LONGEST_S = 1e6
"""Longest time budget [s]."""
Result = ReachGoal.Result
CALLED_OFF = (Result.OUT_OF_TIME, Result.CANCELED, Result.PREEMPTED)
"""Results after which the arm is commanded to hold; after the others it holds already, or is at the goal."""


@dataclass
class _Asked:
    """A goal that is pursued."""

    handle: Any
    goal_id: str
    goal: Array
    tolerance: float
    end_s: float
    over: bool = False
    distance: float = float("nan")
    plans: set[int] = field(default_factory=set)
    segments: int = 0
    reached: float = float("nan")
    order: SubgoalUpdate | None = None
    asked_s: float = -float("inf")
    begun: int = 0


def _settled(handle: Any) -> Any:
    """Stand in for rclpy's callback of every goal: each gets its own when it is over."""
    raise AssertionError("a goal is settled with a callback of its own")


class ReachAction:
    """Has the supervisor run episodes for a goal until the hand is there.

    Parameters
    ----------
    node : Node
    live : LivePlanner
    budget_s : float
        Time for a goal that names none [s].
    say : callable
        Publishes an order.
    rejections : Rejections
        Counts and logs goals that are rejected: an action's answer has no room for a reason.
    """

    def __init__(
        self,
        node: Node,
        live: LivePlanner,
        budget_s: float,
        say: Callable[[SubgoalUpdate], None],
        rejections: Rejections,
    ) -> None:
        self._node, self._live, self._budget_s, self._say, self._rejections = node, live, budget_s, say, rejections
        self._asked: _Asked | None = None
        self._withdrawn: deque[str] = deque(maxlen=WITHDRAWN)
        self._requests = node.create_client(RequestGoal, "supervisor/request_goal")
        self._unanswered: deque[Future] = deque(maxlen=UNANSWERED)
        self._server = ActionServer(
            node,
            ReachGoal,
            "reach_goal",
            _settled,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        every(node, WATCH_S, self._watch)

    def _on_goal(self, request: ReachGoal.Goal) -> GoalResponse:
        """Reject a goal that is none."""
        if problem := self._malformed(request):
            self._rejections.reject("reach_goal: rejected", problem)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        """Pursue a goal from now on; what rclpy calls its execution comes when it is over, so that nothing waits."""
        request = handle.request
        tolerance = float(request.tolerance) or self._live.task.success
        end_s = time.monotonic() + (float(request.time_budget_s) or self._budget_s)
        goal = np.array(request.goal, np.float32)
        asked = _Asked(handle, bytes(handle.goal_id.uuid).hex(), goal, tolerance, end_s)
        if problem := self._problem(asked):
            self._settle(asked, *problem)
            return
        if self._asked is not None:
            self._end(self._asked, Result.PREEMPTED, "another goal took its place")
        self._asked = asked

    def _settle(self, asked: _Asked, status: int, reason: str) -> None:
        """Tell the client how its goal ended."""

        def settle(handle: Any) -> Any:
            ends = {Result.REACHED: handle.succeed, Result.CANCELED: handle.canceled}
            ends.get(status, handle.abort)()
            return Result(
                status=status, reason=reason, distance=asked.distance, plans=len(asked.plans), segments=asked.segments
            )

        asked.over = True
        asked.handle.execute(settle)

    def _malformed(self, request: ReachGoal.Goal) -> str:
        """Return why a request is not one for a goal of this task, or ""."""
        task = self._live.task
        if request.task not in ("", task.fingerprint):
            return f"goal of another task, {printable(request.task, 100)}; this is {task.fingerprint}"
        if len(request.goal) != task.goal.size:
            return f"goal must have shape ({task.goal.size},), got ({len(request.goal)},)"
        goal = np.array(request.goal, np.float32)
        if not ((goal >= task.goal.low) & (goal <= task.goal.high)).all():
            box = f"{list(task.goal.low)} and {list(task.goal.high)} {task.goal.unit}"
            return f"goal must be finite and within {box}, got {goal.tolist()}"
        if not (0 <= request.tolerance < np.inf and 0 <= request.time_budget_s <= LONGEST_S):
            return (
                f"tolerance must be finite and time_budget_s in [0, {LONGEST_S:g}] s, neither negative; got "
                f"{request.tolerance} and {request.time_budget_s}"
            )
        return ""

    def _problem(self, asked: _Asked) -> tuple[int, str] | None:
        """Return why a goal cannot be pursued now, as status and reason, or None if it can."""
        planner = self._live.planner
        if planner is not None and planner.keep_out.contains(asked.goal):
            return Result.GOAL_IN_KEEP_OUT, f"the goal {asked.goal.tolist()} is inside a keep-out box"
        if planner is not None and not planner.ready:
            return Result.NO_EXPERIENCE, "nothing has been learned, or seen, yet that a plan could be made of"
        return None

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if self._asked is not None and self._asked.handle.goal_id == handle.goal_id:
            self._node.executor.create_task(self._end, self._asked, Result.CANCELED, "called off by who asked")
        return CancelResponse.ACCEPT

    def look(self, sample: ArmSample, orders: Sequence[SubgoalUpdate]) -> None:
        """Take in a state of the arm, and what the planner says to it."""
        for told in self._announced():
            if told.goal_id in self._withdrawn:
                self._call_off(told.episode, "the goal was called off")
        asked = self._asked
        if asked is None:
            return
        asked.distance = float(self._live.task.distance(sample.hand_m, asked.goal))
        running, newest = self._live.running, self._live.newest
        if self._is_for(asked, running):
            asked.begun = running.episode
            for order in orders:
                if order.episode == running.episode:
                    self._note(asked, order)
            if self._asked is asked and asked.distance <= asked.tolerance:
                self._end(asked, Result.REACHED, f"the hand is {asked.distance:.3f} m from the goal")
            if running.start_cycle + running.length - sample.cycle > AGAIN_CYCLES:
                return
        replaced = newest.state == State.RUNNING and newest.goal_id not in ("", asked.goal_id)
        if self._asked is asked and replaced and newest.episode > asked.begun > 0:
            self._end(asked, Result.PREEMPTED, "another goal was asked for meanwhile", call_off=False)
        elif self._asked is asked and not self._is_for(asked, newest, after=running):
            self._ask(asked)

    def _announced(self) -> list[Announcement]:
        return [told for told in (self._live.running, self._live.newest) if told.state == State.RUNNING]

    def _is_for(self, asked: _Asked, told: Announcement, after: Announcement | None = None) -> bool:
        """Whether an episode is for this goal; with ``after``, and another than that one."""
        ours = told.state == State.RUNNING and told.goal_id == asked.goal_id
        return ours and (after is None or after.state != State.RUNNING or told.episode != after.episode)

    def _note(self, asked: _Asked, order: SubgoalUpdate) -> None:
        """Tell the client of an order, or that it is over."""
        if not len(order.goal):
            if order.status != "OUT_OF_TIME":
                self._end(asked, getattr(Result, order.status), order.reason)
            return
        for segment in self._live.ended:
            asked.segments += 1
            asked.reached = segment.miss
        asked.plans.add(order.number)
        feedback = ReachGoal.Feedback(
            plan=order.number,
            segment=order.knot + 1,
            segments=len(order.plan.knots),
            status=int(order.status == "DIRECT"),
            subgoal=floats(order.goal),
            predicted_distance=float(order.plan.predicted_miss[order.knot]),
            reached_distance=asked.reached,
            distance=asked.distance,
        )
        asked.handle.publish_feedback(feedback)

    def _ask(self, asked: _Asked) -> None:
        """Ask the supervisor for an episode, now and then until there is one."""
        now_s = time.monotonic()
        if now_s - asked.asked_s < ASK_EVERY_S:
            return
        asked.asked_s = now_s
        self._request(asked).add_done_callback(lambda answered: self._on_answer(asked, answered))

    def _on_answer(self, asked: _Asked, answered: Future) -> None:
        answer = answered.result()
        if answer is not None and not answer.accepted:
            self._end(asked, Result.BAD_GOAL, f"the supervisor: {printable(answer.reason)}")

    def _request(self, asked: _Asked, withdrawn: bool = False) -> Future:
        """Ask, or withdraw; of requests that nobody answers the oldest are forgotten."""
        if len(self._unanswered) == UNANSWERED:
            self._requests.remove_pending_request(self._unanswered[0])
        request = RequestGoal.Request(
            goal_id=asked.goal_id, withdrawn=withdrawn, goal=floats(asked.goal), task=self._live.task.fingerprint
        )
        answer = self._requests.call_async(request)
        self._unanswered.append(answer)
        return answer

    def _watch(self) -> None:
        """End a goal whose time is over, even if the arm is silent."""
        asked = self._asked
        if asked is not None and time.monotonic() > asked.end_s:
            begun = "" if asked.plans else "; the supervisor never began an episode for it (it may be evaluating)"
            self._end(asked, Result.OUT_OF_TIME, f"the time budget is over{begun}")

    def _end(self, asked: _Asked, status: int, reason: str, call_off: bool = True) -> None:
        """Settle how a goal ended; unless it was reached the arm holds, or does already.

        Without ``call_off`` its episode runs to its end, which is that of another goal's beginning.
        """
        if asked.over:
            return
        self._asked = None
        self._request(asked, withdrawn=True)
        if status in CALLED_OFF and call_off:
            self._withdrawn.append(asked.goal_id)
        for told in self._announced() if call_off else ():
            further = told.episode != self._live.running.episode
            if self._is_for(asked, told) and (further or status in CALLED_OFF):
                self._call_off(told.episode, reason)
        self._settle(asked, status, reason)

    def _call_off(self, episode: int, reason: str) -> None:
        order = self._live.cancel(episode, reason)
        if order is not None:
            self._say(order)
