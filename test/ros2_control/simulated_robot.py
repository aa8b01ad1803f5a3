"""Stands in for an arm behind ros2_control: the topics, services and semantics of its controllers, and an integrator.

Of the real ones it has: joints in the order of the controller's own parameter; forward controllers, which reject a
message of another size, forget their command when they are activated, and else follow it for ever; a trajectory
controller, which replaces the present trajectory by a line from the present state to the point, and stays there; joint
states at 500 Hz, in another order, with joints of a gripper among them; services that list and switch controllers.
A velocity is reached with the acceleration of the robot file; positions by a critically damped servo, 20 ms behind.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from controller import listen
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from tdm_ros.robots.description import load_robot

STEP_S = 0.002
SERVO_RAD_S = 100.0
"""Natural frequency of the servo that follows positions: 2 / 100 s behind a steady motion."""
KINDS = {"velocity": "forward_velocity_controller", "position": "forward_position_controller"}
KINDS |= {"trajectory": "joint_trajectory_controller"}
FLAGS = ("frozen", "stuck", "nan", "lacking")


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

    def fill(self, time_s: float, *rows: Sequence[float]) -> bytes:
        """Return it with this stamp and positions, velocities and efforts."""
        struct.pack_into("=iI", self._raw, self._stamp, int(time_s), int(time_s % 1 * 1e9))
        for place, row in zip(self._rows, rows, strict=True):
            struct.pack_into(f"={self._size}d", self._raw, place, *row)
        return bytes(self._raw)


class SimulatedArm:
    """An arm, its driver and its controllers; ``active`` is a kind of command."""

    def __init__(self, namespace: str, robot_name: str, active: str, *words: str) -> None:
        self.robot = load_robot(robot_name)
        names, self.lock = self.robot.joint_names, threading.RLock()
        self.flags = dict.fromkeys(FLAGS, False)
        self.order = list(reversed(names))
        self.states = {name: "active" if kind == active else "inactive" for kind, name in KINDS.items()}
        self.trace: deque[tuple[float, list[float], list[float]]] = deque(maxlen=4000)
        self.place(self.robot.home_rad.tolist())
        shown = ["gripper_a", *sorted(names), "gripper_b"]
        self._shown = [names.index(name) for name in sorted(names)]
        self._whole, self._part = RawJointState(shown), RawJointState(shown[2:])
        self._last = b""
        self.nodes = {name: self._controller(namespace, kind, name, words) for kind, name in KINDS.items()}
        self.node = self.nodes["driver"] = rclpy.create_node("driver", namespace=namespace)
        self._joints = self.node.create_publisher(JointState, "joint_states", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._bools = {"enabled": self.node.create_publisher(Bool, "robot_enabled", latched)}
        self._bools["estop"] = self.node.create_publisher(Bool, "estop_pressed", 1)
        self._diagnostics = self.node.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._said = {"enabled": True, "estop": False}
        self._levels = {"arm: motors": b"\x00", "camera": b"\x02"}
        self._bools["enabled"].publish(Bool(data=True))
        self.node.create_timer(0.1, self._tell)
        if "no_manager" not in words:
            self._serve()

    def _controller(self, namespace: str, kind: str, name: str, words: Sequence[str]) -> Any:
        """One controller, a node with parameters."""
        node = rclpy.create_node(name, namespace=namespace, start_parameter_services="untold" not in words)
        wrong = "other_joints" in words
        node.declare_parameter("joints", [f"left_{joint}" for joint in self.order] if wrong else self.order)
        if kind == "trajectory":
            node.declare_parameter("command_interfaces", ["position"])
            node.create_subscription(JointTrajectory, f"{name}/joint_trajectory", self._follow, 10)
        else:
            swapped = {"velocity": "position", "position": "velocity"} if "swapped" in words else {}
            node.declare_parameter("interface_name", swapped.get(kind, kind))
            node.create_subscription(Float64MultiArray, f"{name}/commands", lambda m: self._take(kind, m.data), 10)
        return node

    def _serve(self) -> None:
        from controller_manager_msgs.msg import ControllerState
        from controller_manager_msgs.srv import ListControllers, SwitchController

        def listed(_: Any, answer: Any) -> Any:
            for kind, name in KINDS.items():
                claims = [f"{joint}/{'position' if kind == 'trajectory' else kind}" for joint in self.order]
                active = self.states[name] == "active"
                state = ControllerState(name=name, state=self.states[name], claimed_interfaces=claims * active)
                answer.controller.append(state)
            return answer

        def switched(wanted: Any, answer: Any) -> Any:
            left = {name for name, state in self.states.items() if state == "active"} - {*wanted.deactivate_controllers}
            answer.ok = not left  # all of them claim the joints
            answer.message = f"the joints are claimed by {', '.join(left)}" if left else ""
            if answer.ok:
                with self.lock:
                    self.activate(*wanted.activate_controllers)
            return answer

        self._list = self.node.create_service(ListControllers, "controller_manager/list_controllers", listed)
        self.node.create_service(SwitchController, "controller_manager/switch_controller", switched)

    def activate(self, *names: str) -> None:
        """Activate these controllers, and deactivate the others; none has a command then."""
        self.states = {name: "active" if name in names else "inactive" for name in self.states}
        self.command = None

    def _in_robot_order(self, values: Sequence[float], order: Sequence[str]) -> np.ndarray:
        return np.array([values[list(order).index(name)] for name in self.robot.joint_names])

    def _take(self, kind: str, data: Sequence[float]) -> None:
        with self.lock:
            if self.states[KINDS[kind]] == "active" and len(data) == len(self.order):
                self.received += 1
                self.command = kind, self._in_robot_order(data, self.order)

    def _follow(self, message: JointTrajectory) -> None:
        with self.lock:
            if self.states[KINDS["trajectory"]] == "active" and len(message.points) == 1:
                self.received += 1
                point, begin = message.points[0], self.q.copy()
                end = self._in_robot_order(point.positions, message.joint_names)
                seconds = max(point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec, STEP_S)
                self.command = "trajectory", (self._now_s, seconds, begin, end)

    def _step(self, now_s: float) -> None:
        """Let 2 ms pass."""
        self._now_s = now_s
        kind, values = self.command or ("position", self._hold)
        if kind == "velocity":
            most = STEP_S * self.robot.acceleration_rad_s2
            self.qd = self.qd + np.clip(values - self.qd, -most, most)
            self._hold = self.q
        else:
            if kind == "trajectory":
                begin_s, seconds, begin, end = values
                values = begin + min((now_s - begin_s) / seconds, 1.0) * (end - begin)
            self._hold = values
            acceleration = SERVO_RAD_S**2 * (values - self.q) - 2 * SERVO_RAD_S * self.qd
            most = self.robot.velocity_rad_s
            self.qd = np.clip(self.qd + STEP_S * acceleration, -most, most)
        self.q = self.q + STEP_S * self.qd
        self.trace.append((now_s, self.q.tolist(), self.qd.tolist()))

    def _publish(self) -> None:
        if self.flags["frozen"]:
            return
        rows = [[row[joint] for joint in self._shown] for row in (self.q, self.qd, np.zeros(len(self.q)))]
        if self.flags["nan"]:
            rows[1][0] = float("nan")
        if not self.flags["stuck"] or not self._last:
            part = self.flags["lacking"]
            ends: tuple[list[float], list[float]] = ([], [0.0]) if part else ([0.01], [0.02])
            rows = [[*ends[0], *(row[1:] if part else row), *ends[1]] for row in rows]
            self._last = (self._part if part else self._whole).fill(time.time(), *rows)
        self._joints.publish(self._last)

    def _tell(self) -> None:
        """What a driver publishes at 10 Hz."""
        if "estop" in self._bools:
            self._bools["estop"].publish(Bool(data=self._said["estop"]))
        status = [DiagnosticStatus(name=name, level=level, message="shown") for name, level in self._levels.items()]
        self._diagnostics.publish(DiagnosticArray(status=status))

    def say(self, key: str, value: bool) -> None:
        """Change what the robot says of itself: enabled, estop or error, or whether it says anything."""
        if key == "error":
            self._levels["arm: motors"] = b"\x02" if value else b"\x00"
        elif key == "publisher ended":
            self.node.destroy_publisher(self._bools.pop("estop"))
        elif key == "manager ended":
            self.node.destroy_service(self._list)
        else:
            self._said[key] = value
            self._bools[key].publish(Bool(data=value))
        if "ended" not in key:
            self._tell()

    def run(self) -> None:
        """Move in real time; a robot does not stand still while its driver is late."""
        due_s = time.monotonic()
        while rclpy.ok():
            with self.lock:
                while due_s <= time.monotonic():
                    self._step(due_s)
                    due_s += STEP_S
                self._publish()
            time.sleep(max(0.0, due_s - time.monotonic()))

    def place(self, q_rad: list[float]) -> None:
        """Put the arm at rest in a posture; controllers have no command."""
        self.q, self.qd = np.array(q_rad), np.zeros(len(q_rad))
        self.command: tuple[str, Any] | None = None
        self._hold, self._now_s, self.received = self.q, time.monotonic(), 0
        self.trace.clear()

    def ask(self, name: str, *arguments: Any) -> object:
        """Do what the test says."""
        known: dict[str, Callable[..., object]] = {
            "set": lambda flag, value: self.flags.update({flag: value}),
            "say": self.say,
            "place": self.place,
            "activate": self.activate,
            "command": lambda kind, values: setattr(self, "command", (kind, np.array(values))),
            "trace": lambda: list(self.trace),
            "truth": lambda: [self.q.tolist(), self.qd.tolist()],
            "facts": lambda: {
                "states": self.states,
                "received": self.received,
                "command": self.command[1].tolist() if self.command and self.command[0] != "trajectory" else None,
            },
        }
        with self.lock:
            return known[name](*arguments)


def main(*words: str) -> None:
    faulthandler.enable()
    rclpy.init()
    arm = SimulatedArm(*words)
    executor = SingleThreadedExecutor()
    for node in arm.nodes.values():
        executor.add_node(node)
    listen(arm, rclpy.try_shutdown)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would stop the robot's driver for a tenth of a second and more
    arm.run()
    spinning.join(2.0)  # else it is ended in the middle of a call


if __name__ == "__main__":
    main(*sys.argv[1:])
