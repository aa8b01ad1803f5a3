"""Limiter for velocities: commands are scaled down or led along a bound; every layer checks where they lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.hand_box import HandBox
from tdm_ros.robot.kinematics import jacobian
from tdm_ros.robot.layers import ROUNDING, layers_of, posture
from tdm_ros.robot.limits import CYCLE_S, ArmReading, Limits
from tdm_ros.robot.sawyer import Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S, QDD_MAX_RAD_S2

Array = NDArray[np.float64]

TURN_M = 0.01
"""Driven by velocity, the hand turns this far before a side of the box, since its way is curved."""

CLEAR_M = 1e-5
"""And it is led away from the side by this much, so that rounding never stops it there."""

SINGULAR_M2 = 1e-8
"""Keeps the way along the box finite where the hand cannot move across its side."""


class VelocityLimiter:
    """The layers for joint velocities, in their order; `Limiter` has looked at shapes, numbers and age before."""

    def __init__(self, actuation: Actuation, limits: Limits) -> None:
        self.limits = limits
        self._box = HandBox(np.asarray(limits.box_low_m) + TURN_M, np.asarray(limits.box_high_m) - TURN_M)
        self._q_low = Q_LOWER_RAD + limits.joint_margin_rad
        self._q_high = Q_UPPER_RAD - limits.joint_margin_rad
        self._most = np.minimum(actuation.scale, limits.velocity_scale * QD_MAX_RAD_S)
        gain = limits.acceleration_scale
        self._gain_rad_s = None if gain is None else gain * QDD_MAX_RAD_S2 * CYCLE_S
        self._layers = layers_of(limits)
        self._inside = 1.0 - ROUNDING if self._layers else 1.0

    def limited(self, wanted: Array, reading: ArmReading) -> tuple[Array, list[str]]:
        """What passes of velocities, (J,) [rad/s], and which layers acted."""
        layers = []
        command = self._within_joint_limits(wanted, reading)
        if (command != wanted).any():
            layers.append("joint limit")
        speed = _excess(command, self._most)
        if speed > 1.0:
            command = command / speed
            layers.append("velocity")
        gain = self._gain(command, reading)
        if gain > 1.0:
            command = command / gain
            layers.append("acceleration")
        arm = posture(reading) if self._layers else None
        reach_m = (jacobian(reading.q_rad)[:3] if arm is None else arm.reach_m) * self.limits.look_ahead_s
        if self._box.share(reading.hand_m, reach_m @ command) < self._inside:
            along = self._within_joint_limits(self._along_box(command, reading, reach_m), reading)
            command = along / max(_excess(along, self._most), self._gain(along, reading), 1.0)
            command = command * self._box.share(reading.hand_m, reach_m @ command)
            layers.append("box")
        if arm is not None:
            for name, layer in self._layers.items():
                share = layer(command, arm, self.limits)
                if share < 1.0:
                    command = share * command
                    layers.append(name)
        return command, layers

    def _within_joint_limits(self, command: Array, reading: ArmReading) -> Array:
        """Slow down joints, (J,) [rad/s], that would come too near a limit within the look-ahead."""
        ahead = self.limits.look_ahead_s
        room_up = np.maximum(self._q_high - reading.q_rad, 0.0) / ahead
        room_down = np.minimum(self._q_low - reading.q_rad, 0.0) / ahead
        return np.clip(command, room_down, room_up)

    def _gain(self, command: Array, reading: ArmReading) -> float:
        """Speed that the joints gain within this cycle as a share of what is allowed; at most 1 where they brake."""
        if self._gain_rad_s is None:
            return 0.0
        before = reading.qd_rad_s if reading.commanded_rad_s is None else reading.commanded_rad_s
        return _excess(command, np.maximum(before * np.sign(command), 0.0) + self._gain_rad_s)

    def _along_box(self, command: Array, reading: ArmReading, reach_m: Array) -> Array:
        """The nearest command, (J,) [rad/s], that moves the hand along the sides of the box, or back in."""
        travel_m = reach_m @ command
        excess_m = travel_m - np.clip(travel_m, self._box.low_m - reading.hand_m, self._box.high_m - reading.hand_m)
        inward_m = excess_m + np.sign(excess_m) * CLEAR_M
        square = reach_m @ reach_m.T + SINGULAR_M2 * np.eye(3)
        along: Array = command - reach_m.T @ np.linalg.solve(square, inward_m)
        return along


def _excess(command: Array, most: Array) -> float:
    """Velocity of the fastest joint as a share of what is allowed, (J,) [rad/s] each."""
    return float(np.max(np.abs(command) / most))
