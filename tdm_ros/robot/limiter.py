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

TURN_M = 0.01
"""Driven by velocity, the hand turns this far before a side of the box, since its way is curved."""

CLEAR_M = 1e-5
"""And it is led away from the side by this much, so that rounding never stops it there."""

SINGULAR_M2 = 1e-8
"""Keeps the way along the box finite where the hand cannot move across its side."""

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
        turn_m = TURN_M if actuation.mode == "velocity" else 0.0
        self._low = np.asarray(self.limits.box_low_m) + turn_m
        self._high = np.asarray(self.limits.box_high_m) - turn_m
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
        return self._velocity(wanted, reading) if self.actuation.mode == "velocity" else self._torque(wanted, reading)

    def _refusal(self, layer: str) -> Limited:
        return Limited(np.zeros(self.actuation.scale.shape), layer, refused=True)

    def _velocity(self, wanted: Array, reading: ArmReading) -> Limited:
        """Take away what leads to joint limits, what is too fast, and the hand's motion out of the box."""
        layers = []
        command = self._within_joint_limits(wanted, reading)
        if (command != wanted).any():
            layers.append("joint limit")
        speed = self._speed(command)
        if speed > 1.0:
            command = command / speed
            layers.append("velocity")
        reach_m = jacobian(reading.q_rad)[:3] * self.limits.look_ahead_s
        if self._share_in_box(reading, reach_m @ command) < 1.0:
            along = self._within_joint_limits(self._along_box(command, reading, reach_m), reading)
            command = along / max(self._speed(along), 1.0)
            command = command * self._share_in_box(reading, reach_m @ command)
            layers.append("box")
        return Limited(command, " + ".join(layers))

    def _within_joint_limits(self, command: Array, reading: ArmReading) -> Array:
        """Slow down joints, (J,) [rad/s], that would come too near a limit within the look-ahead."""
        ahead = self.limits.look_ahead_s
        room_up = np.maximum(self._q_high - reading.q_rad, 0.0) / ahead
        room_down = np.minimum(self._q_low - reading.q_rad, 0.0) / ahead
        return np.clip(command, room_down, room_up)

    def _speed(self, command: Array) -> float:
        """Velocity of the fastest joint as a share of what is allowed."""
        return float(np.max(np.abs(command) / np.minimum(self.actuation.scale, self._qd_max)))

    def _along_box(self, command: Array, reading: ArmReading, reach_m: Array) -> Array:
        """The nearest command, (J,) [rad/s], that moves the hand along the sides of the box, or back in."""
        travel_m = reach_m @ command
        excess_m = travel_m - np.clip(travel_m, self._low - reading.hand_m, self._high - reading.hand_m)
        inward_m = excess_m + np.sign(excess_m) * CLEAR_M
        square = reach_m @ reach_m.T + SINGULAR_M2 * np.eye(3)
        along: Array = command - reach_m.T @ np.linalg.solve(square, inward_m)
        return along

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
    shapes = reading.q_rad.shape == joints and reading.qd_rad_s.shape == joints and reading.hand_m.shape == (3,)
    return shapes and all(np.isfinite(x).all() for x in (reading.q_rad, reading.qd_rad_s, reading.hand_m))
