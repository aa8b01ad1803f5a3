"""Stands in for Gazebo and its bridge: their topics and service, Gazebo's semantics, MuJoCo's physics.

Gazebo is on no registry that tests can reach. What is kept of it here: joint controllers follow the last command for
ever; a world may run, or be paused and make steps; the answer to a request for steps comes before they are done; a
paused world says the same joint states again; a reset sets the time back, and makes the controllers forget.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from collections import deque

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from controller import listen
from rclpy.executors import ExternalShutdownException
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.robot.sawyer import EFFORT_MAX_N_M, JOINT_NAMES, NEUTRAL_RAD
from tdm_ros.sim.sawyer_sim import SawyerSim

STEP_S = 0.001
BEHIND_S = 0.05


class World:
    """A world with the arm in it; ``by_torque`` says which controllers it has."""

    def __init__(self, namespace: str, paused: bool, by_torque: bool) -> None:
        # A velocity in Gazebo is followed whatever force it takes: hardly any friction here.
        self.sim = SawyerSim(ACTUATIONS["torque" if by_torque else "torque_low_damping"])
        self.sim.model.opt.timestep = STEP_S
        self.lock = threading.RLock()
        self.by_torque, self.paused, self.steps_left, self.steps = by_torque, paused, 0, 0
        self.frozen = self.nan = False
        self.command = np.zeros(7)
        self.trace: deque[tuple[float, list[float], list[float]]] = deque(
            maxlen=4000
        )  # 4 s: to tell them takes a moment, in which the world stands
        self.sim.reset(np.zeros(7))  # Gazebo knows no other posture to begin with
        self.node = rclpy.create_node("gazebo", namespace=namespace)
        self._joints = self.node.create_publisher(JointState, "gz/joint_states", 10)
        self._clock = self.node.create_publisher(Clock, "/clock", 10)
        end = "cmd_force" if by_torque else "cmd_vel"
        for k, name in enumerate(JOINT_NAMES):
            self.node.create_subscription(Float64, f"gz/{name}/{end}", lambda m, k=k: self._take(k, m.data), 10)
        if paused:
            from ros_gz_interfaces.srv import ControlWorld

            self.node.create_service(ControlWorld, "/world/tdm_sawyer/control", self._control)

    def _take(self, joint: int, value: float) -> None:
        with self.lock:
            self.command[joint] = value

    def _control(self, request, response):  # type: ignore[no-untyped-def]
        wanted = request.world_control
        with self.lock:
            self.paused, self.steps_left = wanted.pause, wanted.multi_step
            if wanted.reset.all or wanted.reset.time_only:
                self.steps = 0
            if wanted.reset.all or wanted.reset.model_only:
                self.sim.reset(NEUTRAL_RAD)
            if wanted.reset.all:
                self.command = np.zeros(7)
        response.success = True
        return response

    def step(self) -> None:
        """Make a step, and publish, as Gazebo does after each."""
        with self.lock:
            if self.by_torque:
                self.sim.drive("torque", np.clip(self.command, -EFFORT_MAX_N_M, EFFORT_MAX_N_M))
            else:
                self.sim.drive("velocity", self.command)
            self.sim.advance(1)
            self.steps += 1
            reading = self.sim.reading()
            self.trace.append((time.monotonic(), reading.q_rad.tolist(), reading.qd_rad_s.tolist()))
            last = self.paused and not self.steps_left
        if last or self.steps % 5 == 0:  # Gazebo does after each step; a thousand a second are too much for this Python
            self.publish()

    def publish(self) -> None:
        """Publish joint states, and sometimes the time."""
        with self.lock:
            reading, effort = self.sim.reading(), self.sim.effort()
        stamp = Time(sec=self.steps // 1000, nanosec=self.steps % 1000 * 1_000_000)
        if self.steps % 10 == 0:
            self._clock.publish(Clock(clock=stamp))
        if self.frozen:
            return
        message = JointState(name=list(JOINT_NAMES), position=reading.q_rad.tolist(), effort=effort.tolist())
        message.velocity = [float("nan")] * 7 if self.nan else reading.qd_rad_s.tolist()
        message.header.stamp = stamp
        self._joints.publish(message)

    def run(self) -> None:
        """In real time when it runs; at once when it makes steps."""
        due_s, idle = time.monotonic(), 0
        while rclpy.ok():
            with self.lock:
                stepping, runs = self.steps_left > 0, not self.paused
                self.steps_left -= stepping
            if not (stepping or runs):
                time.sleep(0.0005)
                idle += 1
                if idle % 20 == 0:
                    self.publish()
                due_s = time.monotonic()
                continue
            self.step()
            due_s = max(due_s + STEP_S, time.monotonic() - BEHIND_S)
            if not stepping:
                time.sleep(max(0.0, due_s - time.monotonic()))

    def ask(self, name: str, *arguments: object) -> object:
        """Do what the test says."""
        with self.lock:
            if name == "set":
                value = np.array(arguments[1]) if arguments[0] == "command" else arguments[1]
                setattr(self, str(arguments[0]), value)
            elif name == "place":
                self.sim.reset(arguments[0])
                self.command = np.zeros(7)
                self.trace.clear()
            elif name == "trace":
                return list(self.trace)
            elif name == "truth":
                reading = self.sim.reading()
                return [reading.q_rad.tolist(), reading.qd_rad_s.tolist()]
            elif name == "facts":
                return {"steps": self.steps, "command": self.command.tolist(), "paused": self.paused}
            elif name == "set back":
                self.steps = 0
            else:
                raise ValueError(f"the world knows set, place, trace, truth, facts and set back, got {name!r}")
        return None


def main(namespace: str, *words: str) -> None:
    rclpy.init()
    world = World(namespace, "paused" in words, "torque" in words)
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
