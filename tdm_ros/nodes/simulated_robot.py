"""Simulated robot behind ros2_control: MuJoCo, and the topics, services and semantics of the usual controllers.

It is no node of a system but the other side of the driver `ros2_control`, in the place of a vendor's driver and its
controllers. Joint states come at 500 Hz, in alphabetical order, with joints of a gripper among them.
"""

from __future__ import annotations

import argparse
import gc
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # type: ignore[import-untyped]
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from tdm_ros.bringup.starting import report
from tdm_ros.control.live_task import TASKS
from tdm_ros.drivers.ros2_control_settings import CONTROLLERS, Settings, settings_of
from tdm_ros.envs.controlled_arm import ControlledArm, in_real_time
from tdm_ros.envs.simulated_object import SimulatedObject
from tdm_ros.nodes import qos
from tdm_ros.nodes.node_runner import StopSignal
from tdm_ros.nodes.object_input import TOPIC, pose_of
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.tasks.pushing import push_setup

OTHERS = ("gripper_left", "gripper_right")
"""Joints that are no joints of the arm, first and last in the joint states."""
TELL_S = 0.1
"""Interval of e-stop and diagnostics [s]."""
CAMERA_HZ = 30.0


class RawJointState:
    """A serialised JointState whose numbers are replaced in place: serialising a new one takes too long for 500 Hz."""

    def __init__(self, names: Sequence[str]) -> None:
        self._size = len(names)
        rows = [[float(row + 1)] * self._size for row in range(3)]
        message = JointState(name=list(names), position=rows[0], velocity=rows[1], effort=rows[2])
        message.header.stamp = Time(sec=1234, nanosec=5678)
        self._raw = bytearray(serialize_message(message))
        self._stamp = self._raw.index(struct.pack("=iI", 1234, 5678))
        self._rows = [self._raw.index(struct.pack(f"={self._size}d", *row)) for row in rows]

    def fill(self, time_s: float, rows: Sequence[Sequence[float]]) -> bytes:
        """Return it with this stamp and positions, velocities and efforts."""
        struct.pack_into("=iI", self._raw, self._stamp, int(time_s), int(time_s % 1 * 1e9))
        for place, row in zip(self._rows, rows, strict=True):
            struct.pack_into(f"={self._size}d", self._raw, place, *row)
        return bytes(self._raw)


