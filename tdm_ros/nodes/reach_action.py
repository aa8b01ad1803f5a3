"""Action server `reach_goal` of the supervisor: pursues a goal in episodes and forwards the planner's feedback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.action import ActionServer, CancelResponse, GoalResponse

from tdm_ros.action import ReachGoal
from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.episodes import EpisodeMachine
from tdm_ros.control.validation import check_vector, printable
from tdm_ros.msg import Subgoal
from tdm_ros.nodes.convert import floats
from tdm_ros.nodes.node_runner import ManagedNode, every

WATCH_S = 0.1  # period at which the time budget is checked [s]
LONGEST_S = 1e6  # longest time budget [s]
Result = ReachGoal.Result
PURSUED = (Subgoal.PLANNED, Subgoal.DIRECT)
GIVEN_UP = (Subgoal.UNREACHABLE, Subgoal.GOAL_IN_KEEP_OUT, Subgoal.NO_EXPERIENCE, Subgoal.BAD_GOAL, Subgoal.CANCELED)
"""Status of a subgoal that ends its episode. After the others a plan may still be found."""
ABORTED = (*GIVEN_UP, Subgoal.BAD_STATE)
"""Status of a subgoal that aborts the action's goal, with the same number."""


@dataclass
class _Pursued:
    handle: Any
    goal_id: str
    goal: NDArray[np.float32]
    tolerance: float
    end_s: float
    distance: float = float("nan")
    begun: bool = False
    plans: set[int] = field(default_factory=set)
    segments: dict[int, int] = field(default_factory=dict)  # number of subgoals that have ended, per episode


