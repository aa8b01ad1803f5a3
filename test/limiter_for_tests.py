"""The limiter that published results were made with, kept as it was, to compare today's with bit by bit."""

from __future__ import annotations

import numpy as np

from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter import ArmReading, Limits
from tdm_ros.robots.sawyer import INERTIA_LEAST_KG_M2, INERTIA_MOST_KG_M2, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

Array = np.ndarray
CYCLE_S = 0.05


class OldLimiter:
    """Commands that are finite and of the right shape, readings that are, too."""

    def __init__(self, actuation: Actuation, limits: Limits) -> None:
        self.actuation, self.limits = actuation, limits
        turn_m = 0.01 if actuation.mode == "velocity" else 0.0
        self._low, self._high = np.asarray(limits.box_low_m) + turn_m, np.asarray(limits.box_high_m) - turn_m
        self._q_low = Q_LOWER_RAD + limits.joint_margin_rad
        self._q_high = Q_UPPER_RAD - limits.joint_margin_rad
        self._qd_max = limits.velocity_scale * QD_MAX_RAD_S
        self._torque_max = limits.torque_scale * actuation.scale

    def apply(self, command: Array, reading: ArmReading) -> tuple[Array, str]:
        """The command that is let through, and which layers acted."""
        return (self._velocity if self.actuation.mode == "velocity" else self._torque)(command, reading)

    def _velocity(self, wanted: Array, reading: ArmReading) -> tuple[Array, str]:
        layers = []
        command = self._within_joint_limits(wanted, reading)
        if (command != wanted).any():
            layers.append("joint limit")
        speed = self._speed(command)
        if speed > 1.0:
            command = command / speed
            layers.append("velocity")
        reach_m = jacobian(reading.q_rad)[:3] * self.limits.look_ahead_s
        if self._share(reading, reach_m @ command) < 1.0:
            along = self._within_joint_limits(self._along_box(command, reading, reach_m), reading)
            command = along / max(self._speed(along), 1.0)
            command = command * self._share(reading, reach_m @ command)
            layers.append("box")
        return command, " + ".join(layers)

    def _within_joint_limits(self, command: Array, reading: ArmReading) -> Array:
        ahead = self.limits.look_ahead_s
        room_up = np.maximum(self._q_high - reading.q_rad, 0.0) / ahead
        room_down = np.minimum(self._q_low - reading.q_rad, 0.0) / ahead
        return np.clip(command, room_down, room_up)

    def _speed(self, command: Array) -> float:
        return float(np.max(np.abs(command) / np.minimum(self.actuation.scale, self._qd_max)))

    def _along_box(self, command: Array, reading: ArmReading, reach_m: Array) -> Array:
        travel_m = reach_m @ command
        excess_m = travel_m - np.clip(travel_m, self._low - reading.hand_m, self._high - reading.hand_m)
        inward_m = excess_m + np.sign(excess_m) * 1e-5
        return command - reach_m.T @ np.linalg.solve(reach_m @ reach_m.T + 1e-8 * np.eye(3), inward_m)

    def _torque(self, wanted: Array, reading: ArmReading) -> tuple[Array, str]:
        layers = []
        command = np.clip(wanted, -self._torque_max, self._torque_max)
        if (command != wanted).any():
            layers.append("torque")
        qd = reading.qd_rad_s
        brake = np.clip(-qd * INERTIA_LEAST_KG_M2 / CYCLE_S, -self._torque_max, self._torque_max)
        soon = qd + command / INERTIA_LEAST_KG_M2 * CYCLE_S
        stop = reading.q_rad + self._stopping_travel(soon)
        leaving = ((stop > self._q_high) & (soon > 0)) | ((stop < self._q_low) & (soon < 0))
        for name, joints in (("joint limit", leaving), ("velocity", np.abs(soon) > self._qd_max)):
            if joints.any():
                command = np.where(joints, brake, command)
                layers.append(name)
        if self._leads_out(reading, (qd, qd + command / INERTIA_LEAST_KG_M2 * CYCLE_S)):
            command = brake
            layers.append("box")
        return command, " + ".join(layers)

    def _stopping_travel(self, qd: Array) -> Array:
        stop_s = 2.0 * np.abs(qd) * INERTIA_MOST_KG_M2 / self._torque_max
        return qd * (CYCLE_S + stop_s / 2)

    def _leads_out(self, reading: ArmReading, velocities: tuple[Array, ...]) -> bool:
        here = forward(reading.q_rad).position_m
        travels = [part * self._stopping_travel(qd) for qd in velocities for part in (0.5, 1.0)]
        moves = [forward(reading.q_rad + travel).position_m - here for travel in travels]
        return any(np.abs(m).max() > 1e-3 and self._share(reading, m) < 1.0 for m in moves)

    def _share(self, reading: ArmReading, travel_m: Array) -> float:
        room = np.where(travel_m > 0, self._high - reading.hand_m, reading.hand_m - self._low)
        share = np.maximum(room, 0.0) / np.maximum(np.abs(travel_m), 1e-12)
        return min(float(share.min()), 1.0)
