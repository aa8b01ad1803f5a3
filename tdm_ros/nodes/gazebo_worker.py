"""Worker of `sim:=gazebo`: the arm of a Gazebo world, through ros_gz_bridge.

It is the worker of `tdm_ros.drivers.intera` with another way to an arm, with the same watchdogs.
Gazebo's joint controllers never time out, and follow the last command for ever: this worker says zero, again and again,
whenever it has nothing else to say, and `GazeboArm` does when the worker is gone. The watchdogs are on the steady
clock; Gazebo's time tells whether the joints are new, and which of the requested steps the world has made.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.client import Client
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from tdm_ros.drivers.intera.sdk import JOINT_NAMES, NO_ROS, ComingUpError, joints_of, trouble
from tdm_ros.drivers.intera.worker import leave_now, main
from tdm_ros.nodes.bridge_motors import NoDevices
from tdm_ros.nodes.gazebo_arm import JOINT_STATES, STALE_S, WORLD_CONTROL, JointCommands
from tdm_ros.nodes.topics_robot import NEWEST, TopicsRobot
from tdm_ros.robots.kinematics import forward, jacobian, quaternion_wxyz
from tdm_ros.robots.sawyer import DAMPING_N_M_S_RAD, EFFORT_MAX_N_M, FRICTION_N_M

FOUND_S = 20.0
"""How long Gazebo may take to come up and be heard."""
REMEDY = "start Gazebo and its bridge (ros2 launch tdm_ros gazebo.launch.py), with this actuation and lock_step, here"
REPEAT_S = 0.1
READ_EVERY_S = 0.004
"""Gazebo publishes up to 1000 joint states per second, paused or not; so often the newest one is read."""
STEP_S = 0.001
"""Physics step of our worlds."""
SERVO_STEPS = 10
"""So many steps are made with one torque where torques keep a velocity: those of one period of the worker."""
STEP_NS = 1_000_000
AT_REST_S = 0.05
STEP_TAKES_S = 1.0
"""Longest time for the steps of one request, and those still due from earlier ones."""
IDLE_S = 0.25
"""A world that publishes for so long after a request, and makes no step, has not received it."""
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
        super().__init__("gazebo_worker", namespace, start_parameter_services=False)
        self._lock_step, self._by_torque = lock_step, by_torque
        self.motors = GazeboMotors()
        self._stamp_ns: int | None = None
        self._due_ns: int | None = None
        self._received_s = self._moved_s = -math.inf
        self._new = threading.Condition()
        self._failed_since_s: float | None = None
        self._stepping = False
        self._order: tuple[str, tuple[float, ...]] = ("", ())
        self._said_s = -math.inf
        self._commands = JointCommands(self._node, by_torque)
        self._subscription = self._node.create_subscription(JointState, JOINT_STATES, self._receive, NEWEST, raw=True)
        self._closing = threading.Event()
        self._world: Client[Any, Any, Any] | None = None
        if self._control_world is not None:
            self._world = self._node.create_client(self._control_world, WORLD_CONTROL)
        self._read_mail()
        self._wait_for_all(FOUND_S, REMEDY, self._stand)
        self._due_ns = None  # a world that ran until now has made more steps than it was asked for

    def shut_down(self) -> None:
        """Leave the graph, and a world whose arm is at rest."""
        if self._lock_step:
            self.step(AT_REST_S)
        self._closing.set()
        self._reader.join(REPEAT_S)
        super().shut_down()

    def joints_age_s(self, now_s: float) -> float:
        """Return how long ago it came [s]; where time passes by steps alone, how long a failed step has been due."""
        if self._lock_step:
            since_s = self._failed_since_s
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
        """Return enabled, stopped, error, homed, estop and collided."""
        motors = self.motors
        return {"error": False, "estop": False, "collided": False, "homed": True} | {
            "enabled": not motors.off,
            "stopped": bool(motors.stopped),
        }

    def problem(self, now_s: float) -> str:
        """Return why the arm cannot be moved now; empty if it can."""
        age_s = self.joints_age_s(now_s)
        return self.motors.stopped or trouble(self.flags(), 0.0 if age_s <= STALE_S else age_s)

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Send one order of the keeper; zero velocity where there is none.

        What was sent before steps were asked for is in force until they are made: they may take far longer on the
        keeper's clock than in the world.
        """
        if self._stepping:
            return
        self._order, now_s = (kind, values), time.monotonic()
        moves = kind in ("velocity", "torque")
        if moves or self._by_torque or now_s - self._said_s >= REPEAT_S:
            self._said_s = now_s
            self._publish()

    def _publish(self) -> None:
        """Publish the velocities or torques of the order; by torques, a velocity as a servo's torque."""
        kind, values = self._order
        wanted = np.array(values if kind in ("velocity", "torque") else np.zeros(len(JOINT_NAMES)))
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
        begin_s = time.monotonic()
        problem = self._wait_for_steps(begin_s) or self._unasked()
        if not problem:
            self._stepping = True
            problem = self._make_steps(round(seconds / STEP_S), begin_s)
            self._stepping = False
        self._failed_since_s = begin_s if problem else None
        return problem

    def _make_steps(self, count: int, begin_s: float) -> str:
        """Have the world make steps; return "" or why they are not made.

        All at once, except where torques keep a velocity: one torque for 50 ms would overshoot by some rad/s.
        """
        servo = self._by_torque and self._order[0] != "torque" and self._joints is not None
        while count > 0:
            at_once = min(SERVO_STEPS, count) if servo else count
            self._request_steps(at_once)
            if problem := self._wait_for_steps(begin_s):
                return problem
            count -= at_once
            if servo:
                self._publish()
        return ""

    def _request_steps(self, count: int) -> None:
        assert self._world is not None and self._control_world is not None
        request = self._control_world.Request()
        request.world_control.pause = True
        request.world_control.multi_step = count
        if self._stamp_ns is not None:
            self._due_ns = self._stamp_ns + count * STEP_NS
        # The answer says nothing: it comes before the steps are made. The joint states tell.
        self._world.remove_pending_request(self._world.call_async(request))

    def _wait_for_steps(self, begin_s: float) -> str:
        """Wait until all steps that were asked for are made; return why some are still due, or "".

        Requests add up, and a pause cancels none: what was not made in time is made later, before all new steps. Only
        a request that never reached the world is forgotten.
        """
        asked_s = time.monotonic()
        with self._new:
            if self._new.wait_for(lambda: not self._due(), begin_s + STEP_TAKES_S - asked_s):
                return ""
            due = self._due()
            if self._received_s - max(asked_s, self._moved_s) > IDLE_S:
                self._due_ns = self._stamp_ns
        return f"Gazebo did not make the {due} steps that are due within {STEP_TAKES_S:g} s"

    def _due(self) -> int:
        """How many steps were asked for and not yet made."""
        if self._due_ns is None or self._stamp_ns is None:
            return 0
        return max(self._due_ns - self._stamp_ns, 0) // STEP_NS

    def _unasked(self) -> str:
        """Why the world is not where the steps asked for have put it, or ""; from then on it counts from there."""
        if self._due_ns is None or self._stamp_ns is None or self._stamp_ns <= self._due_ns:
            return ""
        more, self._due_ns = (self._stamp_ns - self._due_ns) // STEP_NS, self._stamp_ns
        return f"the world made {more} steps that this worker did not ask for: nothing else may run or step it"

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

    def _spin(self) -> None:
        """Take the newest sample at intervals: an executor that handles each one costs 40 % of a processor core."""
        while rclpy.ok() and not self._closing.wait(READ_EVERY_S):
            try:
                with self._subscription.handle:
                    taken = self._subscription.handle.take_message(JointState, True)
                if taken is not None:
                    self._receive(taken[0])
            except Exception as error:  # bytes that are no message
                self._executor.guard.failed(JOINT_STATES, error)

    def _receive(self, data: bytes) -> None:
        """Take in one sample. Of one that a paused world repeats, only the stamp is read: it comes first."""
        stamp: Time = deserialize_message(data, Time)
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._received_s = time.monotonic()
        joints = None if stamp_ns == self._stamp_ns else joints_of(deserialize_message(data, JointState))
        if joints is None:
            return
        with self._new:
            if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
                self.motors.stopped = "the world was set back in time: ask for a reset, then enable the arm"
                self.motors.off = True
                self._due_ns = None
            self._stamp_ns, self._joints, self._moved_s = stamp_ns, joints, self._received_s
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
            f"ros_gz_interfaces cannot be imported ({error}): install ros_gz (Jazzy: apt install ros-jazzy-ros-gz), "
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

    return main(["--velocity-scale", "1.0", "--hand-speed-m-s", "0", *others], connect)


if __name__ == "__main__":
    leave_now(run(sys.argv[1:]))
