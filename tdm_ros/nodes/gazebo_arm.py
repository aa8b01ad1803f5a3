"""Arm of `sim:=gazebo`: stops the joints after the loss of the worker, and steps the world in lock-step."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from rclpy.node import Node
from std_msgs.msg import Float64

from tdm_ros.drivers.intera.client import InteraClient
from tdm_ros.drivers.worker_arm import SawyerArm
from tdm_ros.nodes import qos
from tdm_ros.robots.arm import Mode
from tdm_ros.robots.limits import ArmReading, Array
from tdm_ros.robots.sawyer import JOINT_NAMES

JOINT_STATES = "gz/joint_states"
STALE_S = 0.25
"""Joint states that are older are no ground to move on [s]; more than for a real arm, since a simulator may stutter."""
WORLD_CONTROL = "/world/tdm_sawyer/control"


class JointCommands:
    """A publisher for each joint.

    Parameters
    ----------
    node : Node
    by_torque : bool
        The world takes forces [N m] instead of velocities [rad/s].
    """

    def __init__(self, node: Node, by_torque: bool) -> None:
        end = "cmd_force" if by_torque else "cmd_vel"
        topics = [f"gz/{name}/{end}" for name in JOINT_NAMES]
        self._publishers = [node.create_publisher(Float64, topic, qos.COMMAND) for topic in topics]

    def say(self, values: Iterable[float]) -> None:
        """Publish (7,) [rad/s or N m]."""
        for publisher, value in zip(self._publishers, values, strict=True):
            publisher.publish(Float64(data=float(value)))

    def unheard(self) -> str:
        """Name a topic that nobody listens on, or ""."""
        silent = [p.topic_name for p in self._publishers if not p.get_subscription_count()]
        return f"nobody listened on {silent[0]}" if silent else ""


SUBSTEP_S = 0.002
STEP_TAKES_S = 1.5
"""Longest wait for the world to make its steps; a little more than the worker's [s]."""


class GazeboArm(SawyerArm):
    """An `Arm` in a Gazebo world.

    Parameters
    ----------
    client : InteraClient
        Whose worker is up.
    commands : JointCommands
        Of this process: Gazebo follows the last word of a worker that is gone, so that somebody else must say zero.
    lock_step : bool
        Time passes in the world by `advance` alone, which waits for it; else by itself.
    """

    max_age_s = STALE_S

    def __init__(self, client: InteraClient, commands: JointCommands, lock_step: bool) -> None:
        super().__init__(client)
        self._commands, self._lock_step = commands, lock_step
        self._step_problem = ""
        self._stepped_s = 0.0
        self._order: tuple[Mode, Array] | None = None

    def now_s(self) -> float:
        """Steady time [s], without the time that the world took for its steps.

        Gazebo makes a step no faster than in real time. A cycle has the same length on this clock as in the world, and
        leaves as much time for messages as that of an arm whose time passes by itself.
        """
        return time.monotonic() - self._stepped_s

    def drive(self, mode: Mode, values: ArrayLike) -> None:
        """Follow (7,) velocities [rad/s] or torques [N m]."""
        self._order = mode, np.array(values, np.float64)
        super().drive(mode, values)

    def hold(self) -> None:
        """Stop, and stay."""
        self._order = None
        super().hold()

    def advance(self, substeps: int) -> None:
        """Let ``substeps`` x 2 ms pass, with the command in force, however long the steps before took."""
        if not self._lock_step or not substeps or self._step_problem:
            return
        begin_s = time.monotonic()
        if self._order is not None:
            super().drive(*self._order)
        try:
            answer = self.client.step(substeps * SUBSTEP_S).result(STEP_TAKES_S)
            self._step_problem = answer.reason
        except concurrent.futures.TimeoutError:
            self._step_problem = f"the worker did not answer for {STEP_TAKES_S:g} s"
        self._wait_for_news()
        self._stepped_s += time.monotonic() - begin_s

    def reading(self) -> ArmReading:
        """What the robot said last, and how long ago. It is asked for in each cycle, fault or not."""
        self._stand_in()
        return super().reading()

    def problem(self) -> str:
        """Why the arm must not be driven, or ""."""
        self._stand_in()
        step_problem, self._step_problem = self._step_problem, ""
        return step_problem or super().problem()

    def _stand_in(self) -> None:
        """Say zero for a worker that is lost, again and again: what it said last may come later than our first word."""
        if self.client.state().problem:
            self._commands.say(np.zeros(len(JOINT_NAMES)))

    def _wait_for_news(self) -> None:
        """The state after the answer is the first that surely has the joints at the end of the step."""
        newest, until_s = self.client.state().state, time.monotonic() + 0.1
        while self.client.state().state is newest and time.monotonic() < until_s:
            time.sleep(0.001)
