"""`supervisor`: episodes, goals, training, evaluation and resets; writes the record of the run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray  # type: ignore[import-untyped]
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from tdm_ros.bringup.terminal import LiveLine
from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.episodes import EpisodeMachine, Surroundings
from tdm_ros.control.goals import Goals, Schedule
from tdm_ros.control.teleop import RESUME
from tdm_ros.control.timeline import State
from tdm_ros.control.validation import printable
from tdm_ros.live.run_record import RunRecord, count_demonstrations
from tdm_ros.msg import ArmState, Episode, PolicyWeights, Subgoal, Transition
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import SUBGOAL_STATUS, goal_of, is_current, nanoseconds, states, to_episode
from tdm_ros.nodes.diagnostics import TOPIC, values_of
from tdm_ros.nodes.frames import PointLookup
from tdm_ros.nodes.node_runner import ManagedNode, every, run
from tdm_ros.nodes.parameters import UNLIMITED, SupervisorParameters
from tdm_ros.nodes.reach_action import GIVEN_UP, ReachAction
from tdm_ros.nodes.subscriptions import LARGEST_WEIGHTS, listen, listen_external
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.arm_cycle import at_home
from tdm_ros.tasks import SCENES
from tdm_ros.types import check_identity

HEARTBEAT_S = 0.25
NEEDED = ("policy", "planner", "collector")
READY_S = 2.5
"""Nodes publish once per second that they are ready; silence after which a node counts as missing [s]."""
FAREWELL_S = 1.5  # time for the last transitions and counts to arrive after the last episode [s]
MAX_STATE_AGE_S = 1.0
ALARM_EVERY_S = 1.0
HELD_UP_S, STALE_S = 1.0, 0.5
"""Pause of this process after which requests may be old [s], and time for which those that start something are rejected
then [s]: DDS keeps what was requested of a frozen process, and its caller may have given up."""
MOVING = (State.RUNNING, State.RESETTING)
YOUNG_S, TWO_ARMS_S = 10.0, 5.0
"""With states of two arms, a system younger than the first ends at once, any other after the second in FAULT [s]."""


class SupervisorNode(ManagedNode):
    """Passes each state of the arm to the episode machine and publishes its announcements."""

    PARAMETERS = SupervisorParameters
    _done_s, _two_arms = float("inf"), ""

    def configure(self) -> None:
        given: SupervisorParameters = self._declared.values
        self.robot, self.live, self.task = given.described()
        self._scene = SCENES[given.scene]
        box = (given.goal_box.low_m or None, given.goal_box.high_m or None) if given.goal_box.enabled else ()
        goals = Goals(self.task, given.seed, self._scene, *box)
        if given.demonstrations and actuations(self.robot)[given.actuation].mode != "velocity":
            raise ValueError(
                f"supervisor.demonstrations must be 0 with actuation {given.actuation}, got {given.demonstrations}: "
                "an operator commands velocities, choose actuation velocity"
            )
        known = count_demonstrations(Path(given.run_dir))
        self._machine = EpisodeMachine(self.live, self._schedule(), goals, known)
        self._record = RunRecord(Path(given.run_dir), self.task, given.seed, self._machine, self._scene)
        self.resources.callback(self._record.finish)
        self._any_weights = self._final_weights = False
        self._ready_s: dict[str, float] = {}
        self._begun_s, self._done_s = time.monotonic(), float("inf")
        self._two_since_s: float | None = None
        self._watched_s, self._held_up_s = float("inf"), -float("inf")
        self._lookup = PointLookup(self, self.frame(self.task.frame))
        self._published: tuple[object, ...] = ()
        self._logged: tuple[object, ...] = ()
        self._alarm, self._alarm_s = "", -float("inf")
        self._action = ReachAction(self, self._machine, given.action_budget_s, self._lookup.cancel)
        self._episodes = self.create_publisher(Episode, "episode", qos.LATCHED)
        self._subscribe()
        every(self, HEARTBEAT_S, self._on_timer)
        live = LiveLine(sys.stdout, os.environ)
        every(self, 1.0, lambda: live.show(self._record.line(time.monotonic())))
        if not given.auto_start:
            service = self.resolve_service_name("~/start")
            self.get_logger().info(
                f"auto_start is false: the arm holds until it is started, with Start on the page or "
                f"ros2 service call {service} std_srvs/srv/Trigger"
            )

    def deactivate(self) -> None:
        """Pause: the arm holds until ~/start after the next activation."""
        self._action.end("the node supervisor was deactivated")
        self._machine.pause("the node supervisor is inactive: activate it, then ~/start")
        self._heartbeat()

    def _subscribe(self) -> None:
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE, on_two=self._on_two_arms)
        weights = listen(self, PolicyWeights, "policy_weights", self._on_weights, qos.LATCHED, LARGEST_WEIGHTS)
        self._trainer = weights.topic_name.rpartition("/")[0] + "/trainer"
        listen(self, Transition, "transition", self._on_transition, qos.TRANSITION)
        listen(self, Subgoal, "subgoal", self._on_subgoal, qos.EPISODE)
        listen(self, DiagnosticArray, TOPIC, self._on_diagnostics, qos.DIAGNOSTICS)
        listen_external(self, PoseStamped, "goal", self._on_goal, qos.GOAL)
        listen_external(self, String, "teleop/event", self._on_event, qos.EVENT)
        machine = self._machine
        for action in (machine.start, machine.pause, machine.stop, machine.reset, machine.clear_fault):
            self.create_service(Trigger, f"~/{action.__name__}", self._service(action))
        for switch in (machine.evaluate, machine.keep_goal):
            self.create_service(SetBool, f"~/{switch.__name__}", self._service(switch))

    @property
    def failure(self) -> str:
        """Why the run ended incomplete; "" if it is complete or not over."""
        return self._two_arms or (self._record.failure if hasattr(self, "_record") else "")

    def _schedule(self) -> Schedule:
        given = self._declared.values
        limited = given.duration_min != UNLIMITED
        length = given.episode_length.steps if given.episode_length.enabled else None
        return Schedule(
            duration=round(given.duration_min * 60 * self.task.rate_hz) if limited else 0,
            evaluations=given.evaluate_goals,
            demonstrations=given.demonstrations,
            reset_every=given.reset_every,
            evaluate_reset_every=given.evaluate_reset_every,
            reset_timeout=round(given.reset_timeout_s * self.task.rate_hz),
            exploration=given.action_noise_std,
            episode_steps=length or self.task.episode_steps,
            evaluate_steps=length or self._scene.evaluate_steps or self.task.episode_steps,
            auto_start=given.auto_start,
            auto_resume=given.auto_resume,
        )

    @property
    def done(self) -> bool:
        """The run is over, and the last messages had time to arrive."""
        return time.monotonic() - self._done_s > FAREWELL_S

    def _on_two_arms(self, why: str) -> None:
        """Stop, and end after a while: with states of two arms nothing can be run or recorded."""
        now_s = time.monotonic()
        if self._machine.announced.reason != why:
            self._machine.fault(why, instead=True)
            self._heartbeat()
        self._two_since_s = self._two_since_s or now_s
        if now_s - self._begun_s < YOUNG_S or now_s - self._two_since_s > TWO_ARMS_S:
            self._two_arms, self._done_s = why, min(self._done_s, now_s)

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        self._two_since_s = None
        if not (self.active and is_current(self, message, MAX_STATE_AGE_S)):
            return
        now_s = time.monotonic()
        self._machine.schedule = self._schedule()
        home = at_home(sample.q_rad, sample.qd_rad_s, self.robot.home_rad)
        missing = self._missing(now_s) if self._machine.announced.state == State.HOLD else ""
        unrecorded = "" if self._is_ready("collector", now_s) else "nothing is recorded: the collector is not ready"
        around = Surroundings(now_s, home, missing, self._any_weights, self._final_weights, unrecorded)
        result = self._machine.on_sample(sample, around)
        self._record.on_cycle(sample)
        if result is not None:
            self._record.on_episode(result)
            if result.end == "interrupted":
                self._ready_s.clear()  # a node that was killed seemed to be ready: each says so again first
        self._action.on_sample(sample)
        if self._machine.done and self._done_s == float("inf"):
            self._done_s = now_s
        if self._machine.announced.key() != self._published:
            self._heartbeat()

    def _missing(self, now_s: float) -> str:
        """Names of the nodes that are not ready. The trainer may start later."""
        return ", ".join(name for name in NEEDED if not self._is_ready(name, now_s))

    def _is_ready(self, name: str, now_s: float) -> bool:
        """Whether a node has said within `READY_S` that it is ready."""
        return now_s - self._ready_s.get(name, -READY_S) < READY_S

    def _on_timer(self) -> None:
        self._held_up()
        self._heartbeat()

    def _held_up(self) -> str:
        """Return why nothing may be started now, since this process was frozen a moment ago, or ""."""
        now_s = time.monotonic()
        if now_s - self._watched_s > HELD_UP_S:
            self._held_up_s = now_s
        self._watched_s = now_s
        late = now_s - self._held_up_s < STALE_S
        return "the supervisor was held up, and the request may be an old one: ask again" if late else ""

    def _heartbeat(self) -> None:
        self._log_state()
        self._log_alarm()
        announced = replace(self._machine.announced, discarded=self._machine.discarded)
        self._episodes.publish(to_episode(announced, self.task, self.get_clock().now().to_msg()))
        self._published = announced.key()

    def _log_state(self) -> None:
        """Log each change of the state or of its reason; between episodes and drives home at DEBUG."""
        announced, before = self._machine.announced, self._logged
        self._logged = announced.state, announced.reason
        if self._logged == before:
            return
        line = f"{announced.state.name}: {announced.reason}" if announced.reason else announced.state.name
        logger = self.get_logger()
        if announced.state == State.FAULT:
            logger.error(f"{line}. ~/clear_fault, then ~/start, resume")
        elif announced.state == State.PAUSED:
            logger.warning(line)
        elif announced.state in MOVING and before and before[0] in MOVING:
            logger.debug(line)
        else:
            logger.info(line)
        self._diagnostics.publish()

    def _log_alarm(self) -> None:
        """Log at once that something is not recorded, and that it is again."""
        alarm, now_s = printable(self._record.alarm), time.monotonic()
        if alarm != self._alarm and now_s - self._alarm_s > ALARM_EVERY_S:
            self._alarm, self._alarm_s = alarm, now_s
            logger = self.get_logger()
            if alarm:
                logger.error(alarm)
            else:
                logger.info("everything is recorded again")

    def problem(self) -> str:
        """Return the fault and its reason; "" without one."""
        if not self.configured:
            return ""
        announced = self._machine.announced
        return f"FAULT: {announced.reason}" if announced.state == State.FAULT else ""

    def _on_weights(self, message: PolicyWeights) -> None:
        self._any_weights = True
        self._final_weights = bool(message.final)
        self._record.updates = int(message.updates)

    def _on_transition(self, message: Transition) -> None:
        if message.run and (problem := check_identity(message.run, int(message.cycle))):
            self.rejections.reject(f"transition: {problem}")
            return
        self._record.on_transition(message.run, int(message.cycle))

    def _on_subgoal(self, message: Subgoal) -> None:
        if message.status in GIVEN_UP:
            why = f"{SUBGOAL_STATUS[int(message.status)]}: {printable(message.reason)}"
            self._machine.give_up(int(message.episode), why)
        self._action.on_subgoal(message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        space, now_s = self.get_namespace().rstrip("/"), time.monotonic()
        for name in ("arm", *NEEDED):
            if (values := values_of(message, f"{space}/{name}")) is not None:
                self._record.on_values(name, values)
                if values.get("ready") == "True":
                    self._ready_s[name] = now_s
        if (values := values_of(message, self._trainer)) is not None:
            self._record.on_trainer(values, now_s)

    def _on_goal(self, message: PoseStamped) -> None:
        """Take a goal in any frame of /tf and /tf_static; a newer goal replaces one that waits for its transforms."""
        goal, problem = goal_of(self, message)
        frame, own = message.header.frame_id.lstrip("/"), self.frame(self.task.frame)
        if not problem:
            self._lookup.cancel()
        if problem or frame in ("", self.task.frame, own):
            self._request(goal, problem)
            return
        self._lookup.request(frame, goal, nanoseconds(message.header.stamp), self._request)

    def _request(self, goal: Any, problem: str) -> None:
        if problem := problem or self.not_active() or self._machine.goals.request(self.live.goal_of(goal)):
            self.rejections.reject("goal", problem)
        self._action.on_request()

    def _on_event(self, message: String) -> None:
        problem = self.not_active() or (self._held_up() if message.data == RESUME else "")
        if problem := problem or self._machine.event(message.data):
            self.rejections.reject("teleop/event", problem)
            return
        self.get_logger().info(f"event of the operator: {message.data}")
        self._heartbeat()

    def _service(self, action: Callable[..., str]) -> Callable[[Any, Any], Any]:
        """Make the callback of a service for a command, which returns "" or why it was rejected."""

        def handle(request: Any, response: Any) -> Any:
            arguments = (request.data,) if isinstance(request, SetBool.Request) else ()
            stops = action in (self._machine.pause, self._machine.stop)
            problem = ("" if stops else self.not_active() or self._held_up()) or action(*arguments)
            response.success, response.message = not problem, problem or self._machine.announced.state.name
            self._heartbeat()
            return response

        return handle

    def values(self) -> dict[str, object]:
        announced = self._machine.announced
        return {
            "state": announced.state.name,
            "mode": announced.mode.name,
            "episode": self._machine.episode,
            "robot_time_s": self._record.robot_s,
            "demonstrations": self._machine.demonstrated,
            "keep_goal": self._machine.goals.keeps,
            "reason": announced.reason,
        }

    def on_callback_error(self, why: str) -> None:
        self._machine.fault(why)


main = partial(run, SupervisorNode)