class ReachAction:
    """Pursues the newest goal of the action's clients, unless another goal was requested after it.

    An episode is recognised by the goal's identifier. A goal that gives no time has ``budget_s``. Rejected goals are
    counted and logged: the response of an action has no field for a reason.
    """

    def __init__(
        self,
        node: ManagedNode,
        machine: EpisodeMachine,
        budget_s: float,
        on_accepted: Callable[[], object],
    ) -> None:
        self._node, self._machine, self._budget_s, self._accepted = node, machine, budget_s, on_accepted
        self._pursued: _Pursued | None = None
        self._server = ActionServer(
            node,
            ReachGoal,
            "reach_goal",
            ReachGoal.Result,  # not called: each goal is settled with a callback of its own
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        every(node, WATCH_S, self._watch)

    def _on_goal(self, request: ReachGoal.Goal) -> GoalResponse:
        """Reject a goal that is malformed, or that no episode can be run for."""
        if problem := self._problem(request):
            self._node.rejections.reject("reach_goal: rejected", problem)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _problem(self, request: ReachGoal.Goal) -> str:
        if problem := self._node.not_active():
            return problem
        task = self._machine.task
        if request.task not in ("", task.fingerprint):
            return f"goal of another task, {printable(request.task, 100)}; this is {task.fingerprint}"
        if len(request.goal) != task.goal.size:
            return f"goal must have shape ({task.goal.size},), got ({len(request.goal)},)"
        if problem := self._machine.goals.check(request.goal):
            return problem
        if not (0 <= request.tolerance < np.inf and 0 <= request.time_budget_s <= LONGEST_S):
            return (
                f"tolerance must be finite and time_budget_s in [0, {LONGEST_S:g}] s, neither negative; got "
                f"{request.tolerance} and {request.time_budget_s}"
            )
        return "the run is over" if self._machine.done else ""

    def _on_accepted(self, handle: Any) -> None:
        """Pursue a goal from now on. Its execution, in rclpy's sense, is its end, so that no callback waits."""
        if self._pursued is not None:
            self._end(Result.PREEMPTED, "a newer goal of the action was accepted", stop=True)
        self._accepted()
        request = handle.request
        goal_id = bytes(handle.goal_id.uuid).hex()
        self._machine.goals.request(request.goal, goal_id)
        self._pursued = _Pursued(
            handle,
            goal_id,
            np.array(request.goal, np.float32),
            tolerance=float(request.tolerance) or self._machine.task.success,
            end_s=time.monotonic() + (float(request.time_budget_s) or self._budget_s),
        )

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if self._pursued is not None and self._pursued.handle.goal_id == handle.goal_id:
            self._node.executor.create_task(self._cancel, self._pursued)
        return CancelResponse.ACCEPT

    def _cancel(self, pursued: _Pursued) -> None:
        """End a goal after the response to the cancel request, unless it has ended meanwhile."""
        if self._pursued is pursued:
            self._end(Result.CANCELED, "canceled by the client", stop=True)

    def end(self, reason: str) -> None:
        """Abort the goal that is pursued, if there is one."""
        if self._pursued is not None:
            self._end(Result.CANCELED, reason, stop=True)

    def on_request(self) -> None:
        """End the goal if another one was requested; its episode runs until that of the other goal begins."""
        if self._pursued is not None and self._machine.goals.requested_id != self._pursued.goal_id:
            self._end(Result.PREEMPTED, "a newer goal was accepted on the topic goal")

    def on_sample(self, sample: ArmSample) -> None:
        """Take in a state of the arm, after the episode machine."""
        pursued, active = self._pursued, self._machine.active
        if pursued is None:
            return
        pursued.distance = float(self._machine.task.distance(self._machine.live.achieved(sample), pursued.goal))
        if active is not None and active.goal_id == pursued.goal_id:
            pursued.begun = True
            if pursued.distance <= pursued.tolerance:
                self._end(Result.REACHED, f"the hand is {pursued.distance:.3f} m from the goal")
        elif self._machine.done:
            self._end(Result.OUT_OF_TIME, "the run is over")

    def on_subgoal(self, message: Subgoal) -> None:
        """Forward a subgoal of an episode for the goal as feedback, or abort the goal if the planner gave it up."""
        pursued, episode = self._pursued, int(message.episode)
        if pursued is None or self._machine.goal_id(episode) != pursued.goal_id:
            return
        if message.status in ABORTED:
            self._end(int(message.status), printable(message.reason))
        elif message.status in PURSUED and not check_vector(message.goal, self._machine.task.goal.size):
            pursued.plans.add(int(message.plan))
            pursued.segments[episode] = int(message.segments_ended)
            feedback = ReachGoal.Feedback(
                plan=message.plan,
                segment=message.segment,
                segments=message.segments,
                status=message.status,
                subgoal=floats(message.goal),
                predicted_distance=message.predicted_distance,
                reached_distance=message.reached_distance,
                distance=pursued.distance,
            )
            pursued.handle.publish_feedback(feedback)

    def _watch(self) -> None:
        """End a goal whose time budget is over, even if no state arrives."""
        pursued = self._pursued
        if pursued is not None and time.monotonic() > pursued.end_s:
            announced = self._machine.announced
            waits = (
                f"; no episode began for it: {announced.mode.name}, {announced.state.name} {announced.reason}".rstrip()
            )
            self._end(Result.OUT_OF_TIME, f"the time budget is over{'' if pursued.begun else waits}", stop=True)

    def _end(self, status: int, reason: str, stop: bool = False) -> None:
        """End the pursued goal and send its result; with ``stop`` the episode for it ends, and the arm holds."""
        pursued, self._pursued = self._pursued, None
        assert pursued is not None
        self._machine.withdraw(pursued.goal_id, reason, stop)

        def settle(handle: Any) -> Any:
            canceled = status == Result.CANCELED and handle.is_cancel_requested
            (handle.succeed if status == Result.REACHED else handle.canceled if canceled else handle.abort)()
            return Result(
                status=status,
                reason=reason,
                distance=pursued.distance,
                plans=len(pursued.plans),
                segments=min(sum(pursued.segments.values()), 2**32 - 1),
            )

        pursued.handle.execute(settle)
