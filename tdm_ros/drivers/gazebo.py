"""Arm of a Gazebo world, through the topics of ros_gz_bridge: its side in the watchdog, and in the node `arm`.

Gazebo's joint controllers never time out: they follow the last command for ever. The watchdog publishes zero again and
again while no command is in force, and `GazeboArm` does when the watchdog has ended or is frozen. All time limits are
on the steady clock; Gazebo's time shows whether joint states are new, and which requested steps the world has made.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import ArrayLike
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from tdm_ros.drivers.intera.client import ArmClient
from tdm_ros.drivers.intera.sdk import NO_ROS, UNUSABLE, ComingUpError, joints_of, robot_problem
from tdm_ros.drivers.intera.worker import exit_now
from tdm_ros.drivers.robot_caps import robot_caps
from tdm_ros.drivers.watchdog import NEWEST, POLL_S, ArmTopics, serve
from tdm_ros.drivers.watched_arm import FOUND_S, Commands, WatchedArm
from tdm_ros.robots.arm import Mode
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.gazebo import JOINT_STATES, control_service, ros_command_topics, servo_n_m_s_rad, start_rad
from tdm_ros.robots.kinematics import forward, quaternion_wxyz
from tdm_ros.robots.limits import Array
from tdm_ros.robots.sawyer import SAWYER

STALE_S = 0.25
"""Joint states that are older stop the arm [s]; more than for a real arm, since a simulator may pause briefly."""
REMEDY = (
    "start Gazebo and its bridge (ros2 launch tdm_ros gazebo.launch.py), with this robot, actuation and lock_step, here"
)
REPEAT_S = 0.1
STEP_S = 0.001
"""Physics step of the worlds of this package [s]."""
SERVO_STEPS = 10
"""Number of steps with one torque where torques keep a velocity: one period of the watchdog."""
STEP_NS = 1_000_000
AT_REST_S = 0.05
STEP_TAKES_S = 1.0
"""Longest time for the steps of one request, and those still due from earlier ones [s]."""
IDLE_S = 0.25
"""Time after which a world that publishes, and makes no step, has not received the request [s]."""
SUBSTEP_S = 0.002
ANSWER_S = 1.5
"""Longest wait of the node `arm` for the watchdog's answer to a request for steps [s]; more than `STEP_TAKES_S`."""


class JointCommands(Commands):
    """A publisher for each joint, of velocities [rad/s] or, in a world by torque, of forces [N m]."""

    def __init__(self, node: Node, by_torque: bool, robot: Robot = SAWYER) -> None:
        topics = ros_command_topics(robot, by_torque)
        super().__init__([node.create_publisher(Float64, topic, QoSProfile(depth=1)) for topic in topics], len(topics))

    def publish(self, values: ArrayLike) -> None:
        """Publish (J,) [rad/s or N m]."""
        for publisher, value in zip(self._publishers, np.asarray(values), strict=True):
            publisher.publish(Float64(data=float(value)))


