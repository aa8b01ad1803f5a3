"""The worker of `sim:=gazebo`: the arm of a Gazebo world, by way of ros_gz_bridge.

It is the worker of `tdm_ros.intera` with another way to an arm, so that all its watchdogs and refusals are the same.
Gazebo's joint controllers never time out, and follow the last command for ever: this worker says zero, again and again,
whenever it has nothing else to say, and `GazeboArm` does when the worker is gone. The watchdogs are on the steady
clock; Gazebo's time is only looked at to see whether the joints are new.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from typing import Any

import numpy as np
from rclpy.client import Client
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from tdm_ros.control.rotation import quaternion_wxyz
from tdm_ros.intera.sdk import JOINT_NAMES, NO_ROS, ComingUpError, joints_of, trouble
from tdm_ros.intera.worker import leave_now, main
from tdm_ros.nodes.bridge_motors import NoDevices
from tdm_ros.nodes.gazebo_topics import JOINT_STATES, STALE_S, WORLD_CONTROL, JointCommands
from tdm_ros.nodes.topics_robot import NEWEST, TopicsRobot
from tdm_ros.robot.kinematics import forward, jacobian
from tdm_ros.robot.sawyer import DAMPING_N_M_S_RAD, EFFORT_MAX_N_M, FRICTION_N_M

FOUND_S = 20.0
"""How long Gazebo may take to come up and be heard."""
EVERY = QoSProfile(depth=10)
REMEDY = "start Gazebo and its bridge (ros2 launch tdm_ros gazebo.launch.py), with this actuation and lock_step, here"
REPEAT_S = 0.1
READ_EVERY_S = 0.004
STEP_S = 0.001
"""Physics step of our worlds."""
AT_REST_S = 0.05
STEP_TAKES_S = 1.0
"""A step of the world that takes longer has failed."""
SERVO_N_M_S_RAD = np.array([40.0, 40.0, 20.0, 20.0, 3.0, 2.0, 2.0])
"""How an arm that is driven by torques follows a velocity, zero too: torque for each rad/s that it is off."""


class GazeboRobot(TopicsRobot):
    """The arm in a world that runs, or waits for steps.

    Parameters
    ----------
    namespace : str
        Of the bridge's topics.
    lock_step : bool
        The world is paused, and time passes by `step` alone.
    by_torque : bool
        The world's joints take forces, not velocities.

    Raises
    ------
    ComingUpError
        If ros_gz_interfaces is missing where it is needed, or the bridge's topics are not heard.
    """

    interface = "gazebo"
    prompt = True
    """A command goes out at once, not only at the worker's next tick: a world that runs does not wait."""

    def __init__(self, namespace: str, lock_step: bool, by_torque: bool) -> None:
        self._control_world = _control_world() if lock_step else None
        super().__init__("gazebo_worker", namespace)
        self._lock_step, self._by_torque = lock_step, by_torque
        self.motors = GazeboMotors()
        self._stamp_s = -math.inf
        self._new = threading.Condition()
        self._pending_since_s: float | None = None
        self._said_s = self._next_s = -math.inf
        self._commands = JointCommands(self._node, by_torque)
        profile = EVERY if lock_step else NEWEST  # a step's last sample must not be lost
        self._node.create_subscription(JointState, JOINT_STATES, self._hear, profile, raw=True)
        self._world: Client[Any, Any, Any] | None = None
        if self._control_world is not None:
            self._world = self._node.create_client(self._control_world, WORLD_CONTROL)
        self._read_mail()
        self._wait_for_all(FOUND_S, REMEDY, self._stand)

    def shut_down(self) -> None:
        """Leave the graph, and a world whose arm is at rest."""
        if self._lock_step:
            self.step(AT_REST_S)
        super().shut_down()

    def joints_age_s(self, now_s: float) -> float:
        """Return how long ago it came [s]; where time passes by steps alone, how long one has been waited for."""
        if self._lock_step:
            since_s = self._pending_since_s
            return now_s - since_s if since_s is not None else 0.0
        return super().joints_age_s(now_s)

    def hand(self) -> tuple[Any, ...]:
        """Return position (3,) [m], quaternion wxyz (4,) and twist (6,) of the hand, from the joints."""
        assert self._joints is not None, "they were waited for"
        q_rad = self._joints.q_rad
        pose, twist = forward(q_rad), jacobian(q_rad) @ np.array(self._joints.qd_rad_s)
        parts = (pose.position_m, quaternion_wxyz(pose.rotation), twist)
        return tuple(tuple(map(float, part)) for part in parts)

    def flags(self) -> dict[str, bool]:
        """Return enabled, stopped, error, estop and collided."""
        motors = self.motors
        return {"error": False, "estop": False, "collided": False} | {
            "enabled": not motors.off,
            "stopped": bool(motors.stopped),
        }

    def problem(self, now_s: float) -> str:
        """Return why the arm can not be moved now; empty if it can."""
        age_s = self.joints_age_s(now_s)
        return self.motors.stopped or trouble(self.flags(), 0.0 if age_s <= STALE_S else age_s)

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Send one order of the keeper; zero velocity where there is none."""
        now_s = time.monotonic()
        moves = kind in ("velocity", "torque")
        if not moves and not self._by_torque and now_s - self._said_s < REPEAT_S:
            return
        self._said_s = now_s
        wanted = np.array(values if moves else np.zeros(len(JOINT_NAMES)))
        if self._by_torque and kind != "torque":
            assert self._joints is not None
            losses = DAMPING_N_M_S_RAD * wanted + FRICTION_N_M * np.sign(wanted)
            wanted = losses + SERVO_N_M_S_RAD * (wanted - np.array(self._joints.qd_rad_s))
            wanted = np.clip(wanted, -EFFORT_MAX_N_M, EFFORT_MAX_N_M)
        self._commands.say(wanted)

    def set_speed_ratio(self, ratio: float) -> None:
        """There is no position mode whose speed it would be."""

    def step(self, seconds: float) -> str:
        """Let time pass in the world [s]; return "" when the joints are those of its end, or why they are not."""
        if self._world is None or self._control_world is None:
            return "the world runs by itself: start the worker with --lock-step"
        steps = round(seconds / STEP_S)
        begin_s, target_s = time.monotonic(), self._stamp_s + steps * STEP_S
        request = self._control_world.Request()
        request.world_control.pause = True
        request.world_control.multi_step = steps
        self._pending_since_s = begin_s
        self._world.call_async(request)  # its answer comes before the steps are done: the joints tell
        with self._new:
            done = self._new.wait_for(lambda: self._stamp_s >= target_s - STEP_S / 2, STEP_TAKES_S)
        if not done:
            return f"Gazebo did not make {steps} steps within {STEP_TAKES_S:g} s"
        self._pending_since_s = None
        return ""

    def _stand(self) -> None:
        """Say zero from the start: a world that is there already may follow what a lost worker said last."""
        self._commands.say(np.zeros(len(JOINT_NAMES)))
        if self._world is not None and self._world.service_is_ready() and self._joints is None:
            self.step(STEP_S)  # a paused world may have said nothing yet

    def _missing(self) -> str:
        if self._world is not None and not self._world.service_is_ready():
            return f"nobody offered {WORLD_CONTROL}"
        if self._joints is None:
            return f"{JOINT_STATES} said nothing whole and finite"
        return self._commands.unheard()

    def _hear(self, data: bytes) -> None:
        """Read one in a few of the thousand that come each second, but all of those that a step makes."""
        now_s = time.monotonic()
        if self._lock_step or now_s >= self._next_s:
            self._next_s = now_s + READ_EVERY_S
            self._hear_joints(deserialize_message(data, JointState))

    def _hear_joints(self, message: JointState) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        joints = None if stamp_s == self._stamp_s else joints_of(message)
        if joints is None:
            return
        if stamp_s < self._stamp_s:
            self.motors.stopped = "the world was set back in time: ask for a reset, then enable the arm"
            self.motors.off = True
        with self._new:
            self._stamp_s, self._joints = stamp_s, joints
            self._new.notify_all()


class GazeboMotors:
    """A software e-stop, and the way out of it: reset, then enable. The motors are on at first."""

    def __init__(self) -> None:
        self.off = False
        self.stopped = ""

    def enable(self) -> str:
        """Switch the motors on, unless the robot is stopped."""
        if self.stopped:
            return "the robot is stopped: ask for a reset first"
        self.off = False
        return ""

    def reset(self) -> str:
        """Clear a stop; the motors stay off."""
        if not self.stopped:
            return "the robot is not stopped"
        self.stopped = ""
        return ""

    def stop(self) -> str:
        """Follow nothing any more."""
        self.off, self.stopped = True, "the robot is stopped: ask for a reset, then enable it"
        return ""


def _control_world() -> Any:
    try:
        from ros_gz_interfaces.srv import ControlWorld
    except ImportError as error:
        raise ComingUpError(
            f"ros_gz_interfaces can not be imported ({error}): install ros_gz (Jazzy: apt install ros-jazzy-ros-gz), "
            "or take lock_step:=false",
            NO_ROS,
        ) from None
    return ControlWorld


def run(argv: list[str]) -> int:
    """Come up, serve one client, and leave with an exit code."""
    words = argparse.ArgumentParser(add_help=False)
    words.add_argument("--namespace", default="/")
    words.add_argument("--lock-step", action="store_true")
    words.add_argument("--by-torque", action="store_true")
    given, others = words.parse_known_args(argv)
    others += ["--allow-torque"] if given.by_torque else []

    def connect(_: argparse.Namespace) -> tuple[GazeboRobot, NoDevices]:
        return GazeboRobot(given.namespace, given.lock_step, given.by_torque), NoDevices()

    return main(["--velocity-scale", "1.0", *others], connect)


if __name__ == "__main__":
    leave_now(run(sys.argv[1:]))
