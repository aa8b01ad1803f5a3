"""Sawyer's own topics in ROS 2, through ros1_bridge or a Zenoh bridge: its side in the watchdog.

`intera_interface` does more than publish; what the arm needs of it is done here.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64

from tdm_ros.drivers.intera.sdk import (
    COMMAND_TIMEOUT_S,
    ERROR_PERSISTS,
    FOUND_S,
    JOINT_NAMES,
    LIMB,
    NO_ROS,
    WATCHED,
    Arrivals,
    ComingUpError,
    flags_of,
    hand_of,
    joints_of,
    reset_problem,
    robot_problem,
)
from tdm_ros.drivers.intera.worker import exit_now
from tdm_ros.drivers.watchdog import NEWEST, ArmTopics, serve

CHANGED_S = 5.0
"""Longest time for the robot to do what was requested."""
POSITION, VELOCITY, TORQUE = 1, 2, 3  # of JointCommand

KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Latched, as the robot expects its settings."""


class BridgedTopics(ArmTopics):
    """Topics of the robot, connected but not enabled.

    Parameters
    ----------
    node : Node
    speed_ratio : float
        For position mode, in (0, 1].
    silent_s : float
        Largest age of the topics that `WATCHED` names [s].

    Raises
    ------
    ComingUpError
        If intera_core_msgs has not been built for ROS 2, or the robot's topics are not there.
    """

    missing = ("cuff, navigator, gripper, lights: not reached through topics; whether the cuff is held is unknown",)

    def __init__(self, node: Node, speed_ratio: float, silent_s: float) -> None:
        self._msgs = _messages()
        super().__init__(node)
        self._state: Any = None
        self._state_s = -math.inf
        self._arrivals = Arrivals(silent_s)
        self._collided = False
        self._stamp: tuple[int, int] = (0, 0)
        self._pose: tuple[Any, ...] | None = None
        make = node.create_publisher
        self._commands = make(self._msgs.JointCommand, LIMB + "joint_command", 1)
        self._timeout = make(Float64, LIMB + "joint_command_timeout", KEPT)
        self._ratio = make(Float64, LIMB + "set_speed_ratio", KEPT)
        self._supers = {
            name: make(kind, f"/robot/set_super_{name}", 10)
            for name, kind in (("enable", Bool), ("reset", Empty), ("stop", Empty))
        }
        subscribe = self.subscriptions.subscribe
        subscribe(JointState, "/robot/joint_states", self._on_joints, NEWEST)
        subscribe(self._msgs.RobotAssemblyState, WATCHED["state of the robot"], self._on_state, NEWEST)
        subscribe(self._msgs.EndpointState, WATCHED["pose of the hand"], self._on_hand, NEWEST)
        subscribe(self._msgs.CollisionDetectionState, WATCHED["collision state"], self._on_collision, NEWEST)
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        self._wait_for_all(
            FOUND_S,
            "does the bridge run, with this topic and with intera_core_msgs, in "
            f"ROS_DOMAIN_ID {domain}, and is the robot on?",
        )
        self.motors = BridgedMotors(self._supers, lambda: (self._state, self._state_s))
        self.set_speed_ratio(speed_ratio)
        self._timeout_due_s = 0.0

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Publish one order of the command watchdog, and each second the time-out: a restarted bridge forgets it."""
        if time.monotonic() >= self._timeout_due_s:
            self._timeout_due_s = time.monotonic() + 1.0
            self._timeout.publish(Float64(data=COMMAND_TIMEOUT_S))
        if kind == "exit":  # as intera_interface does: one command to stay where the joints are
            assert self._joints is not None
            kind, values = "position", self._joints.q_rad
        if not kind:
            return
        mode = {"position": POSITION, "velocity": VELOCITY, "torque": TORQUE}[kind]
        message = self._msgs.JointCommand(mode=mode, names=list(JOINT_NAMES))
        message.header.stamp = self.node.get_clock().now().to_msg()
        setattr(message, "effort" if kind == "torque" else kind, list(values))
        self._commands.publish(message)

    def hand(self) -> tuple[Any, ...]:
        """Return the last finite position (3,) [m], quaternion wxyz (4,) and twist (6,) of the hand."""
        assert self._pose is not None, "the constructor waits for it"
        return self._pose

    def flags(self) -> dict[str, bool]:
        """Return enabled, stopped, error, homed, estop and collided."""
        return flags_of(self._state, self._collided)

    def problem(self, now_s: float) -> str:
        """Return why the arm cannot be moved now; empty if it can."""
        return (
            robot_problem(self.flags(), self.joints_age_s(now_s)) or self._arrivals.problem(now_s) or self._unmatched()
        )

    def set_speed_ratio(self, ratio: float) -> None:
        """Set the speed of position mode, in (0, 1] of the joints' limits."""
        self._ratio.publish(Float64(data=float(ratio)))

    def _missing(self) -> str:
        if self._joints is None:
            return "/robot/joint_states published nothing complete and finite"
        return self._arrivals.missing() or self._unmatched()

    def _unmatched(self) -> str:
        """Return a topic of ours without a subscriber, or ""."""
        for publisher in (self._commands, self._timeout, self._ratio, *self._supers.values()):
            if not publisher.get_subscription_count():
                return f"no subscriber of {publisher.topic_name}"
        return ""

    def _on_joints(self, message: JointState) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        joints = None if stamp == self._stamp and stamp != (0, 0) else joints_of(message)
        if joints is not None:
            self._stamp, self._joints = stamp, joints

    def _on_state(self, message: Any) -> None:
        self._state, self._state_s = message, time.monotonic()
        self._arrivals.note("state of the robot")

    def _on_collision(self, message: Any) -> None:
        self._collided = bool(message.collision_state)
        self._arrivals.note("collision state")

    def _on_hand(self, message: Any) -> None:
        hand = hand_of(message)
        if hand is not None:
            self._pose = hand
            self._arrivals.note("pose of the hand")