class SimulatedRobot:
    """An arm, its driver and its controllers, each a node; the controller that the settings name is active.

    ``order`` is that of the joints in the controllers' own parameters, the robot's order by default. The topics of
    enabling, e-stop and diagnostics are those that the settings name. With ``pushes`` it has the tool and the object of
    pushing, whose pose it publishes as a camera would.
    """

    def __init__(
        self,
        robot: Robot,
        settings: Settings,
        namespace: str = "",
        order: Sequence[str] = (),
        pushes: bool = False,
    ) -> None:
        self.robot, self.settings, self.order = robot, settings, list(order or settings.joints or robot.joint_names)
        self.lock = threading.RLock()
        self.arm = ControlledArm(robot, pushes)
        self.arm.activate(settings.command)
        self.controllers = {kind: name for kind, (name, _, _) in CONTROLLERS.items()}
        self.controllers[settings.command] = settings.usual[0]
        self._create = partial(rclpy.create_node, namespace=namespace)
        self.driver: Node = self._create("driver")
        self.nodes = [self.driver, *(self._controller(kind) for kind in CONTROLLERS)]
        shown = sorted(robot.joint_names)
        self._shown = [robot.joint_names.index(name) for name in shown]
        self._states = RawJointState([OTHERS[0], *shown, OTHERS[1]])
        self._joints = self.driver.create_publisher(JointState, settings.joint_states, 10)
        self.enabled, self.estop, self.error = True, False, ""
        self._told: bool | None = None
        self.publishers = self._status_publishers()
        self.driver.create_timer(TELL_S, self.tell)
        self.tell()
        if pushes:
            self._setup = push_setup(robot)
            self._object = SimulatedObject(self.arm.sim, self._setup, CAMERA_HZ)
            self._poses = self.driver.create_publisher(PoseStamped, TOPIC, qos.STATE)
            self.driver.create_timer(1.0 / CAMERA_HZ, self._see)

    def parameters(self, kind: str) -> dict[str, Any] | None:
        """Parameters of the controller of one kind, which tell its joints and interface; None: it tells nothing."""
        interface = {"command_interfaces": ["position"]} if kind == "trajectory" else {"interface_name": kind}
        return {"joints": self.order, **interface}

    def _status_publishers(self) -> dict[str, Any]:
        make, given = self.driver.create_publisher, self.settings
        made = {
            "enabled": (Bool, given.enabled_topic, qos.LATCHED),
            "estop": (Bool, given.estop_topic, 1),
            "diagnostics": (DiagnosticArray, given.diagnostics_topic, 10),
        }
        return {what: make(kind, topic, profile) for what, (kind, topic, profile) in made.items() if topic}

    def _controller(self, kind: str) -> Node:
        """One controller, a node with parameters."""
        name, given = self.controllers[kind], self.parameters(kind)
        node: Node = self._create(name, start_parameter_services=given is not None)
        for key, value in (given or {}).items():
            node.declare_parameter(key, value)
        topic = self.settings.usual[1] if kind == self.settings.command else f"{name}/{CONTROLLERS[kind][1]}"
        if kind == "trajectory":
            node.create_subscription(JointTrajectory, topic, self._follow, 10)
        else:
            node.create_subscription(Float64MultiArray, topic, partial(self._take, kind), 10)
        return node

    def _take(self, kind: str, message: Float64MultiArray) -> None:
        if len(message.data) == len(self.order):
            with self.lock:
                self.arm.receive(kind, self._in_robot_order(message.data, self.order))

    def _follow(self, message: JointTrajectory) -> None:
        names = list(message.joint_names)
        if len(message.points) == 1 and set(names) == set(self.order) and len(names) == len(self.order):
            point = message.points[0]
            if len(point.positions) == len(names):
                seconds = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
                with self.lock:
                    self.arm.receive("trajectory", self._in_robot_order(point.positions, names), seconds)

    def _in_robot_order(self, values: Sequence[float], order: Sequence[str]) -> list[float]:
        place = {name: index for index, name in enumerate(order)}
        return [values[place[name]] for name in self.robot.joint_names]

    def tell(self) -> None:
        """Publish whether the robot may move; that it is enabled only when it changes."""
        messages = {
            "enabled": Bool(data=self.enabled),
            "estop": Bool(data=self.estop),
            "diagnostics": self._diagnosed(),
        }
        for what, publisher in [*self.publishers.items()]:
            if what != "enabled" or self.enabled != self._told:
                publisher.publish(messages[what])
        self._told = self.enabled

    def _see(self) -> None:
        """Publish where the object is."""
        with self.lock:
            x, y = self._object.update()
        stamp = self.driver.get_clock().now().to_msg()
        self._poses.publish(pose_of((x, y, self._setup.half_height_m), stamp, self.robot.base_frame))

    def _diagnosed(self) -> DiagnosticArray:
        level = DiagnosticStatus.ERROR if self.error else DiagnosticStatus.OK
        own = DiagnosticStatus(name=f"{self.settings.diagnostics_name} motors", level=level, message=self.error)
        other = DiagnosticStatus(name="camera", level=DiagnosticStatus.ERROR, message="not connected")
        return DiagnosticArray(status=[own, other])

    def serve_manager(self) -> None:
        """Offer the services that list and switch controllers; an ImportError if their messages are not built."""
        from controller_manager_msgs.msg import ControllerState
        from controller_manager_msgs.srv import ListControllers, SwitchController

        def listed(_: Any, answer: Any) -> Any:
            for kind, name in self.controllers.items():
                claims = [f"{joint}/{'position' if kind == 'trajectory' else kind}" for joint in self.order]
                active = kind == self.arm.active
                state = ControllerState(name=name, state="active" if active else "inactive")
                state.claimed_interfaces = claims * active
                answer.controller.append(state)
            return answer

        def switched(wanted: Any, answer: Any) -> Any:
            active = self.controllers.get(self.arm.active, "")
            answer.ok = not active or active in wanted.deactivate_controllers  # all of them claim the joints
            answer.message = "" if answer.ok else f"the joints are claimed by {active}"
            if answer.ok:
                self.activate(*wanted.activate_controllers)
            return answer

        manager = self.settings.controller_manager
        self.list = self.driver.create_service(ListControllers, f"{manager}/list_controllers", listed)
        self.driver.create_service(SwitchController, f"{manager}/switch_controller", switched)

    def activate(self, *names: str) -> None:
        """Activate the controller of this name, and deactivate the others; none has a command then."""
        with self.lock:
            self.arm.activate(next((kind for kind, name in self.controllers.items() if name in names), ""))

    def step(self, now_s: float) -> None:
        """Let 2 ms pass, up to a steady time [s]."""
        self.arm.step()

    def joint_states(self) -> bytes:
        """Return the joint states as a serialised message; empty: none is published."""
        values = (row.tolist() for row in (self.arm.q_rad, self.arm.qd_rad_s, self.arm.effort_n_m))
        return self.fill(time.time(), [[0.01, *(row[joint] for joint in self._shown), 0.02] for row in values])

    def fill(self, time_s: float, rows: list[list[float]]) -> bytes:
        """Message of positions, velocities and efforts of all joints that are published, by a wall-clock time [s]."""
        return self._states.fill(time_s, rows)

    def run(self, ends: Callable[[], bool]) -> None:
        """Move in real time until ``ends`` is true; a robot does not stand still while its driver is held up."""
        spinning = threading.Thread(target=self._spin, args=(ends,), daemon=True)
        spinning.start()
        gc.collect()
        gc.freeze()  # a collection that visits all objects of the start stops the driver for 0.1 s and more
        in_real_time(self._locked_step, self._publish, ends)
        spinning.join(2.0)  # else it is ended in the middle of a call

    def _locked_step(self, now_s: float) -> None:
        with self.lock:
            self.step(now_s)

    def _publish(self) -> None:
        with self.lock:
            message = self.joint_states()
        if message:
            self._attempt(partial(self._joints.publish, message))

    def _spin(self, ends: Callable[[], bool]) -> None:
        executor = SingleThreadedExecutor()
        for node in self.nodes:
            executor.add_node(node)
        while not ends():
            self._attempt(partial(executor.spin_once, timeout_sec=0.1))

    def _attempt(self, call: Callable[[], object]) -> None:
        """Call; an error is printed, and ends neither the motion nor the other callbacks."""
        try:
            call()
        except ExternalShutdownException:
            pass
        except Exception:
            traceback.print_exc()


