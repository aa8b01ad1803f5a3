"""Limiter, the last check before the motors: a command passes, is rejected, scaled down or replaced by braking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter_layers import ROUNDING, layers_of, posture
from tdm_ros.robots.limits import CYCLE_S, ArmReading, HandBox, Limits
from tdm_ros.robots.sawyer import (
    INERTIA_LEAST_KG_M2,
    INERTIA_MOST_KG_M2,
    JOINT_NAMES,
    Q_LOWER_RAD,
    Q_UPPER_RAD,
    QD_MAX_RAD_S,
    QDD_MAX_RAD_S2,
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


__all__ = ["ArmReading", "Limited", "Limiter", "Limits"]


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

    Raises
    ------
    ValueError
        If torques are to keep to limits that only a velocity can be judged by.

    Notes
    -----
    The layers act in the order of a reading's use: finite and shape, age of the state, joint limits, velocity,
    acceleration, boxes of hand and links, hand speed, singularity, self-collision. Each takes a share of
    the whole command, which keeps its direction, but for two: a joint that heads for its limit is slowed down alone,
    and a hand that heads for a side of its box is led along it. Else an arm at a bound would stand until a command
    points away from it. What then is left is judged by all that follow. Braking is never slowed down.
    """

    def __init__(self, actuation: Actuation, limits: Limits | None = None) -> None:
        self.actuation = actuation
        self.limits = limits or Limits()
        drive = VelocityLimiter if actuation.mode == "velocity" else TorqueLimiter
        self._drive: VelocityLimiter | TorqueLimiter = drive(actuation, self.limits)

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
        if self.limits.age_max_s is not None and not 0 <= reading.age_s <= self.limits.age_max_s:
            return self._refusal("stale")
        passed, layers = self._drive.limited(wanted, reading)
        return Limited(passed, " + ".join(layers))

    def _refusal(self, layer: str) -> Limited:
        return Limited(np.zeros(self.actuation.scale.shape), layer, refused=True)


def _usable(reading: ArmReading) -> bool:
    joints = (len(JOINT_NAMES),)
    given = [reading.q_rad, reading.qd_rad_s, *([] if reading.commanded_rad_s is None else [reading.commanded_rad_s])]
    shapes = all(x.shape == joints for x in given) and reading.hand_m.shape == (3,)
    return shapes and all(np.isfinite(x).all() for x in (*given, reading.hand_m))
