"""Arm in MuJoCo behind the controllers of ros2_control: what each of them does with its last command. No ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from tdm_ros.envs.arm_sim import ArmSim, Array
from tdm_ros.envs.push_env import push_model
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import Robot
from tdm_ros.robots.mjcf import TIMESTEP_S

POSITION_GAIN_1_S = 50.0
"""Velocity of a joint per distance from its commanded position: 20 ms behind a steady motion."""

BEHIND_S = 1.0
"""Time that is made up for after the process was held up [s]; on a machine that is too slow the rest is lost."""


def in_real_time(
    step: Callable[[float], None],
    publish: Callable[[], None],
    ends: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``step`` for every 2 ms of steady time, with that time [s], and ``publish`` after the steps that are due."""
    due_s = clock()
    while not ends():
        now_s = clock()
        due_s = max(due_s, now_s - BEHIND_S)
        while due_s <= now_s:
            step(due_s)
            due_s += TIMESTEP_S
        publish()
        sleep(max(0.0, due_s - clock()))


class ControlledArm:
    """Arm whose drives follow velocities or positions, with one active controller.

    The drives are MuJoCo's velocity servos. A velocity is approached with the description's accelerations; a position
    by a velocity proportional to the distance, at most the description's. Integral action of real drives makes up for
    dry friction and damping, of which the model therefore has little.

    Forward controllers reject a command of another size, forget theirs when they are activated, and else follow it for
    ever. The trajectory controller replaces its trajectory by a line from the present posture to the point, and stays
    there. Without a command the arm holds its posture. With ``pushes`` it holds the tool, and there is an object.
    """

    def __init__(self, robot: Robot, pushes: bool = False) -> None:
        self.robot = robot
        drives = actuations(robot)["torque_low_damping"]
        model = push_model(robot, drives.damping_factor, drives.friction_factor) if pushes else None
        self.sim = ArmSim(drives, model, robot)
        self.active = ""
        self.place(robot.home_rad.tolist())

    @property
    def q_rad(self) -> Array:
        """Joint positions, (J,) [rad]."""
        return self.sim.data.qpos[: self.sim.joints].copy()

    @property
    def qd_rad_s(self) -> Array:
        """Joint velocities, (J,) [rad/s]."""
        return self.sim.data.qvel[: self.sim.joints].copy()

    @property
    def effort_n_m(self) -> Array:
        """Torques of the drives, (J,) [N m]."""
        return self.sim.effort()

    def place(self, q_rad: Sequence[float]) -> None:
        """Put the arm at rest in a posture, (J,) [rad]; no controller has a command."""
        self.sim.reset(q_rad)
        self.received, self._time_s = 0, 0.0
        self._drive = np.zeros(self.sim.joints)
        self._held = self.q_rad
        self.command: tuple[str, Array] | None = None

    def activate(self, kind: str) -> None:
        """Activate the controller of one kind of command, or none: ""; it has no command."""
        self.active, self.command, self._held = kind, None, self.q_rad

    def receive(self, kind: str, values: Sequence[float], seconds: float = 0.0) -> None:
        """Take a command in the robot's order, (J,) [rad/s or rad]; ``seconds`` is the duration of a trajectory."""
        given = np.asarray(values, np.float64)
        if kind == self.active and given.shape == (self.sim.joints,) and np.isfinite(given).all():
            self.received += 1
            self.command = kind, given
            self._line = self._time_s, max(seconds, TIMESTEP_S), self.q_rad

    def step(self) -> None:
        """Let 2 ms pass."""
        self._time_s += TIMESTEP_S
        kind, values = self.command or ("position", self._held)
        q, most = self.q_rad, self.robot.velocity_rad_s
        if kind == "velocity":
            change, within = np.clip(values, -most, most) - self._drive, TIMESTEP_S * self.robot.acceleration_rad_s2
            self._drive = self._drive + np.clip(change, -within, within)
            self._held = q
        else:
            if kind == "trajectory":
                begin_s, seconds, begin = self._line
                values = begin + min((self._time_s - begin_s) / seconds, 1.0) * (values - begin)
            self._held = values
            self._drive = np.clip(POSITION_GAIN_1_S * (values - q), -most, most)
        self.sim.drive("velocity", self._drive)
        self.sim.advance(1)
