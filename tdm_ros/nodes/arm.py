"""`arm`: samples, numbers and publishes the state every 50 ms; executes limited commands between two samples."""

from __future__ import annotations

import concurrent.futures
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy.task
from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from tdm_ros.control.arm_control import ArmControl, ArmTiming, CycleReport
from tdm_ros.control.arm_io import CommandCheck, JointOrder, ReceivedCommand
from tdm_ros.control.arm_modes import ArmMode, ModeChange
from tdm_ros.control.live_task import LivePush
from tdm_ros.control.loop_timing import CycleStatistics, HostSteal, Pacer
from tdm_ros.control.safeguards import Safeguards, SafeguardSettings
from tdm_ros.control.teleop import Presses, TeleopSettings, twist_problem
from tdm_ros.control.validation import printable
from tdm_ros.drivers.intera.wire import Answer, Hello
from tdm_ros.drivers.worker_arm import WorkerArm
from tdm_ros.envs.arm_sim import SUBSTEPS
from tdm_ros.msg import ArmState, Command, Episode
from tdm_ros.nodes import qos
from tdm_ros.nodes.arms import home_limits_of, joint_states_read, limits_of, limits_with_tool, make_arm
from tdm_ros.nodes.convert import age_s, announcements, doubles, floats, joints_of, twist_of
from tdm_ros.nodes.node_runner import ManagedNode, run
from tdm_ros.nodes.object_input import ObjectInput
from tdm_ros.nodes.parameters import ArmParameters
from tdm_ros.nodes.subscriptions import listen, listen_external, other_publisher
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.kinematics import quaternion_wxyz
from tdm_ros.robots.limiter import Limiter

INACTIVE = "the node arm is inactive"
PROC_STAT = Path("/proc/stat")
MESSAGES = 0.2
"""Minimum time for messages in a cycle, as a part of its period, even if the work of a cycle takes longer than that."""


def proc_stat() -> str:
    """Text of /proc/stat; empty on systems without it."""
    return PROC_STAT.read_text() if PROC_STAT.exists() else ""


