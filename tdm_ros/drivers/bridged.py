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

from tdm_ros.drivers.intera import sdk
from tdm_ros.drivers.intera.worker import exit_now
from tdm_ros.drivers.watchdog import NEWEST, ArmTopics, serve

CHANGED_S = 5.0
"""Longest time for the robot to do what was requested."""
JOINT_STATES = "/robot/joint_states"
POSITION, VELOCITY, TORQUE = 1, 2, 3  # of JointCommand

KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Latched, as the robot expects its settings."""


class BridgedTopics(ArmTopics):
    """Topics of the robot, connected but not enabled; `sdk.Robot` describes the parameters.

    A ComingUpError is raised if intera_core_msgs has not been built for ROS 2, or the robot's topics are not there.
    """

    missing = ("cuff, navigator: not reached through topics; whether the cuff is held is unknown",)

    def __init__(self, node: Node, speed_ratio: float, silent_s: float) -> None:
        self._msgs = _messages()
        super().__init__(node, silent_s)
        self._state: Any = None
        self._state_s = -math.inf
        self._collided = False
        make = node.create_publisher
        self._commands = make(self._msgs.JointCommand, sdk.LIMB + "joint_command", 1)
        self._timeout = make(Float64, sdk.LIMB + "joint_command_timeout", KEPT)
        self._ratio = make(Float64, sdk.LIMB + "set_speed_ratio", KEPT)
        self._supers = {
            name: make(kind, f"/robot/set_super_{name}", 10)
            for name, kind in (("enable", Bool), ("reset", Empty), ("stop", Empty))
        }
        subscribe = self.subscriptions.subscribe
        subscribe(JointState, JOINT_STATES, self._on_joints, NEWEST)
        subscribe(self._msgs.RobotAssemblyState, sdk.WATCHED["state of the robot"], self._on_state, NEWEST)
        subscribe(self._msgs.EndpointState, sdk.WATCHED["pose of the hand"], self._on_hand, NEWEST)
        subscribe(self._msgs.CollisionDetectionState, sdk.WATCHED["collision state"], self._on_collision, NEWEST)
        self._wait_for_all(sdk.FOUND_S, self.poll)
        self.motors = BridgedMotors(self._supers, lambda: (self._state, self._state_s))
        self._speed_ratio = Float64(data=float(speed_ratio))
        self._timeout_due_s = 0.0

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Publish one order of the command watchdog, and each second the settings: a restarted bridge forgets them."""
        if time.monotonic() >= self._timeout_due_s:
            self._timeout_due_s = time.monotonic() + 1.0
            self._timeout.publish(Float64(data=sdk.COMMAND_TIMEOUT_S))
            self._ratio.publish(self._speed_ratio)
        if kind == "exit":  # as intera_interface does: one command to stay where the joints are
            assert self._joints is not None
            kind, values = "position", self._joints.q_rad
        if not kind:
            return
        mode = {"position": POSITION, "velocity": VELOCITY, "torque": TORQUE}[kind]
        message = self._msgs.JointCommand(mode=mode, names=list(sdk.JOINT_NAMES))
        message.header.stamp = self.node.get_clock().now().to_msg()
        setattr(message, "effort" if kind == "torque" else kind, list(values))
        self._commands.publish(message)

    def flags(self) -> dict[str, bool]:
        return sdk.flags_of(self._state, self._collided)

    def problem(self, now_s: float) -> str:
        return sdk.robot_problem(self.flags(), self.joints_age_s(now_s)) or self._silent(now_s) or self._unmatched()

    def _missing(self) -> tuple[str, str]:
        remedy = (
            "does the bridge run, with this topic and with intera_core_msgs, in ROS_DOMAIN_ID {}, and is the robot on?"
        )
        return self._never_received() or self._unmatched(), remedy.format(os.environ.get("ROS_DOMAIN_ID", "0"))

    def _unmatched(self) -> str:
        """Return a topic of ours without a subscriber, or ""."""
        for publisher in (self._commands, self._timeout, self._ratio, *self._supers.values()):
            if not publisher.get_subscription_count():
                return f"no subscriber of {publisher.topic_name}"
        return ""

    def _on_state(self, message: Any) -> None:
        self._state, self._state_s = message, time.monotonic()
        self._note("state of the robot")

    def _on_collision(self, message: Any) -> None:
        self._collided = bool(message.collision_state)
        self._note("collision state")


class BridgedMotors:
    """Enable, reset and stop of intera_interface through topics; they return "" or the reason, after 5 s at most.

    `state` returns the newest RobotAssemblyState, and its time of arrival [s].
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
            if why := sdk.reset_problem(self._state()[0]):
                return why
            why = self._until("reset", Empty(), lambda state: not state.stopped and not state.error)
            state, _ = self._state()
            return sdk.ERROR_PERSISTS if why and state.error and not state.stopped else why

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
        import intera_core_msgs.msg
    except ImportError as error:
        remedy = "build it for ROS 2, as the bridge needs it, too, and source its install folder before starting"
        raise sdk.ComingUpError(f"intera_core_msgs cannot be imported ({error}): {remedy}", sdk.NO_ROS) from None
    return intera_core_msgs.msg


def main(argv: list[str]) -> int:
    """Run the node `arm_watchdog` of a bridged arm."""
    return serve(argv, lambda node, given: BridgedTopics(node, given.speed_ratio, given.state_silent_s))


if __name__ == "__main__":
    exit_now(main(sys.argv[1:]))