class GazeboTopics(ArmTopics):
    """Topics of the arm in a world that runs, or in lock-step is paused, so that time passes by `step` alone.

    A ComingUpError is raised if ros_gz_interfaces is missing where it is needed, or the bridge's topics are not there;
    a ValueError if the description has wrong numbers for Gazebo, or none for torques.
    """

    interface = "gazebo"
    prompt = True

    def __init__(self, node: Node, lock_step: bool, by_torque: bool, robot: Robot = SAWYER) -> None:
        self._robot, self._start_rad = robot, start_rad(robot)
        self._gains = servo_n_m_s_rad(robot) if by_torque else np.zeros(0)
        self._control_world = _control_world() if lock_step else None
        super().__init__(node)
        self._lock_step, self._by_torque = lock_step, by_torque
        self.motors = GazeboMotors()
        self._stamp_ns: int | None = None
        self._due_ns: int | None = None
        self._received_s = self._moved_s = -math.inf
        self._failed_since_s: float | None = None
        self._stepping = False
        self._order: tuple[str, tuple[float, ...]] = ("", ())
        self._published_s = self._first_step_s = -math.inf
        self._commands = JointCommands(node, by_torque, robot)
        self.subscriptions.subscribe(JointState, JOINT_STATES, self._receive, NEWEST, raw=True)
        self._world = node.create_client(self._control_world, control_service(robot)) if lock_step else None
        self._wait_for_all(FOUND_S, self._prepare)
        self._due_ns = None  # a world that ran until now has made more steps than were requested

    def shut_down(self) -> None:
        """Leave the graph, and a world in which the arm is at rest."""
        if self._lock_step:
            self.step(AT_REST_S)
        super().shut_down()

    def joints_age_s(self, now_s: float) -> float:
        """Return the age of the newest sample [s]; in lock-step, the time since the begin of a failed step."""
        if self._lock_step:
            since_s = self._failed_since_s
            return now_s - since_s if since_s is not None else 0.0
        return super().joints_age_s(now_s)

    def hand(self) -> tuple[Any, ...]:
        assert self._joints is not None, "the constructor waits for them"
        pose = forward(self._joints.q_rad, self._robot)
        return tuple(pose.position_m.tolist()), tuple(quaternion_wxyz(pose.rotation).tolist())

    def flags(self) -> dict[str, bool]:
        flags = {"error": False, "estop": False, "collided": False, "homed": True}
        return flags | {"enabled": not self.motors.off, "stopped": bool(self.motors.stopped)}

    def problem(self, now_s: float) -> str:
        age_s = self.joints_age_s(now_s)
        return self.motors.stopped or robot_problem(self.flags(), 0.0 if age_s <= STALE_S else age_s)

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Publish one order of the command watchdog; zero velocity where there is none.

        What was published before steps were requested is in force until they are made: they may take far longer on the
        clock of the command watchdog than in the world.
        """
        if self._stepping:
            return
        self._order, now_s = (kind, values), time.monotonic()
        if values or self._by_torque or now_s - self._published_s >= REPEAT_S:
            self._published_s = now_s
            self._publish()

    def _publish(self) -> None:
        """Publish the velocities or torques of the order; by torques, a velocity as a servo's torque."""
        (kind, values), robot = self._order, self._robot
        wanted = np.array(values or np.zeros(len(robot.joint_names)))
        if self._by_torque and kind != "torque":
            assert self._joints is not None
            losses = robot.damping_n_m_s_rad * wanted + robot.friction_n_m * np.sign(wanted)
            wanted = losses + self._gains * (wanted - np.array(self._joints.qd_rad_s))
            wanted = np.clip(wanted, -robot.effort_n_m, robot.effort_n_m)
        self._commands.publish(wanted)

    def step(self, seconds: float) -> str:
        """Let time pass in the world [s]; return "" when joint states of its end have arrived, or why not."""
        if self._world is None or self._control_world is None:
            return "the world runs by itself: start the worker with --lock-step"
        begin_s = time.monotonic()
        problem = self._wait_for_steps(begin_s) or self._unrequested()
        if not problem:
            self._stepping = True
            problem = self._make_steps(round(seconds / STEP_S), begin_s)
            self._stepping = False
        self._failed_since_s = begin_s if problem else None
        return problem

    def _make_steps(self, count: int, begin_s: float) -> str:
        """Request steps of the world; return "" or why they are not made.

        One request, except where torques keep a velocity: one torque for 50 ms would overshoot by some rad/s.
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
        # The answer is sent before the steps are made, and is not used; the joint states show the steps.
        self._world.remove_pending_request(self._world.call_async(request))

    def _wait_for_steps(self, begin_s: float) -> str:
        """Wait until all requested steps are made; return why some are still due, or "".

        Requests add up, and a pause cancels none: late steps are made later, before all new steps. Only a request that
        never reached the world is dropped.
        """
        asked_s = time.monotonic()
        while due := self._due():
            if time.monotonic() > begin_s + STEP_TAKES_S:
                break
            time.sleep(POLL_S)
            self.poll()
        else:
            return ""
        if self._received_s - max(asked_s, self._moved_s) > IDLE_S:
            self._due_ns = self._stamp_ns
        return f"Gazebo did not make the {due} steps that are due within {STEP_TAKES_S:g} s"

    def _due(self) -> int:
        """Return the number of steps that were requested and are not yet made."""
        if self._due_ns is None or self._stamp_ns is None:
            return 0
        return max(self._due_ns - self._stamp_ns, 0) // STEP_NS

    def _unrequested(self) -> str:
        """Return how many steps were made without a request, or ""; the account then begins there."""
        if self._due_ns is None or self._stamp_ns is None or self._stamp_ns <= self._due_ns:
            return ""
        more, self._due_ns = (self._stamp_ns - self._due_ns) // STEP_NS, self._stamp_ns
        return f"the world made {more} steps that this worker did not ask for: nothing else may run or step it"

    def _prepare(self) -> None:
        """Publish zero from the start: a running world may follow the last command of an earlier watchdog."""
        self.poll()
        self._commands.stop()
        if self._world is None or self._joints is not None or not self._world.service_is_ready():
            return
        # A paused world may have published nothing yet. One step, since each that was requested is made some time, and
        # those that are made after the first joint states would count as not requested.
        if time.monotonic() > self._first_step_s + STEP_TAKES_S:
            self._first_step_s = time.monotonic()
            self.step(STEP_S)

    def _missing(self) -> tuple[str, str]:
        if self._world is not None and not self._world.service_is_ready():
            return f"{control_service(self._robot)} was not offered", REMEDY
        if self._joints is None:
            names = ", ".join(self._robot.joint_names)
            return f"{JOINT_STATES} published nothing complete and finite of {names}", REMEDY
        return self._commands.unmatched(), REMEDY

    def _receive(self, data: bytes) -> None:
        """Read one sample. Of one that a paused world repeats, only the stamp is read, which is first."""
        stamp: Time = deserialize_message(data, Time)
        stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
        self._received_s = time.monotonic()
        if stamp_ns == self._stamp_ns:
            return
        joints = joints_of(deserialize_message(data, JointState), self._robot.joint_names)
        if joints is None:
            return
        joints = joints._replace(q_rad=tuple((self._start_rad + joints.q_rad).tolist()))
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            self.motors.stopped = "the world was set back in time: ask for a reset, then enable the arm"
            self.motors.off = True
            self._due_ns = None
        self._stamp_ns, self._joints, self._moved_s = stamp_ns, joints, self._received_s


class GazeboMotors:
    """Software e-stop, cleared by reset, then enable. The motors are on at first."""

    def __init__(self) -> None:
        self.off = False
        self.stopped = ""

    def enable(self) -> str:
        if self.stopped:
            return "the robot is stopped: ask for a reset first"
        self.off = False
        return ""

    def reset(self) -> str:
        if not self.stopped:
            return "the robot is not stopped"
        self.stopped = ""
        return ""

    def stop(self) -> str:
        """Reject all commands from now on."""
        self.off, self.stopped = True, "the robot is stopped: ask for a reset, then enable it"
        return ""


def _control_world() -> Any:
    try:
        from ros_gz_interfaces.srv import ControlWorld
    except ImportError as error:
        remedy = "install ros_gz (Jazzy: apt install ros-jazzy-ros-gz), or take lock_step:=false"
        raise ComingUpError(f"ros_gz_interfaces cannot be imported ({error}): {remedy}", NO_ROS) from None
    return ControlWorld


def main(argv: Sequence[str]) -> int:
    """Run the node `arm_watchdog` of a Gazebo arm."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--robot", default=SAWYER.name, help="name, or path of the description")
    own.add_argument("--lock-step", action="store_true", help="the world is paused")
    own.add_argument("--by-torque", action="store_true", help="the world's joints take forces")
    bounds = ["--velocity-scale", "1.0", "--hand-speed-m-s", "0"]
    bounds += ["--allow-torque"] if "--by-torque" in argv else []

    def connect(node: Node, given: argparse.Namespace) -> ArmTopics:
        try:
            return GazeboTopics(node, given.lock_step, given.by_torque, load_robot(given.robot))
        except ValueError as error:
            raise ComingUpError(str(error), UNUSABLE) from None

    return serve([*bounds, *argv], connect, own, robot_caps)


