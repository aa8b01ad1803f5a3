"""Stands in for Gazebo and its bridge: their topics and service, Gazebo's semantics, MuJoCo's physics.

Gazebo is on no registry that tests can reach. Kept of it, from its SimulationRunner and from a Fortress
server:

* joint controllers follow the last command for ever;
* each iteration takes 1 ms of real time, also the steps that a paused world is asked for, and those of a paused world
  without any step: joint states and clock are published 900 times per second, with the same stamp;
* the answer to a request for steps comes before they are made; requests add up; a pause cancels none of them;
* the time after a reset is 0. In Harmonic and later the joints are then where the world file has them, and the
  controllers forget their commands, whether `all` or `time_only` is asked for; in Fortress they go on as they are.
  `model_only` does nothing in either.
"""

from __future__ import annotations

import contextlib
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
from rclpy.executors import ExternalShutdownException
from rclpy.serialization import serialize_message
from ros_gz_interfaces.srv import ControlWorld
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.gazebo import JOINT_STATES, control_service, ros_command_topics, start_rad

STEP_S = 0.001


class RawJointState:
    """A serialised JointState whose numbers are replaced in place: serialising a new one takes too long for 1 kHz."""

    def __init__(self, names: Sequence[str]) -> None:
        self._row = f"={len(names)}d"
        rows = [[float(row + 1)] * len(names) for row in range(3)]
        message = JointState(name=list(names), position=rows[0], velocity=rows[1], effort=rows[2])
        message.header.stamp = Time(sec=1234, nanosec=5678)
        self._raw = bytearray(serialize_message(message))
        self._stamp = self._raw.index(struct.pack("=iI", 1234, 5678))
        self._rows = [self._raw.index(struct.pack(self._row, *row)) for row in rows]

    def fill(self, sec: int, nanosec: int, *rows: Sequence[float]) -> bytes:
        """Return it with this stamp and (J,) positions, velocities and efforts."""
        struct.pack_into("=iI", self._raw, self._stamp, sec, nanosec)
        for place, row in zip(self._rows, rows, strict=True):
            struct.pack_into(self._row, self._raw, place, *row)
        return bytes(self._raw)


class World:
    """A world with an arm in it; ``by_torque`` says which controllers it has, ``fortress`` how it is reset.

    A world file knows no posture to begin with but that where the joints are at 0: there the arm stands at `start_rad`.
    """

    def __init__(self, namespace: str, paused: bool, by_torque: bool, fortress: bool, robot: Robot) -> None:
        self.robot, self.start_rad = robot, start_rad(robot)
        # A velocity in Gazebo is followed whatever force it takes: hardly any friction here.
        self.sim = ArmSim(actuations(robot)["torque" if by_torque else "torque_low_damping"], robot=robot)
        self.sim.model.opt.timestep = STEP_S
        self.lock = threading.RLock()
        self.by_torque, self.fortress, self.paused = by_torque, fortress, paused
        self.pending = self.time_ms = self.steps = 0
        self._controls: list[tuple[bool, int, bool]] = []
        self._rewind = False
        self.step_takes_s = STEP_S
        self.frozen = self.nan = self.deaf = False
        self.command = np.zeros(len(robot.joint_names))
        # 4 s: to send more takes a moment, in which the world stands
        self.trace: deque[tuple[float, list[float], list[float]]] = deque(maxlen=4000)
        self.sim.reset(self.start_rad)
        self._raw = RawJointState(robot.joint_names)
        self.node = rclpy.create_node("gazebo", namespace=namespace)
        self._joints = self.node.create_publisher(JointState, JOINT_STATES, 10)
        self._clock = self.node.create_publisher(Clock, "/clock", 10)
        for k, topic in enumerate(ros_command_topics(robot, by_torque)):
            self.node.create_subscription(Float64, topic, lambda m, k=k: self._take(k, m.data), 10)
        self.node.create_service(ControlWorld, control_service(robot), self._control)

    def _take(self, joint: int, value: float) -> None:
        with self.lock:
            self.command[joint] = value

    def _control(self, request, response):  # type: ignore[no-untyped-def]
        wanted = request.world_control
        if not self.deaf:
            self.ask("control", wanted.pause, wanted.multi_step, wanted.reset.all or wanted.reset.time_only)
        response.success = True
        return response

    def _iterate(self) -> None:
        """Do what Gazebo does in each millisecond, paused or not."""
        with self.lock:
            if self._rewind:
                self._reset()
            elif not self.paused:
                self._step()
            self._publish()
            if not self.paused and self.pending:
                self.pending -= 1
                self.paused = not self.pending
            for pause, multi_step, rewind in self._controls:
                self.paused, self._rewind = pause, rewind
                if pause and multi_step:
                    self.pending += multi_step
                    self.paused = False
            self._controls.clear()

    def _reset(self) -> None:
        self._rewind, self.time_ms = False, 0
        if not self.fortress:
            self.sim.reset(self.start_rad)
            self.command = np.zeros(len(self.command))

    def _step(self) -> None:
        if self.by_torque:
            self.sim.drive("torque", np.clip(self.command, -self.robot.effort_n_m, self.robot.effort_n_m))
        else:
            self.sim.drive("velocity", self.command)
        self.sim.advance(1)
        self.time_ms += 1
        self.steps += 1
        reading = self.sim.reading()
        self.trace.append((time.monotonic(), reading.q_rad.tolist(), reading.qd_rad_s.tolist()))

    def _publish(self) -> None:
        stamp = self.time_ms // 1000, self.time_ms % 1000 * 1_000_000
        self._clock.publish(serialize_message(Clock(clock=Time(sec=stamp[0], nanosec=stamp[1]))))
        if self.frozen:
            return
        reading = self.sim.reading()
        speeds = [float("nan")] * len(self.command) if self.nan else reading.qd_rad_s
        self._joints.publish(self._raw.fill(*stamp, reading.q_rad - self.start_rad, speeds, self.sim.effort()))

    def run(self) -> None:
        """Iterate in real time; a late iteration makes the next ones no faster."""
        while rclpy.ok():
            due_s = time.monotonic() + self.step_takes_s
            self._iterate()
            time.sleep(max(0.0, due_s - time.monotonic()))

    def ask(self, name: str, *arguments: Any) -> object:
        """Do what the test says."""
        facts = ("steps", "pending", "paused", "time_ms")
        known: dict[str, Callable[..., object]] = {
            "set": lambda flag, value: setattr(self, flag, np.array(value) if flag == "command" else value),
            "place": self._place,
            "trace": lambda: list(self.trace),
            "truth": lambda: [self.sim.reading().q_rad.tolist(), self.sim.reading().qd_rad_s.tolist()],
            "facts": lambda: {"command": self.command.tolist()} | {fact: getattr(self, fact) for fact in facts},
            "control": lambda *order: self._controls.append(order),  # pause, multi_step, whether the time is reset
        }
        with self.lock:
            return known[name](*arguments)

    def _place(self, q_rad: list[float]) -> None:
        self.sim.reset(q_rad)
        self.command = np.zeros(len(self.command))
        self.trace.clear()


def main(namespace: str, *words: str) -> None:
    rclpy.init()
    robot = next((word.removeprefix("robot:=") for word in words if word.startswith("robot:=")), "sawyer")
    world = World(namespace, *(word in words for word in ("paused", "torque", "fortress")), load_robot(robot))
    listen(world, rclpy.try_shutdown)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            rclpy.spin(world.node)

    threading.Thread(target=spin, daemon=True).start()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would let the world stand for a tenth of a second and more
    world.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