def main(argv: Sequence[str]) -> int:
    """Run a robot until SIGINT, SIGTERM or SIGHUP; return the exit status."""
    words = argparse.ArgumentParser(prog="simulated_robot", description=(__doc__ or "").splitlines()[0])
    words.add_argument("robot", help="name of a robot, or a description file, .yaml")
    words.add_argument("--command", choices=CONTROLLERS, help="kind of the active controller (that of the description)")
    words.add_argument("--task", choices=TASKS, default="reach", help="push: with a tool, and an object on object_pose")
    words.add_argument("--namespace", default="", help="of its topics")
    given = words.parse_args(argv)
    stop = StopSignal()
    try:
        robot = load_robot(given.robot)
        settings = settings_of(robot, {"command": given.command} if given.command else {})
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        made = SimulatedRobot(robot, settings, given.namespace, pushes=given.task == "push")
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        report("simulated_robot", error)
        return 1
    stop.starting = False
    try:
        made.serve_manager()
        manager = "the controller manager answers"
    except ImportError:
        manager = "no controller manager, since controller_manager_msgs cannot be imported"
    print(f"{robot.name} in MuJoCo: {settings.usual[0]} takes commands on {settings.usual[1]}; {manager}", flush=True)
    made.run(lambda: stop.requested)
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