class BridgedMotors:
    """Enable, reset and stop of intera_interface through topics; they return "" or the reason, after 5 s at most.

    Parameters
    ----------
    supers : dict of str to publisher
        Publishers of "enable", "reset" and "stop".
    state : callable
        Returns the newest RobotAssemblyState, and its time of arrival [s].
    """

    def __init__(self, supers: dict[str, Any], state: Callable[[], tuple[Any, float]]) -> None:
        self._supers, self._state = supers, state
        self._lock = threading.Lock()
        self._stops = 0

    def enable(self) -> str:
        """Switch the motors on, unless the robot is stopped."""
        with self._lock:
            if self._state()[0].stopped:
                return "the robot is stopped: ask for a reset first"
            return self._until("enable", Bool(data=True), lambda state: state.enabled)

    def reset(self) -> str:
        """Clear a stop; the motors stay off."""
        with self._lock:
            if why := reset_problem(self._state()[0]):
                return why
            why = self._until("reset", Empty(), lambda state: not state.stopped and not state.error)
            state, _ = self._state()
            return ERROR_PERSISTS if why and state.error and not state.stopped else why

    def stop(self) -> str:
        """Switch the motors off and apply the brakes: a software e-stop. It ends a pending enable or reset."""
        self._stops += 1
        return self._until("stop", Empty(), lambda state: state.stopped)

    def _until(self, name: str, message: Any, done: Callable[[Any], bool]) -> str:
        """Publish a request, at least once, until a later state of the robot confirms it."""
        begin_s, stops = time.monotonic(), self._stops
        while time.monotonic() < begin_s + CHANGED_S:
            if self._stops != stops:
                return "the robot was stopped meanwhile: ask for a reset first"
            self._supers[name].publish(message)
            time.sleep(0.01)
            state, received_s = self._state()
            if received_s > begin_s and done(state):
                return ""
            if name == "enable" and received_s > begin_s and state.stopped:
                self._stops += 1  # that of another program
        return f"the robot did not {name} within {CHANGED_S:g} s"


def _messages() -> Any:
    try:
        import intera_core_msgs.msg as found
    except ImportError as error:
        raise ComingUpError(
            f"intera_core_msgs cannot be imported ({error}): build it for ROS 2, as the bridge needs it, too, and "
            "source its install folder before starting",
            NO_ROS,
        ) from None
    return found


def main(argv: list[str]) -> int:
    """Run the node `arm_watchdog` of a bridged arm."""
    return serve(argv, lambda node, given: BridgedTopics(node, given.speed_ratio, given.state_silent_s))


if __name__ == "__main__":
    exit_now(main(sys.argv[1:]))
