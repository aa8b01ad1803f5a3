"""Limiter, the last check before the motors: a command passes, is rejected, scaled down or replaced by braking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.description import ESTIMATED, Array, Robot
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter_layers import ROUNDING, layers_of, posture
from tdm_ros.robots.limits import CYCLE_S, ArmReading, HandBox, Limits
from tdm_ros.robots.sawyer import SAWYER

SHOVE = 2.0
"""Braking joints affect each other: stopping takes up to this factor of the time for each alone (measured)."""

AT_REST_M = 1e-3
"""A hand that stops within this distance counts as standing, so that an arm outside the box can return."""


class TorqueLimiter:
    """Layers for joint torques; `Limiter` has checked shapes, numbers and age before.

    Raises ValueError for a limit that applies to velocities alone, or a robot without the inertias at its joints.
    """

    def __init__(self, actuation: Actuation, limits: Limits, robot: Robot) -> None:
        if limits.acceleration_scale is not None or layers_of(limits):
            raise ValueError(f"these limits need an actuation by velocity, got torques and {limits}")
        if robot.inertia_least_kg_m2 is None or robot.inertia_most_kg_m2 is None:
            raise ValueError(f"{robot.name} must have {' and '.join(ESTIMATED)} for torques, got none: add them to it")
        self._robot, self._least_kg_m2, self._most_kg_m2 = robot, robot.inertia_least_kg_m2, robot.inertia_most_kg_m2
        self._box = HandBox(np.asarray(limits.box_low_m), np.asarray(limits.box_high_m))
        self._q_low = robot.lower_rad + limits.joint_margin_rad
        self._q_high = robot.upper_rad - limits.joint_margin_rad
        self._qd_max = limits.velocity_scale * robot.velocity_rad_s
        self._torque_max = limits.torque_scale * actuation.scale

    def limited(self, wanted: Array, reading: ArmReading) -> tuple[Array, list[str]]:
        """Limited torques, (J,) [N m], and the layers that acted."""
        layers = []
        command = np.clip(wanted, -self._torque_max, self._torque_max)
        if (command != wanted).any():
            layers.append("torque")
        qd = reading.qd_rad_s
        # Gain: the momentum of one cycle, so that braking never reverses a joint.
        brake = np.clip(-qd * self._least_kg_m2 / CYCLE_S, -self._torque_max, self._torque_max)
        soon = self._velocity_after(command, qd)
        stop = reading.q_rad + self._stopping_travel(soon)
        leaving = ((stop > self._q_high) & (soon > 0)) | ((stop < self._q_low) & (soon < 0))
        for name, joints in (("joint limit", leaving), ("velocity", np.abs(soon) > self._qd_max)):
            if joints.any():
                command = np.where(joints, brake, command)
                layers.append(name)
        # The predicted velocity is rough, as joints share masses: check the measured motion, too.
        if self._leads_out(reading, (qd, self._velocity_after(command, qd))):
            command = brake
            layers.append("box")
        return command, layers

    def _velocity_after(self, torque: Array, qd_rad_s: Array) -> Array:
        """Upper bound of the joint velocities, (J,) [rad/s], after one cycle of a torque, (J,) [N m]."""
        return qd_rad_s + torque / self._least_kg_m2 * CYCLE_S

    def _stopping_travel(self, qd_rad_s: Array) -> Array:
        """Travel of the joints, (J,) [rad], if all brake after one more cycle."""
        stop_s = SHOVE * np.abs(qd_rad_s) * self._most_kg_m2 / self._torque_max
        return qd_rad_s * (CYCLE_S + stop_s / 2)

    def _leads_out(self, reading: ArmReading, velocities: tuple[Array, ...]) -> bool:
        """Whether the hand leaves the box, or moves further out, before joints at (J,) [rad/s] stop."""
        here = forward(reading.q_rad, self._robot).position_m
        for qd_rad_s in velocities:
            travel_rad = self._stopping_travel(qd_rad_s)
            for part in (0.5, 1.0):
                travel_m = forward(reading.q_rad + part * travel_rad, self._robot).position_m - here
                if np.abs(travel_m).max() > AT_REST_M and self._box.share(reading.hand_m, travel_m) < 1.0:
                    return True
        return False


TURN_M = 0.01
"""With velocities the hand turns this far before a side of the box, since its path is curved."""

CLEAR_M = 1e-5
"""Distance by which it is moved away from the side, so that rounding never stops it there."""

SINGULAR_M2 = 1e-8
"""Regularisation of the motion along the box where the hand cannot move across its side."""


class VelocityLimiter:
    """Layers for joint velocities, in their order; `Limiter` has checked shapes, numbers and age before."""

    def __init__(self, actuation: Actuation, limits: Limits, robot: Robot) -> None:
        self.limits, self._robot = limits, robot
        self._box = HandBox(np.asarray(limits.box_low_m) + TURN_M, np.asarray(limits.box_high_m) - TURN_M)
        self._q_low = robot.lower_rad + limits.joint_margin_rad
        self._q_high = robot.upper_rad - limits.joint_margin_rad
        self._most = np.minimum(actuation.scale, limits.velocity_scale * robot.velocity_rad_s)
        gain = limits.acceleration_scale
        self._gain_rad_s = None if gain is None else gain * robot.acceleration_rad_s2 * CYCLE_S
        self._layers = layers_of(limits)
        self._inside = 1.0 - ROUNDING if self._layers else 1.0

    def limited(self, wanted: Array, reading: ArmReading) -> tuple[Array, list[str]]:
        """Limited velocities, (J,) [rad/s], and the layers that acted."""
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
        arm = posture(reading, self._robot) if self._layers else None
        reach_m = (jacobian(reading.q_rad, self._robot)[:3] if arm is None else arm.reach_m) * self.limits.look_ahead_s
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
        """Increase of joint speed within this cycle relative to the allowed one; at most 1 while braking."""
        if self._gain_rad_s is None:
            return 0.0
        before = reading.qd_rad_s if reading.commanded_rad_s is None else reading.commanded_rad_s
        return _excess(command, np.maximum(before * np.sign(command), 0.0) + self._gain_rad_s)

    def _along_box(self, command: Array, reading: ArmReading, reach_m: Array) -> Array:
        """Nearest command, (J,) [rad/s], that moves the hand along the sides of the box, or back inside."""
        travel_m = reach_m @ command
        excess_m = travel_m - np.clip(travel_m, self._box.low_m - reading.hand_m, self._box.high_m - reading.hand_m)
        inward_m = excess_m + np.sign(excess_m) * CLEAR_M
        square = reach_m @ reach_m.T + SINGULAR_M2 * np.eye(3)
        along: Array = command - reach_m.T @ np.linalg.solve(square, inward_m)
        return along


def _excess(command: Array, most: Array) -> float:
    """Velocity of the fastest joint relative to the allowed one, (J,) [rad/s] each."""
    return float(np.max(np.abs(command) / most))


__all__ = ["ArmReading", "Limited", "Limiter", "Limits"]


@dataclass(frozen=True)
class Limited:
    """Command that may be sent to the motors."""

    command: Array
    """(J,) [rad/s or N m]"""
    layer: str = ""
    """Names of the layers that acted, joined by " + "; empty if the command is unchanged."""
    rejected: bool = False
    """Whether the command or the reading was unusable; ``command`` is zero and the arm should hold."""


class Limiter:
    """Keeps commands within the limits. Pure: no clock, no state.

    Raises ValueError if limits and actuation do not fit each other, or the actuation does not fit the robot.

    Notes
    -----
    Order of the layers: shape and finite numbers, age of the reading, joint limits, velocity, acceleration, boxes of
    hand and links, hand speed, singularity, self-collision. Each scales the whole command, which keeps its direction,
    with two exceptions: a joint that approaches its limit is slowed down alone, and a hand that approaches a side of
    its box moves along it. Otherwise an arm at a bound would stand until a command points away from it. Later layers
    check the result of earlier ones. Braking is never slowed down.
    """

    def __init__(self, actuation: Actuation, limits: Limits | None = None, robot: Robot = SAWYER) -> None:
        self.actuation = actuation
        self.robot, self.limits = robot, limits or Limits(*robot.hand_box_m)
        if actuation.scale.shape != robot.home_rad.shape:
            raise ValueError(f"actuation.scale must have {len(robot.home_rad)} values, got {actuation.scale.tolist()}")
        drive = VelocityLimiter if actuation.mode == "velocity" else TorqueLimiter
        self._drive: VelocityLimiter | TorqueLimiter = drive(actuation, self.limits, robot)

    def apply(self, command: ArrayLike, reading: ArmReading) -> Limited:
        """Return the nearest command to (J,) [rad/s or N m] within the limits and ``actuation.scale``."""
        try:
            wanted = np.asarray(command, np.float64)
        except (TypeError, ValueError):
            return self._rejection("shape")
        if wanted.shape != self.actuation.scale.shape:
            return self._rejection("shape")
        if not np.isfinite(wanted).all():
            return self._rejection("not finite")
        if not self._usable(reading):
            return self._rejection("reading")
        if self.limits.age_max_s is not None and not 0 <= reading.age_s <= self.limits.age_max_s:
            return self._rejection("stale")
        passed, layers = self._drive.limited(wanted, reading)
        return Limited(passed, " + ".join(layers))

    def _rejection(self, layer: str) -> Limited:
        return Limited(np.zeros(self.actuation.scale.shape), layer, rejected=True)

    def _usable(self, reading: ArmReading) -> bool:
        given = [x for x in (reading.q_rad, reading.qd_rad_s, reading.commanded_rad_s) if x is not None]
        shapes = all(x.shape == self.actuation.scale.shape for x in given) and reading.hand_m.shape == (3,)
        return shapes and all(np.isfinite(x).all() for x in (*given, reading.hand_m))
