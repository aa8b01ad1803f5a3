"""A simulated robot behind ros2_control, a watchdog, and an arm of this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from arm_contract import CYCLE_S
from ros1_bench import SimulatedRobot

from tdm_ros.drivers.intera.client import InteraError
from tdm_ros.drivers.ros2_control import Ros2ControlArm, make_zero, watchdog_words
from tdm_ros.drivers.ros2_control_settings import settings_of
from tdm_ros.drivers.watchdog import WatchdogClient
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.limits import REAL_LIMITS, Limits

UR5E = load_robot("ur5e")
WORKER = [sys.executable, "-m", "tdm_ros.drivers.ros2_control"]
ALL_TOPICS = {"enabled_topic": "robot_enabled", "estop_topic": "estop_pressed"}
ALL_TOPICS |= {"diagnostics_topic": "diagnostics", "diagnostics_name": "arm:"}


def limits_of(robot: Robot) -> Limits:
    """Those of a real arm, in the box of this one."""
    low_m, high_m = robot.hand_box_m
    return replace(REAL_LIMITS, box_low_m=low_m, box_high_m=high_m, links_low_m=None, links_high_m=None)


class Ros2ControlBench:
    """A simulated robot, a watchdog, and an arm of this process."""

    real = True

    def __init__(
        self, driver: SimulatedRobot, namespace: str, env: dict[str, str], robot: Robot = UR5E, **given: Any
    ) -> None:
        self.driver, self.robot = driver, robot
        settings = settings_of(robot, ALL_TOPICS | given)
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._node = rclpy.create_node("arm", namespace=namespace, context=self.context)
        words = [*WORKER, *watchdog_words(robot.name, settings)]
        self.client = WatchdogClient(self._node, words, env, len(robot.joint_names))
        try:
            self.client.wait_ready()
            self.arm: Any = Ros2ControlArm(self.client, robot, make_zero(self._node, robot, settings))
        except InteraError:
            self.close()
            raise
        self._due_s = time.monotonic()

    def close(self) -> None:
        self.client.close()
        self._node.destroy_node()
        self.context.try_shutdown()

    def now_s(self) -> float:
        return time.monotonic()

    def cycle(self) -> None:
        """Let 50 ms pass, in which the node's timer reads the arm."""
        self._due_s = max(self._due_s + CYCLE_S, time.monotonic())
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self.arm.reading()

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        q, qd = self.driver.ask("truth")
        return np.array(q), np.array(qd)


def opened(
    driver: SimulatedRobot, namespace: str, env: dict[str, str], robot: Robot = UR5E, **given: Any
) -> Iterator[Ros2ControlBench]:
    """A bench whose robot is at home, without faults."""
    for flag in ("frozen", "stuck", "nan", "lacking"):
        driver.ask("set", flag, False)
    for key, value in (("enabled", True), ("estop", False), ("error", False)):
        driver.ask("say", key, value)
    driver.ask("place", robot.home_rad.tolist())
    made = Ros2ControlBench(driver, namespace, env, robot, **given)
    try:
        assert not made.arm.problem()
        yield made
    finally:
        made.close()  # else its watchdog would go on to send zeros to the robot of the next test
