"""The last gate before the motors: a command passes, or is refused, scaled down or replaced by braking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.kinematics import forward, jacobian
from tdm_ros.robot.limits import CYCLE_S, ArmReading, Limits
from tdm_ros.robot.sawyer import (
    INERTIA_LEAST_KG_M2,
    INERTIA_MOST_KG_M2,
    JOINT_NAMES,
    Q_LOWER_RAD,
    Q_UPPER_RAD,
    QD_MAX_RAD_S,
)

Array = NDArray[np.float64]
__all__ = ["ArmReading", "Limited", "Limiter", "Limits"]

SHOVE = 2.0
"""Braking joints push each other: stopping takes up to this many times what each alone needs (measured)."""

AT_REST_M = 1e-3
"""A hand that stops within this distance stands, so that an arm outside the box can find its way back."""


@dataclass(frozen=True)
class Limited:
    """What may be sent to the motors.

    Parameters
    ----------
    command : (J,) float64 [rad/s or N m]
    layer : str
        Which layers acted, joined by " + "; empty if the command passed untouched.
    refused : bool
        The command (or the reading) was unusable; ``command`` is zero and the arm should hold.
    """

    command: Array
    layer: str = ""
    refused: bool = False


class Limiter:
    """Keep commands inside the limits. Pure: no clock, no state.

    Parameters
    ----------
    actuation : Actuation
    limits : Limits
    """

    def __init__(self, actuation: Actuation, limits: Limits | None = None) -> None:
        self.actuation = actuation
        self.limits = limits or Limits()
        self._low = np.asarray(self.limits.box_low_m)
        self._high = np.asarray(self.limits.box_high_m)
        self._q_low = Q_LOWER_RAD + self.limits.joint_margin_rad
        self._q_high = Q_UPPER_RAD - self.limits.joint_margin_rad
        self._qd_max = self.limits.velocity_scale * QD_MAX_RAD_S
        self._torque_max = self.limits.torque_scale * actuation.scale

    def apply(self, command: ArrayLike, reading: ArmReading) -> Limited:
        """Return the nearest harmless command.

        Parameters
        ----------
        command : (J,) [rad/s or N m]
        reading : ArmReading
            Fresh.

        Returns
        -------
        Limited
            Always within ``actuation.scale``, so that it is an action in [-1, 1].
        """
        try:
            wanted = np.asarray(command, np.float64)
        except (TypeError, ValueError):
            return self._refusal("shape")
        if wanted.shape != self.actuation.scale.shape:
            return self._refusal("shape")
        if not np.isfinite(wanted).all():
            return self._refusal("not finite")
        if not _usable(reading):
            return self._refusal("reading")
        return (
            self._velocity(wanted, reading)
            if self.actuation.mode == "velocity"
            else self._torque(wanted, reading)
        )

    def _refusal(self, layer: str) -> Limited:
        return Limited(np.zeros(self.actuation.scale.shape), layer, refused=True)

    def _velocity(self, wanted: Array, reading: ArmReading) -> Limited:
        """Each layer only makes components smaller, so what an earlier one ensured stays true."""
        layers = []
        ahead = self.limits.look_ahead_s
        room_up = np.maximum(self._q_high - reading.q_rad, 0.0) / ahead
        room_down = np.minimum(self._q_low - reading.q_rad, 0.0) / ahead
        command = np.clip(wanted, room_down, room_up)
        if (command != wanted).any():
            layers.append("joint limit")
        excess = float(np.max(np.abs(command) / np.minimum(self.actuation.scale, self._qd_max)))
        if excess > 1.0:
            command = command / excess
            layers.append("velocity")
        share = self._share_in_box(reading, jacobian(reading.q_rad)[:3] @ command * ahead)
        if share < 1.0:
            command = command * share
            layers.append("box")
        return Limited(command, " + ".join(layers))

    def _torque(self, wanted: Array, reading: ArmReading) -> Limited:
        """Brake joints that become too fast or head for their limits, and all if the hand leaves the box."""
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
        return Limited(command, " + ".join(layers))

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
                if np.abs(travel_m).max() > AT_REST_M and self._share_in_box(reading, travel_m) < 1.0:
                    return True
        return False

    def _share_in_box(self, reading: ArmReading, travel_m: Array) -> float:
        """Largest share in [0, 1] of a travel of the hand, (3,) [m], that does not lead further out."""
        room = np.where(travel_m > 0, self._high - reading.hand_m, reading.hand_m - self._low)
        share = np.maximum(room, 0.0) / np.maximum(np.abs(travel_m), 1e-12)
        return min(float(share.min()), 1.0)


def _velocity_after(torque: Array, qd_rad_s: Array) -> Array:
    """Joint velocities, (J,) [rad/s], that a torque, (J,) [N m], leads to within a cycle, at the most."""
    return qd_rad_s + torque / INERTIA_LEAST_KG_M2 * CYCLE_S


def _usable(reading: ArmReading) -> bool:
    joints = (len(JOINT_NAMES),)
    shapes = (
        reading.q_rad.shape == joints and reading.qd_rad_s.shape == joints and reading.hand_m.shape == (3,)
    )
    return shapes and all(np.isfinite(x).all() for x in (reading.q_rad, reading.qd_rad_s, reading.hand_m))
