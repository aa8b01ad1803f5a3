"""Limiter for torques: joints too fast or heading for their limits brake; all brake if the hand leaves its box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.hand_box import HandBox
from tdm_ros.robot.kinematics import forward
from tdm_ros.robot.layers import layers_of
from tdm_ros.robot.limits import CYCLE_S, ArmReading, Limits
from tdm_ros.robot.sawyer import (
    INERTIA_LEAST_KG_M2,
    INERTIA_MOST_KG_M2,
    Q_LOWER_RAD,
    Q_UPPER_RAD,
    QD_MAX_RAD_S,
)

Array = NDArray[np.float64]

SHOVE = 2.0
"""Braking joints push each other: stopping takes up to this many times what each alone needs (measured)."""

AT_REST_M = 1e-3
"""A hand that stops within this distance stands, so that an arm outside the box can find its way back."""


class TorqueLimiter:
    """The layers for joint torques; `Limiter` has looked at shapes, numbers and age before.

    Raises
    ------
    ValueError
        If limits are on that only a velocity can be judged by.
    """

    def __init__(self, actuation: Actuation, limits: Limits) -> None:
        if limits.acceleration_scale is not None or layers_of(limits):
            raise ValueError(f"only velocities can be kept within such limits, got torques and {limits}")
        self._box = HandBox(np.asarray(limits.box_low_m), np.asarray(limits.box_high_m))
        self._q_low = Q_LOWER_RAD + limits.joint_margin_rad
        self._q_high = Q_UPPER_RAD - limits.joint_margin_rad
        self._qd_max = limits.velocity_scale * QD_MAX_RAD_S
        self._torque_max = limits.torque_scale * actuation.scale

    def limited(self, wanted: Array, reading: ArmReading) -> tuple[Array, list[str]]:
        """What passes of torques, (J,) [N m], and which layers acted."""
        layers = []
        command = np.clip(wanted, -self._torque_max, self._torque_max)
        if (command != wanted).any():
            layers.append("torque")
        qd = reading.qd_rad_s
        # Gain: the momentum of one cycle, so that a brake never turns a joint round.
        brake = np.clip(-qd * INERTIA_LEAST_KG_M2 / CYCLE_S, -self._torque_max, self._torque_max)
        soon = _velocity_after(command, qd)
        stop = reading.q_rad + self._stopping_travel(soon)
        leaving = ((stop > self._q_high) & (soon > 0)) | ((stop < self._q_low) & (soon < 0))
        for name, joints in (("joint limit", leaving), ("velocity", np.abs(soon) > self._qd_max)):
            if joints.any():
                command = np.where(joints, brake, command)
                layers.append(name)
        # What the command will do is a rough guess, as joints share masses: judge the measured motion, too.
        if self._leads_out(reading, (qd, _velocity_after(command, qd))):
            command = brake
            layers.append("box")
        return command, layers

    def _stopping_travel(self, qd_rad_s: Array) -> Array:
        """How far the joints still go, (J,) [rad], if all brake after one more cycle."""
        stop_s = SHOVE * np.abs(qd_rad_s) * INERTIA_MOST_KG_M2 / self._torque_max
        return qd_rad_s * (CYCLE_S + stop_s / 2)

    def _leads_out(self, reading: ArmReading, velocities: tuple[Array, ...]) -> bool:
        """Whether the hand leaves the box, or goes further out, before joints at (J,) [rad/s] stop."""
        here = forward(reading.q_rad).position_m
        for qd_rad_s in velocities:
            travel_rad = self._stopping_travel(qd_rad_s)
            for part in (0.5, 1.0):
                travel_m = forward(reading.q_rad + part * travel_rad).position_m - here
                if np.abs(travel_m).max() > AT_REST_M and self._box.share(reading.hand_m, travel_m) < 1.0:
                    return True
        return False


def _velocity_after(torque: Array, qd_rad_s: Array) -> Array:
    """Joint velocities, (J,) [rad/s], that a torque, (J,) [N m], leads to within a cycle, at the most."""
    return qd_rad_s + torque / INERTIA_LEAST_KG_M2 * CYCLE_S