class GazeboArm(WatchedArm):
    """An `Arm` in a Gazebo world. In lock-step, time passes by `advance` alone, which waits for it.

    ``commands`` are publishers of this process, for zero velocities after the end of the watchdog: Gazebo follows its
    last command. An InteraError says that a joint's controller does not receive them.
    """

    max_age_s = STALE_S

    def __init__(self, client: ArmClient, commands: JointCommands, lock_step: bool, robot: Robot = SAWYER) -> None:
        super().__init__(client, robot, commands, REMEDY)
        self._lock_step = lock_step
        self._step_problem = ""
        self._stepped_s = 0.0
        self._order: tuple[Mode, Array] | None = None

    def now_s(self) -> float:
        """Steady time [s], without the time that the world took for its steps.

        Gazebo makes a step no faster than in real time. A cycle has the same length on this clock as in the world, and
        leaves as much time for messages as a cycle of an arm whose time passes by itself.
        """
        return time.monotonic() - self._stepped_s

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        self._order = mode, np.array(values, np.float64)
        super().drive(mode, values)

    def hold(self) -> None:
        self._order = None
        super().hold()

    def advance(self, substeps: int) -> None:
        """Let ``substeps`` x 2 ms pass with the command in force, sent again: earlier steps may have outlasted it."""
        if not self._lock_step or not substeps or self._step_problem:
            return
        begin_s = time.monotonic()
        if self._order is not None:
            super().drive(*self._order)
        try:
            answer = self.client.request("step", substeps * SUBSTEP_S).result(ANSWER_S)
            self._step_problem = answer.reason
        except concurrent.futures.TimeoutError:
            self._step_problem = f"the worker did not answer for {ANSWER_S:g} s"
        self._wait_for_state()
        self._stepped_s += time.monotonic() - begin_s

    def problem(self) -> str:
        """Why the arm must not be driven, or ""."""
        self._stop_without_watchdog()
        step_problem, self._step_problem = self._step_problem, ""
        return step_problem or super().problem()

    def _wait_for_state(self) -> None:
        """Wait for the first state after the answer, which has the joints at the end of the step."""
        newest, until_s = self.client.state().state, time.monotonic() + 0.1
        while self.client.state().state is newest and time.monotonic() < until_s:
            time.sleep(0.001)


if __name__ == "__main__":
    exit_now(main(sys.argv[1:]))
