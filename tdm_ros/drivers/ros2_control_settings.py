"""Which controller of ros2_control drives an arm, and how a velocity becomes a position. No ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robots.description import Array, Robot

CONTROLLERS = {
    "velocity": ("forward_velocity_controller", "commands", 100.0),
    "position": ("forward_position_controller", "commands", 100.0),
    "trajectory": ("joint_trajectory_controller", "joint_trajectory", 50.0),
}
"""Command kinds: usual controller, its topic, and rate of commands [Hz]."""
RATE_HZ = (20.0, 100.0)
"""Least and largest rate of commands; the watchdog has a period of 10 ms."""
LEAD_S = (0.02, 0.1)
"""Least and largest lead: how long a joint may go on after the last position [s]."""
TRACKING_RAD = 0.02
"""Distance that a loaded or slow joint may stay behind its target, besides the lead [rad]."""


@dataclass(frozen=True)
class Settings:
    """Values of `drivers: ros2_control:` of a robot file, or of the parameters `ros2_control.*`.

    Of controller, topic and rate, "" and 0 are what is usual for the kind of command.
    """

    command: str = "velocity"
    controller: str = ""
    command_topic: str = ""
    joints: tuple[str, ...] = ()
    """Joints in the controller's order, where it does not tell them itself; (): the robot's order."""
    joint_states: str = "joint_states"
    rate_hz: float = 0.0
    lead_s: float = 0.05
    """Time by which a position is ahead of the measured one [s]; duration of a trajectory's point."""
    enabled_topic: str = ""
    estop_topic: str = ""
    """std_msgs/Bool: true if the robot may move, and true if its e-stop is pressed; "": none."""
    diagnostics_topic: str = ""
    diagnostics_name: str = ""
    """diagnostic_msgs/DiagnosticArray: an error, or stale, of a status whose name begins so is a fault; "": none."""
    controller_manager: str = "controller_manager"

    @property
    def usual(self) -> tuple[str, str, float]:
        """Controller, topic of its commands, and their rate [Hz]."""
        controller, end, rate_hz = CONTROLLERS[self.command]
        controller = self.controller or controller
        return controller, self.command_topic or f"{controller}/{end}", self.rate_hz or rate_hz

    def check(self, robot: Robot) -> Settings:
        """Return them; a ValueError names the value that is wrong, and the remedy."""
        where = "ros2_control."
        if self.command not in CONTROLLERS:
            raise ValueError(f"{where}command must be {', '.join(CONTROLLERS)}, got {self.command!r}: correct it")
        if self.joints and set(self.joints) != set(robot.joint_names):
            got, expected = ", ".join(self.joints), ", ".join(robot.joint_names)
            raise ValueError(f"{where}joints must be those of {robot.name} ({expected}), got {got}: correct them")
        if self.rate_hz and not RATE_HZ[0] <= self.rate_hz <= RATE_HZ[1]:
            raise ValueError(f"{where}rate_hz must be in [{RATE_HZ[0]:g}, {RATE_HZ[1]:g}] Hz, got {self.rate_hz:g}")
        if not LEAD_S[0] <= self.lead_s <= LEAD_S[1]:
            raise ValueError(f"{where}lead_s must be in [{LEAD_S[0]:g}, {LEAD_S[1]:g}] s, got {self.lead_s:g}")
        return self


def settings_of(robot: Robot, given: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a robot file; those of ``given`` take precedence.

    Raises ValueError, one sentence with the remedy, for an unknown key or a wrong value.
    """
    entry = robot.drivers.get("ros2_control") or {}
    where = f"drivers: ros2_control: of the robot {robot.name}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must be a mapping, got {entry!r}: correct the robot file")
    known = {field.name: field.default for field in fields(Settings)}
    values = {**entry, **(given or {})}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{where} must have keys among {', '.join(known)}, got {name!r}: correct it")
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            values[name] = value = tuple(value)
        elif type(value) is int:
            values[name] = value = float(value)
        if type(value) is not type(known[name]):
            raise ValueError(f"{where}: {name} must be like {known[name]!r}, got {value!r}: correct it")
    return replace(Settings(), **values).check(robot)


class PositionTarget:
    """Target of position controllers, which moves with a velocity, and stays near the measured positions.

    Without a velocity it stays where it is: a target that followed the measured positions would sink under gravity.
    """

    def __init__(self, robot: Robot, lead_s: float) -> None:
        self._lower, self._upper, self._lead_s = robot.lower_rad, robot.upper_rad, lead_s
        self._target: Array | None = None

    def forget(self) -> None:
        """Begin at the measured positions next time."""
        self._target = None

    def step(self, q_rad: ArrayLike, qd_rad_s: ArrayLike, seconds: float) -> Array:
        """Return the target after some seconds with velocities, (J,) [rad/s], at measured positions: (J,) [rad]."""
        q, qd = np.asarray(q_rad, np.float64), np.asarray(qd_rad_s, np.float64)
        behind = TRACKING_RAD + self._lead_s * np.abs(qd)
        target = q if self._target is None else self._target
        target = np.clip(target + seconds * qd, q - behind, q + behind)
        self._target = np.clip(target, np.minimum(self._lower, q), np.maximum(self._upper, q))
        return self._target
