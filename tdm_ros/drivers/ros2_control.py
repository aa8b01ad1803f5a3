"""Arm behind ros2_control, hardware or a simulator: its side in the watchdog, and in the node `arm`.

forward_command_controller never times out: it follows its last command for ever. The watchdog publishes zero again and
again while no velocity is in force, and `Ros2ControlArm` does when the watchdog has ended or is frozen. A position, or
the one point of a trajectory, ends by itself: the joints stop there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tdm_ros.drivers.intera.client import ArmClient
from tdm_ros.drivers.intera.sdk import STALE_S, ComingUpError, Joints, joints_of, robot_problem
from tdm_ros.drivers.intera.worker import exit_now
from tdm_ros.drivers.robot_caps import robot_caps
from tdm_ros.drivers.ros2_control_settings import PositionTarget, Settings, settings_of
from tdm_ros.drivers.ros2_control_status import Controllers, RobotStatus
from tdm_ros.drivers.watchdog import ArmTopics, serve
from tdm_ros.drivers.watched_arm import Commands, WatchedArm
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.kinematics import forward, quaternion_wxyz

FOUND_S = 10.0
"""Longest time until the robot's driver publishes and subscribes [s]."""
ABSENT_S = 2.0
"""Time for optional services to be discovered [s]."""
REPEAT_S = 0.1
"""Interval of zero velocities while no command is in force [s]."""
TICK_S = 0.01
JOINT_STATES = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Several broadcasters may publish their joints on one topic."""
DRIVER = "start the robot's driver and its controllers"


def sample_of(message: JointState, names: tuple[str, ...]) -> Joints | str:
    """Sample of these joints in a message that has just arrived, or what it lacks.

    Efforts that are absent or NaN are 0: not every hardware interface has them.
    """
    place = {name: index for index, name in enumerate(message.name)}
    if lacking := [name for name in names if name not in place]:
        return f"has no {', '.join(lacking)} (got {', '.join(message.name) or 'no joint'})"
    effort = [value if math.isfinite(value) else 0.0 for value in message.effort]
    whole = effort if len(effort) == len(place) else [0.0] * len(place)
    given = {"position": message.position, "velocity": message.velocity}
    for kind, values in given.items():
        if len(values) != len(place) or not all(math.isfinite(values[place[name]]) for name in names):
            return f"has no finite {kind} of each joint"
    complete = JointState(name=message.name, effort=whole, **given)
    return joints_of(complete, names) or "is not finite"


class Commander(Commands):
    """Publisher of the arm's controller; values are given in the robot's order, and sent in the controller's."""

    def __init__(self, node: Node, settings: Settings, robot: Robot, order: Sequence[str]) -> None:
        _, topic, _ = settings.usual
        self._robot, self._by_point = robot, settings.command == "trajectory"
        self._seconds = Duration(seconds=settings.lead_s).to_msg()
        self._kind: Any = JointTrajectory if self._by_point else Float64MultiArray
        super().__init__([node.create_publisher(self._kind, topic, QoSProfile(depth=1))], len(robot.joint_names))
        self.reorder(order)

    def reorder(self, order: Sequence[str]) -> None:
        """Send in this order of the joints' names from now on."""
        self._names = list(order)
        self._order = [self._robot.joint_names.index(name) for name in order]

    def publish(self, values: ArrayLike) -> None:
        """Publish (J,) [rad/s], or [rad] to be reached after the lead."""
        data = np.asarray(values, np.float64)[self._order].tolist()
        if self._by_point:
            point = JointTrajectoryPoint(positions=data, time_from_start=self._seconds)
            self._publishers[0].publish(JointTrajectory(joint_names=self._names, points=[point]))
        else:
            self._publishers[0].publish(Float64MultiArray(data=data))


class Motors:
    """Software e-stop, latched by the robot's own: cleared by reset, then enable, which activates the controller."""

    def __init__(self, status: RobotStatus, controllers: Controllers) -> None:
        self._status, self._controllers = status, controllers
        self.off = False
        self.stopped = ""

    def enable(self) -> str:
        if self.stopped:
            return "the robot is stopped: ask for a reset first"
        why = self._status.problem(time.monotonic()) or self._controllers.activate()
        self.off = bool(why)
        return why

    def reset(self) -> str:
        if not self.stopped:
            return "the robot is not stopped"
        if self._status.estop or self._status.faults:
            return self._status.problem(time.monotonic())
        self.stopped = ""
        return ""

    def stop(self) -> str:
        """Reject all commands from now on."""
        self.off, self.stopped = True, "the robot is stopped: ask for a reset, then enable it"
        return ""

    def follow(self) -> None:
        """Latch what the robot says: nobody stands up from an e-stop into a moving arm."""
        if self._status.estop or self._status.faults:
            self.stop()
        elif not self._status.enabled:
            self.off = True


