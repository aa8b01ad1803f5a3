"""The worker of `robot:=bridged`: Sawyer's own topics in ROS 2, where ros1_bridge or a Zenoh bridge brings them.

It is the worker of `tdm_ros.intera` with another way to the robot, so that all its watchdogs and refusals are the same;
the arm node starts it as a process of its own. What intera_interface does beyond topics, this does itself.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from typing import Any

from geometry_msgs.msg import Point, Quaternion, Vector3
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64

from tdm_ros.intera.sdk import (
    COMMAND_TIMEOUT_S,
    JOINT_NAMES,
    NO_ROS,
    ComingUpError,
    joints_of,
    trouble,
)
from tdm_ros.intera.worker import leave_now, main
from tdm_ros.nodes.bridge_motors import PRESSED, BridgedMotors, NoDevices
from tdm_ros.nodes.topics_robot import NEWEST, TopicsRobot

LIMB = "/robot/limb/right/"
POSITION, VELOCITY, TORQUE = 1, 2, 3  # of JointCommand
FOUND_S = 5.0
"""How long the robot's topics may take to be heard."""
STATE_OLD_S = 0.3
"""The robot's state, and that of collision, come many times a second; older than this they are not believed."""

KEPT = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Latched, as the robot expects its settings."""


class BridgedRobot(TopicsRobot):
    """The arm, connected but not enabled.

    Parameters
    ----------
    speed_ratio : float
        For position mode, in (0, 1].

    Raises
    ------
    ComingUpError
        If intera_core_msgs has not been built for ROS 2, or the robot's topics are not heard.
    """

    def __init__(self, speed_ratio: float) -> None:
        self._msgs = _messages()
        super().__init__("sawyer_bridge_worker")
        self._state: Any = None
        self._state_s = self._collision_s = -math.inf
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
        hear(self._msgs.RobotAssemblyState, "/robot/state", self._hear_state, NEWEST)
        hear(self._msgs.EndpointState, LIMB + "endpoint_state", self._hear_hand, NEWEST)
        hear(self._msgs.CollisionDetectionState, LIMB + "collision_detection_state", self._hear_collision, NEWEST)
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
        """Return enabled, stopped, error, estop and collided."""
        state = self._state
        return {
            "enabled": bool(state.enabled),
            "stopped": bool(state.stopped),
            "error": bool(state.error),
            "estop": state.estop_button == PRESSED,
            "collided": self._collided,
        }

    def problem(self, now_s: float) -> str:
        """Return why the arm can not be moved now; empty if it can."""
        if found := trouble(self.flags(), self.joints_age_s(now_s)):
            return found
        for name, heard_s in (("state of the robot", self._state_s), ("collision state", self._collision_s)):
            if now_s - heard_s > STATE_OLD_S:
                return f"the {name} is {now_s - heard_s:.1f} s old"
        return ""

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
        heard = {
            "/robot/joint_states": self._joints is not None,
            "/robot/state": self._state is not None,
            LIMB + "endpoint_state": self._pose is not None,
            LIMB + "collision_detection_state": math.isfinite(self._collision_s),
        }
        for topic, is_heard in heard.items():
            if not is_heard:
                return f"{topic} said nothing whole and finite"
        for publisher in (self._commands, self._timeout, self._ratio, *self._supers.values()):
            if not publisher.get_subscription_count():
                return f"nobody listened on {publisher.topic_name}"
        return ""

    def _hear_joints(self, message: JointState) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        joints = None if stamp == self._stamp and stamp != (0, 0) else joints_of(message)
        if joints is not None:
            self._stamp, self._joints = stamp, joints

    def _hear_state(self, message: Any) -> None:
        self._state, self._state_s = message, time.monotonic()

    def _hear_collision(self, message: Any) -> None:
        self._collided, self._collision_s = bool(message.collision_state), time.monotonic()

    def _hear_hand(self, message: Any) -> None:
        p: Point = message.pose.position
        o: Quaternion = message.pose.orientation
        v: Vector3 = message.twist.linear
        w: Vector3 = message.twist.angular
        hand = ((p.x, p.y, p.z), (o.w, o.x, o.y, o.z), (v.x, v.y, v.z, w.x, w.y, w.z))
        if all(math.isfinite(value) for part in hand for value in part):
            self._pose = hand


def connect(arguments: argparse.Namespace) -> tuple[BridgedRobot, NoDevices]:
    """The robot through its topics."""
    return BridgedRobot(arguments.speed_ratio), NoDevices()


def _messages() -> Any:
    try:
        import intera_core_msgs.msg as found
    except ImportError as error:
        raise ComingUpError(
            f"intera_core_msgs can not be imported ({error}): build it for ROS 2, as the bridge needs it, too, and "
            "source its install folder before starting",
            NO_ROS,
        ) from None
    return found


if __name__ == "__main__":
    leave_now(main(sys.argv[1:], connect))
