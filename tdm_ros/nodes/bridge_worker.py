"""Worker of `robot:=bridged`: Sawyer's own topics in ROS 2, through ros1_bridge or a Zenoh bridge.

It is the worker of `tdm_ros.drivers.intera` with another way to the robot, so that all its watchdogs and rejections are
the same; the arm node starts it as a process of its own. What intera_interface does beyond topics, this does itself.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64

from tdm_ros.drivers.intera.sdk import (
    COMMAND_TIMEOUT_S,
    FOUND_S,
    JOINT_NAMES,
    LIMB,
    NO_ROS,
    PRESSED,
    WATCHED,
    Arrivals,
    ComingUpError,
    hand_of,
    joints_of,
    trouble,
)
from tdm_ros.drivers.intera.worker import leave_now, main
from tdm_ros.nodes.bridge_motors import BridgedMotors, NoDevices
from tdm_ros.nodes.topics_robot import NEWEST, TopicsRobot

POSITION, VELOCITY, TORQUE = 1, 2, 3  # of JointCommand

KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Latched, as the robot expects its settings."""


class BridgedRobot(TopicsRobot):
    """The arm, connected but not enabled.

    Parameters
    ----------
    speed_ratio : float
        For position mode, in (0, 1].
    silent_s : float
        What `WATCHED` names is not relied on when it is older [s].

    Raises
    ------
    ComingUpError
        If intera_core_msgs has not been built for ROS 2, or the robot's topics are not heard.
    """

    def __init__(self, speed_ratio: float, silent_s: float) -> None:
        self._msgs = _messages()
        super().__init__("sawyer_bridge_worker")
        self._state: Any = None
        self._state_s = -math.inf
        self._arrivals = Arrivals(silent_s)
        self._collided = False
        self._stamp: tuple[int, int] = (0, 0)
        self._pose: tuple[Any, ...] | None = None
        make = self._node.create_publisher
        self._commands = make(self._msgs.JointCommand, LIMB + "joint_command", 1)
        self._timeout = make(Float64, LIMB + "joint_command_timeout", KEPT)
        self._ratio = make(Float64, LIMB + "set_speed_ratio", KEPT)
        self._supers = {
            name: make(kind, f"/robot/set_super_{name}", 10)
            for name, kind in (("enable", Bool), ("reset", Empty), ("stop", Empty))
        }
        hear = self._node.create_subscription
        hear(JointState, "/robot/joint_states", self._hear_joints, NEWEST)
        hear(self._msgs.RobotAssemblyState, WATCHED["state of the robot"], self._hear_state, NEWEST)
        hear(self._msgs.EndpointState, WATCHED["pose of the hand"], self._hear_hand, NEWEST)
        hear(self._msgs.CollisionDetectionState, WATCHED["collision state"], self._hear_collision, NEWEST)
        self._read_mail()
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        self._wait_for_all(
            FOUND_S,
            "does the bridge run, with this topic and with intera_core_msgs, in "
            f"ROS_DOMAIN_ID {domain}, and is the robot on?",
        )
        self.motors = BridgedMotors(self._supers, lambda: (self._state, self._state_s))
        self.set_speed_ratio(speed_ratio)
        self._node.create_timer(1.0, self._set_timeout)  # again and again: a bridge that starts anew has forgotten it
        self._set_timeout()

    def hand(self) -> tuple[Any, ...]:
        """Return position (3,) [m], quaternion wxyz (4,) and twist (6,) of the hand; the last that were finite."""
        assert self._pose is not None, "it was waited for"
        return self._pose

    def flags(self) -> dict[str, bool]:
        """Return enabled, stopped, error, homed, estop and collided."""
        state = self._state
        return {
            "homed": bool(state.homed),
            "enabled": bool(state.enabled),
            "stopped": bool(state.stopped),
            "error": bool(state.error),
            "estop": state.estop_button == PRESSED,
            "collided": self._collided,
        }

    def problem(self, now_s: float) -> str:
        """Return why the arm cannot be moved now; empty if it can."""
        return trouble(self.flags(), self.joints_age_s(now_s)) or self._arrivals.problem(now_s) or self._unheard()

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Send one order of the keeper."""
        if kind == "exit":  # as intera_interface does: one command to stay where the joints are
            assert self._joints is not None
            kind, values = "position", self._joints.q_rad
        if not kind:
            return
        mode = {"position": POSITION, "velocity": VELOCITY, "torque": TORQUE}[kind]
        message = self._msgs.JointCommand(mode=mode, names=list(JOINT_NAMES))
        message.header.stamp = self._node.get_clock().now().to_msg()
        setattr(message, "effort" if kind == "torque" else kind, list(values))
        self._commands.publish(message)

    def set_speed_ratio(self, ratio: float) -> None:
        """Set the speed of position mode, in (0, 1] of the joints' limits."""
        self._ratio.publish(Float64(data=float(ratio)))

    def _set_timeout(self) -> None:
        self._timeout.publish(Float64(data=COMMAND_TIMEOUT_S))

    def _missing(self) -> str:
        if self._joints is None:
            return "/robot/joint_states said nothing whole and finite"
        return self._arrivals.missing() or self._unheard()

    def _unheard(self) -> str:
        """Return which of our topics nobody subscribes to, or ""."""
        for publisher in (self._commands, self._timeout, self._ratio, *self._supers.values()):
            if not publisher.get_subscription_count():
                return f"nobody listens on {publisher.topic_name}"
        return ""

    def _hear_joints(self, message: JointState) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        joints = None if stamp == self._stamp and stamp != (0, 0) else joints_of(message)
        if joints is not None:
            self._stamp, self._joints = stamp, joints

    def _hear_state(self, message: Any) -> None:
        self._state, self._state_s = message, time.monotonic()
        self._arrivals.note("state of the robot")

    def _hear_collision(self, message: Any) -> None:
        self._collided = bool(message.collision_state)
        self._arrivals.note("collision state")

    def _hear_hand(self, message: Any) -> None:
        hand = hand_of(message)
        if hand is not None:
            self._pose = hand
            self._arrivals.note("pose of the hand")


def connect(arguments: argparse.Namespace) -> tuple[BridgedRobot, NoDevices]:
    """The robot through its topics."""
    missing = "cuff, navigator, gripper, lights: not reached through topics; nobody knows here whether the cuff is held"
    return BridgedRobot(arguments.speed_ratio, arguments.state_silent_s), NoDevices(missing)


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


if __name__ == "__main__":
    leave_now(main(sys.argv[1:], connect))