class Ros2ControlTopics(ArmTopics):
    """Topics and services of the arm's driver.

    A ComingUpError is raised if they are not there, or belong to other joints.
    """

    interface = "ros2_control"
    prompt = True

    def __init__(self, node: Node, robot: Robot, settings: Settings) -> None:
        super().__init__(node)
        self._robot, self._settings = robot, settings
        self._rate_hz = settings.usual[2]
        self._by_velocity = settings.command == "velocity"
        self._target = PositionTarget(robot, settings.lead_s)
        self._lacking = "published nothing"
        self._published_s = self._due_s = -math.inf
        self.status = RobotStatus(node, self.subscriptions, settings)
        self.controllers = Controllers(node, self.subscriptions, settings, robot)
        self.motors = Motors(self.status, self.controllers)
        self._commands = Commander(node, settings, robot, self.controllers.order)
        self.subscriptions.subscribe(JointState, settings.joint_states, self._on_joints, JOINT_STATES)
        self._begin_s = time.monotonic()
        self._wait_for_all(FOUND_S, self.poll)
        self._commands.reorder(self.controllers.order)
        notes = self.controllers.unchecked, self.controllers.absent()
        self.missing = tuple(note for note in notes if note)
        if self._by_velocity:
            self._commands.stop()  # it may follow that of an earlier watchdog

    def hand(self) -> tuple[Any, ...]:
        assert self._joints is not None, "the constructor waits for them"
        pose = forward(self._joints.q_rad, self._robot)
        return tuple(pose.position_m.tolist()), tuple(quaternion_wxyz(pose.rotation).tolist())

    def flags(self) -> dict[str, bool]:
        flags = {"error": bool(self.status.faults), "estop": self.status.estop, "collided": False, "homed": True}
        return flags | {"enabled": not self.motors.off, "stopped": bool(self.motors.stopped)}

    def problem(self, now_s: float) -> str:
        self.motors.follow()
        age_s = self.joints_age_s(now_s)
        stale = f"joint states are {age_s:.2f} s old" if age_s > STALE_S else ""
        if stale and self._lacking:
            stale += f": {self._settings.joint_states} {self._lacking}"
        topics = stale or self._commands.unmatched() or self.controllers.problem(now_s)
        return self.status.problem(now_s) or self.motors.stopped or topics or robot_problem(self.flags(), 0.0)

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Publish one order of the command watchdog; zero velocity where there is none.

        A position controller stays at its last position. It gets no other one while nothing moves the arm, so that
        positions from before never move an arm that another program has moved since.
        """
        now_s = time.monotonic()
        if self._by_velocity:
            if values or now_s - self._published_s >= REPEAT_S:
                self._published_s = now_s
                self._commands.publish(values or np.zeros(len(self._robot.joint_names)))
        elif not values:
            self._target.forget()
        elif self.joints_age_s(now_s) <= STALE_S and now_s >= self._due_s:
            assert self._joints is not None
            seconds = min(now_s - self._published_s, 2 / self._rate_hz)
            self._published_s, self._due_s = now_s, now_s + 1 / self._rate_hz - TICK_S / 2
            target = self._target.step(self._joints.q_rad, values, seconds)
            ahead = 0.0 if self._settings.command == "position" else self._settings.lead_s
            self._commands.publish(target + ahead * np.array(values))

    def _missing(self) -> tuple[str, str]:
        if self._joints is None:
            return f"{self._settings.joint_states} {self._lacking}", f"{DRIVER}, or set ros2_control.joint_states"
        if missing := self._commands.unmatched():
            return missing, f"{DRIVER}, or set ros2_control.controller; {self._load()}"
        if missing := self.status.missing() or self.controllers.missing():
            return missing, f"{DRIVER}, or correct ros2_control in the robot file"
        waits = self.controllers.absent() and time.monotonic() < self._begin_s + ABSENT_S
        return self.controllers.absent() if waits else "", DRIVER

    def _load(self) -> str:
        return f"to load it: ros2 control load_controller {self.controllers.name} --set-state inactive"

    def _on_joints(self, message: JointState) -> None:
        """Keep a sample that is new and complete; messages of other joints alone are passed over."""
        stamp = message.header.stamp
        if self._stamp is not None and stamp == self._stamp and stamp != type(stamp)():
            return
        sample = sample_of(message, self._robot.joint_names)
        if isinstance(sample, str):
            if not self._joints or self.joints_age_s(time.monotonic()) > STALE_S / 2:
                self._lacking = sample
            return
        self._stamp, self._joints, self._lacking = stamp, sample, ""


class Ros2ControlArm(WatchedArm):
    """An `Arm` behind ros2_control; ``zero`` is the result of `make_zero`."""

    max_age_s = STALE_S

    def __init__(self, client: ArmClient, robot: Robot, zero: Commander | None) -> None:
        super().__init__(client, robot, zero, DRIVER)


def make_zero(node: Node, robot: Robot, settings: Settings) -> Commander | None:
    """Publisher of zero velocities for `Ros2ControlArm`; None where the controller takes positions."""
    return Commander(node, settings, robot, robot.joint_names) if settings.command == "velocity" else None


def watchdog_words(robot: str, settings: Settings) -> list[str]:
    """Arguments of the watchdog for a robot, by its name or file."""
    return ["--robot", robot, "--settings", json.dumps(asdict(settings))]


def main(argv: Sequence[str]) -> int:
    """Run the node `arm_watchdog` of an arm behind ros2_control."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--robot", required=True, help="name, or path of the description")
    own.add_argument("--settings", type=json.loads, default={}, help="JSON of what differs from the robot file")

    def connect(node: Node, given: argparse.Namespace) -> ArmTopics:
        robot = load_robot(given.robot)
        try:
            return Ros2ControlTopics(node, robot, settings_of(robot, given.settings))
        except ValueError as error:
            raise ComingUpError(str(error), 2) from None

    return serve(argv, connect, own, lambda given: replace(robot_caps(given), allow_torque=False))


if __name__ == "__main__":
    exit_now(main(sys.argv[1:]))