class ArmNode(ManagedNode):
    """One single-threaded loop: handle messages until the deadline, then end the cycle."""

    PARAMETERS = ArmParameters

    def configure(self) -> None:
        """Connect to the arm, which holds, and create publishers, subscriptions and services."""
        given: ArmParameters = self._declared.values
        self._given = given
        self.robot, self.live, self.task = given.described()
        self.statistics = CycleStatistics()
        self._steal = HostSteal(proc_stat())
        self._run = secrets.token_hex(8)
        self._arm = make_arm(given, self, self.robot)
        self.resources.callback(self._arm.close)
        self._now_s: Callable[[], float] = getattr(self._arm, "now_s", time.monotonic)
        self._missing = ""
        self._object = ObjectInput(self, self.live, self._arm) if isinstance(self.live, LivePush) else None
        self._mode_changes = 0
        self._logged_s: dict[tuple[ArmMode, ArmMode], float] = {}
        self._control = self._make_control(given)
        self._control.safeguards.suspended = INACTIVE
        self._pacer = Pacer(1.0 / self.task.rate_hz, self._now_s())
        self._started_s = self._now_s()
        self._wall_ahead_s = time.time() - time.monotonic()
        self._states = self.create_publisher(ArmState, "arm_state", qos.STATE_HISTORY)
        own = self.resolve_topic_name("joint_states")
        read = joint_states_read(given, self.robot)
        echoed = bool(read) and self.resolve_topic_name(read, only_expand=True) == own  # a watchdog knows no remapping
        self._joints = None if echoed else self.create_publisher(JointState, "joint_states", qos.JOINT_STATES)
        listen(self, Command, "command", self._on_command, qos.COMMAND, on_two=self._control.fault)
        heard = announcements(self, lambda announced, _: self._control.announce(announced, self._now_s()))
        listen(self, Episode, "episode", heard, qos.EPISODE, on_two=self._control.fault)
        listen_external(self, Bool, "deadman", self._on_deadman, qos.TELEOP, on_two=self._on_two_deadmen)
        listen_external(self, TwistStamped, "teleop/twist", self._on_twist, qos.TELEOP, on_two=self._on_two_drivers)
        listen_external(self, Bool, "teleop/engaged", self._on_engaged, qos.TELEOP, on_two=self._on_two_drivers)
        if isinstance(self._arm, WorkerArm):
            self._announce_worker(self._arm.client.hello)
            self._presses = Presses()
            self._events = self.create_publisher(String, "teleop/event", qos.EVENT)
            for name in ("enable", "reset", "stop"):
                self.create_service(Trigger, f"~/{name}", self._service(partial(self._arm.client.request, name)))

    def activate(self) -> None:
        """Let the arm be moved."""
        self._control.safeguards.suspended = ""

    def deactivate(self) -> None:
        """Hold at once; states are still published."""
        self._control.safeguards.suspended = INACTIVE
        self._control.pass_time(self._now_s())

    def publish_diagnostics(self) -> None:
        """Publish by the timer while there is no cycle to do it in."""
        if not self.configured:
            super().publish_diagnostics()

    def _announce_worker(self, hello: Hello) -> None:
        """Log the interface to the robot, and the devices that it lacks."""
        logger, self._missing = self.get_logger(), "; ".join(hello.missing)
        logger.info(f"the worker has started: {hello.interface} interface {hello.sdk}, robot {hello.robot}")
        if self._missing:
            logger.warning(f"missing on the robot: {self._missing}")

    def _make_control(self, given: ArmParameters) -> ArmControl:
        robot = self.robot
        policy, home = (actuations(robot)[name] for name in (given.actuation, "velocity"))
        limits = limits_of(given.limits, robot)
        if isinstance(self.live, LivePush) and given.driver != "mujoco":
            limits = limits_with_tool(limits, self.live.setup)
        drives = (
            ArmCycle(self._arm, Limiter(policy, limits, robot), policy),
            ArmCycle(self._arm, Limiter(home, home_limits_of(limits, robot), robot), home),
        )
        mode = Command.VELOCITY if policy.mode == "velocity" else Command.TORQUE
        timing = ArmTiming(1.0 / self.task.rate_hz, SUBSTEPS, given.command_timeout_s, given.supervisor_timeout_s)
        check = CommandCheck(JointOrder(robot.joint_names), mode, max_age_s=given.command_timeout_s, run=self._run)
        settings = SafeguardSettings(
            ramp_s=given.slow_start.ramp_s,
            slow_start_scale=given.slow_start.velocity_scale,
            slow_start_s=given.slow_start.duration_s,
            deadman_required=given.deadman.required,
            deadman_timeout_s=given.deadman.timeout_s,
            fault_latched=given.fault.latched,
            stop_hz=given.rate.stop_hz,
            lift_m=given.home.lift_m,
        )
        safeguards = Safeguards(settings, self.task.rate_hz)
        held = given.teleop
        teleop = TeleopSettings(held.timeout_s, held.threshold_m_s, held.max_speed_m_s, held.ramp_s)
        return ArmControl(drives, check, timing, robot.home_rad, self._now_s(), safeguards, teleop, self._log_change)

    def _log_change(self, change: ModeChange) -> None:
        """Log a change of mode; one that is repeated within a second is only counted, unless it is a fault."""
        self._mode_changes += 1
        now_s, kind = self._now_s(), (change.source, change.target)
        text = f"mode {change.source.name} -> {change.target.name}: {printable(change.reason)}"
        logger = self.get_logger()
        if change.target is ArmMode.FAULT:
            logger.error(text)
            return
        if {*kind} == {ArmMode.POLICY, ArmMode.HOMING}:
            logger.debug(text)  # the alternation of a run that goes on
            return
        if now_s - self._logged_s.get(kind, -np.inf) < 1.0:
            return
        self._logged_s[kind] = now_s
        if change.target is ArmMode.HELD:
            logger.warning(text)
        else:
            logger.info(text)

    def _service(self, action: Callable[[], concurrent.futures.Future[Answer]]) -> Callable[[Any, Any], Any]:
        """Return the callback of a service that the worker executes while the loop continues."""

        async def handle(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            answered: rclpy.task.Future = rclpy.task.Future(executor=self.executor)
            action().add_done_callback(lambda future: answered.set_result(future.result()))
            answer = await answered
            response.success, response.message = answer.done, answer.reason
            return response

        return handle

    def on_callback_error(self, why: str) -> None:
        self._control.fault(why)

    def step(self, executor: SingleThreadedExecutor) -> None:
        """Handle messages until the end of the cycle, or the expiry of the last command."""
        now_s = self._now_s()
        if now_s >= self._pacer.deadline_s:
            self._tick(now_s)
            self._pacer.postpone(self._now_s(), MESSAGES * self._pacer.period_s)
            return
        due_s = min(self._pacer.deadline_s, self._control.wake_s())
        if due_s > now_s:
            executor.spin_once(timeout_sec=due_s - now_s)
        else:
            self._control.pass_time(now_s)

    def _tick(self, now_s: float) -> None:
        late = self._pacer.advance(now_s)
        self._watch_wall_clock()
        report = self._control.tick(now_s)
        if self._object is not None:
            self._control.safeguards.unattended = self._object.update(self._now_s())
        self.statistics.end_cycle(now_s - self._started_s, report.expected, report.answered, late)
        self._started_s = now_s
        self._publish(report)
        if isinstance(self._arm, WorkerArm):
            for event in self._presses.events(self._arm.buttons()):
                self._events.publish(String(data=event))
        if self._control.cycle % round(self.task.rate_hz) == 0:
            rate_hz = self._control.safeguards.rate_hz
            slow = rate_hz < self._given.rate.warn_hz
            missing = f"missing on the robot: {self._missing}" if self._missing else ""
            warning = f"only {rate_hz:.1f} commands per second arrive in time" if slow else missing
            self._diagnostics.publish(self.not_active() or warning, report.fault)

    def _watch_wall_clock(self) -> None:
        """Ages of commands are differences of wall-clock times: a jump of that clock is a fault of a real arm."""
        ahead_s = time.time() - time.monotonic()
        jump_s, self._wall_ahead_s = ahead_s - self._wall_ahead_s, ahead_s
        if self._given.fault.latched and abs(jump_s) > self._given.command_timeout_s:
            self._control.fault(f"the wall clock jumped by {jump_s:+.1f} s")

    def _publish(self, report: CycleReport) -> None:
        reading, pose = self._control.reading(), self._arm.hand_pose()
        effort = self._arm.effort()
        state = ArmState(
            cycle=self._control.cycle,
            episode=int(report.episode),
            joint_names=list(self.robot.joint_names),
            position=doubles(reading.q_rad),
            velocity=doubles(reading.qd_rad_s),
            effort=doubles(effort),
            object=doubles([] if self._object is None else self._object.pose.known_m(self._now_s())),
            executed_action=floats(np.clip(report.executed.action, -1.0, 1.0)),
            source=int(report.source),
            answered=bool(report.answered),
            limited=bool(report.executed.limited),
            limiter=report.executed.layer,
            hold_reason=report.hold_reason if self.active or not report.hold_reason else INACTIVE,
            fault=report.fault,
            run=self._run,
            arm=self.get_namespace().strip("/"),
        )
        state.header.stamp = self.get_clock().now().to_msg()
        state.header.frame_id = self.task.frame
        point, turn = state.hand.position, state.hand.orientation
        point.x, point.y, point.z = pose.position_m.tolist()
        turn.w, turn.x, turn.y, turn.z = quaternion_wxyz(pose.rotation).tolist()
        self._states.publish(state)
        if self._joints is not None:
            self._joints.publish(joints_of(state))

    def _on_command(self, message: Command) -> None:
        now_s = self._now_s()
        old_s = age_s(self, message.header.stamp)
        command = ReceivedCommand(
            cycle=int(message.cycle),
            episode=int(message.episode),
            mode=int(message.mode),
            source=int(message.source),
            age_s=old_s,
            joint_names=message.joint_names,
            values=message.values,
            run=message.run,
        )
        problem = self._control.receive(command, now_s)
        if problem:
            self.rejections.reject(f"command: {problem}", f"cycle {command.cycle}, age {old_s * 1e3:.0f} ms")
        elif command.cycle == self._control.cycle:
            self.statistics.latency.add(now_s - self._started_s)

    def _on_deadman(self, message: Bool) -> None:
        """Receive the deadman of the one publisher that is configured; any other counts as a release."""
        given, topic = self._given, self.resolve_topic_name("deadman")
        problem = other_publisher(self, topic, given.deadman.source) if given.deadman.required else ""
        if problem:
            self.rejections.reject("deadman: not from the configured source", f"{problem}, or set arm.deadman.source")
        self._control.receive_deadman(bool(message.data) and not problem, self._now_s())

    def _on_two_deadmen(self, why: str) -> None:
        """Two publishers of one name count as a release."""
        self._control.receive_deadman(False, self._now_s())

    def _on_two_drivers(self, why: str) -> None:
        """Execute neither the commands of two devices, nor those of the policy."""
        self._control.report_conflict(why, self._now_s())

    def _on_twist(self, message: TwistStamped) -> None:
        """Receive a velocity of the hand; an invalid one ends the execution of the last one, too."""
        now_s, old_s = self._now_s(), age_s(self, message.header.stamp)
        twist, problem = twist_of(message, self.task.frame)
        if problem := problem or twist_problem(twist, old_s, self._control.teleop.settings):
            self._control.reject_teleop(now_s)
        else:
            problem = self._control.receive_twist(twist, now_s)
        if problem:
            self.rejections.reject(f"teleop/twist: {problem}", f"age {old_s * 1e3:.0f} ms")

    def _on_engaged(self, message: Bool) -> None:
        if problem := self._control.receive_engaged(bool(message.data), self._now_s()):
            self.rejections.reject(f"teleop/engaged: {problem}")

    def values(self) -> dict[str, object]:
        control = self._control
        return {
            "cycle": control.cycle,
            "mode": control.mode.name,
            "mode_changes": self._mode_changes,
            "rate_hz": round(control.safeguards.rate_hz, 2),
            "missing": self._missing,
            **self.statistics.as_dict(self._steal.fraction(proc_stat())),
        }


main = partial(run, ArmNode)
