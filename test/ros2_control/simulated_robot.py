"""The simulated robot behind ros2_control, with the faults that a test sets, and what the test asks it."""

from __future__ import annotations

import faulthandler
import gc
import json
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions

from tdm_ros.drivers.ros2_control_settings import settings_of
from tdm_ros.nodes.simulated_robot import RawJointState, SimulatedRobot
from tdm_ros.robots.description import load_robot

FLAGS = ("frozen", "stuck", "nan", "lacking")
TOPICS = {"enabled_topic": "robot_enabled", "estop_topic": "estop_pressed"}
TOPICS |= {"diagnostics_topic": "diagnostics", "diagnostics_name": "arm:"}


class RobotUnderTest(SimulatedRobot):
    """A simulated robot, ``words`` of which say what it lacks; its controllers have another order of joints."""

    def __init__(self, namespace: str, robot_name: str, active: str, *words: str) -> None:
        robot = load_robot(robot_name)
        self.flags, self._words = dict.fromkeys(FLAGS, False), words
        self.trace: deque[tuple[float, list[float], list[float]]] = deque(maxlen=4000)
        self._last = b""
        settings = settings_of(robot, {"command": active, "controller": "", **TOPICS})
        super().__init__(robot, settings, namespace, robot.joint_names[::-1])
        self._part = RawJointState([*sorted(robot.joint_names)[1:], "gripper_right"])
        if "no_manager" not in words:
            self.serve_manager()

    def parameters(self, kind: str) -> dict[str, Any] | None:
        given = super().parameters(kind) or {}
        if "other_joints" in self._words:
            given["joints"] = [f"left_{joint}" for joint in self.order]
        if "swapped" in self._words and kind != "trajectory":
            given["interface_name"] = {"velocity": "position", "position": "velocity"}[kind]
        return None if "untold" in self._words else given

    def step(self, now_s: float) -> None:
        super().step(now_s)
        self.trace.append((now_s, self.arm.q_rad.tolist(), self.arm.qd_rad_s.tolist()))

    def joint_states(self) -> bytes:
        if self.flags["frozen"]:
            return b""
        if not self.flags["stuck"] or not self._last:
            self._last = super().joint_states()
        return self._last

    def fill(self, time_s: float, rows: list[list[float]]) -> bytes:
        if self.flags["nan"]:
            rows[1][1] = float("nan")
        if self.flags["lacking"]:
            return self._part.fill(time_s, [row[2:] for row in rows])
        return super().fill(time_s, rows)

    def say(self, key: str, value: bool) -> None:
        """Change what the robot says of itself: enabled, estop or error, or whether it says anything."""
        if key == "publisher ended":
            self.driver.destroy_publisher(self.publishers.pop("estop"))
        elif key == "manager ended":
            self.driver.destroy_service(self.list)
        else:
            setattr(self, key, "shown" * value if key == "error" else value)
            self.tell()

    def place(self, q_rad: list[float]) -> None:
        """Put the arm at rest in a posture; controllers have no command."""
        self.arm.place(q_rad)
        self.trace.clear()

    def facts(self) -> dict[str, object]:
        """States of the controllers, the number of commands, and the last one."""
        active, command = self.arm.active, self.arm.command
        states = {name: "active" if kind == active else "inactive" for kind, name in self.controllers.items()}
        given = command[1].tolist() if command else None
        return {"states": states, "received": self.arm.received, "command": given}

    def ask(self, name: str, *arguments: Any) -> object:
        """Do what the test says."""
        known: dict[str, Callable[..., object]] = {
            "set": lambda flag, value: self.flags.update({flag: value}),
            "say": self.say,
            "place": self.place,
            "activate": self.activate,
            "command": lambda kind, values: setattr(self.arm, "command", (kind, np.array(values))),
            "trace": lambda: list(self.trace),
            "truth": lambda: [self.arm.q_rad.tolist(), self.arm.qd_rad_s.tolist()],
            "facts": self.facts,
        }
        with self.lock:
            return known[name](*arguments)


def main(*words: str) -> None:
    """Answer the test, line by line, until it ends; nothing else ends the robot."""
    faulthandler.enable()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    robot, ended = RobotUnderTest(*words), threading.Event()

    def answer() -> None:
        for line in sys.stdin:
            try:
                said = robot.ask(*json.loads(line))
            except Exception:
                said = traceback.format_exc()
            print(json.dumps(said), flush=True)
        ended.set()

    print(json.dumps("up"), flush=True)
    threading.Thread(target=answer, daemon=True).start()
    gc.disable()  # a collection would stop the robot's driver for a tenth of a second and more
    robot.run(ended.is_set)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
