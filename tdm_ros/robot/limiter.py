"""The last gate before the motors: a command is refused, scaled down or replaced by braking, and it is said why."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.kinematics import jacobian
from tdm_ros.robot.sawyer import JOINT_NAMES, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S, ROTOR_INERTIA_KG_M2

Array = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class ArmReading:
    """What the arm reports at one instant.

    Parameters
    ----------
    q_rad, qd_rad_s : (J,) float64
        Joint positions [rad] and velocities [rad/s].
    hand_m : (3,) float64 [m]
        Hand in frame base.
    """

    q_rad: Array
    qd_rad_s: Array
    hand_m: Array


@dataclass(frozen=True)
class Limits:
    """Bounds that the arm is kept in; the defaults are for the simulated arm.

    Parameters
    ----------
    box_low_m, box_high_m : (3,) tuple of float [m]
        Corners of the box that the hand stays in, frame base.
    joint_margin_rad : float
        Distance kept from each joint limit.
    velocity_scale : float
        Largest joint velocity, as a fraction of the vendor's limits, in (0, 1].
    look_ahead_s : float
        How far ahead positions are predicted when joints are driven by velocity.
    torque_look_ahead_s : float
        The same for torque, where momentum has to be stopped first.
    brake_inertia_kg_m2 : (J,) tuple of float
        Least inertia of each joint: braking takes this much momentum away in one cycle, so it never reverses a joint.
    """

    box_low_m: Point = (0.15, -0.60, 0.02)
    box_high_m: Point = (0.95, 0.60, 0.85)
    joint_margin_rad: float = 0.05
    velocity_scale: float = 1.0
    look_ahead_s: float = 0.15
    torque_look_ahead_s: float = 0.2
    brake_inertia_kg_m2: tuple[float, ...] = field(default_factory=lambda: tuple(ROTOR_INERTIA_KG_M2.tolist()))

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError, naming the field and what it should be, if a bound makes no sense."""
        for name in ("box_low_m", "box_high_m"):
            corner = np.asarray(getattr(self, name), np.float64)
            if corner.shape != (3,) or not np.isfinite(corner).all():
                raise ValueError(f"Limits.{name} must be three finite coordinates [m], got {getattr(self, name)}")
        if not all(lo < hi for lo, hi in zip(self.box_low_m, self.box_high_m, strict=True)):
            raise ValueError(f"Limits.box_low_m must be below box_high_m, got {self.box_low_m} and {self.box_high_m}")
        if not 0 <= self.joint_margin_rad <= 0.5:
            raise ValueError(f"Limits.joint_margin_rad must be in [0, 0.5] rad, got {self.joint_margin_rad}")
        if not 0 < self.velocity_scale <= 1:
            raise ValueError(f"Limits.velocity_scale must be in (0, 1], got {self.velocity_scale}")
        for name in ("look_ahead_s", "torque_look_ahead_s"):
            if not 0.05 <= getattr(self, name) <= 2:
                raise ValueError(f"Limits.{name} must be in [0.05, 2] s, got {getattr(self, name)}")
        if len(self.brake_inertia_kg_m2) != len(JOINT_NAMES) or not all(i > 0 for i in self.brake_inertia_kg_m2):
            raise ValueError(
                f"Limits.brake_inertia_kg_m2 must be {len(JOINT_NAMES)} positive values, got {self.brake_inertia_kg_m2}"
            )


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

    cycle_s = 0.05

    def __init__(self, actuation: Actuation, limits: Limits | None = None) -> None:
        self.actuation = actuation
        self.limits = limits or Limits()
        self._low = np.asarray(self.limits.box_low_m)
        self._high = np.asarray(self.limits.box_high_m)
        self._q_low = Q_LOWER_RAD + self.limits.joint_margin_rad
        self._q_high = Q_UPPER_RAD - self.limits.joint_margin_rad
        self._qd_max = self.limits.velocity_scale * QD_MAX_RAD_S
        self._brake_gain = np.asarray(self.limits.brake_inertia_kg_m2) / self.cycle_s

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
        share = self._share_in_box(reading, jacobian(reading.q_rad)[:3] @ command, ahead)
        if share < 1.0:
            command = command * share
            layers.append("box")
        return Limited(command, " + ".join(layers))

    def _torque(self, wanted: Array, reading: ArmReading) -> Limited:
        """Brake what is too fast or heads out; momentum is judged by the measured velocity."""
        layers = []
        scale, qd = self.actuation.scale, reading.qd_rad_s
        command = np.clip(wanted, -scale, scale)
        if (command != wanted).any():
            layers.append("torque")
        brake = np.clip(-self._brake_gain * qd, -scale, scale)
        coming = reading.q_rad + qd * self.limits.torque_look_ahead_s
        leaving = ((coming > self._q_high) & (qd >= 0)) | ((coming < self._q_low) & (qd <= 0))
        too_fast = np.abs(qd) > self._qd_max
        for name, joints in (("joint limit", leaving), ("velocity", too_fast)):
            braked = joints & (command * np.sign(qd) > brake * np.sign(qd))
            if braked.any():
                command = np.where(braked, brake, command)
                layers.append(name)
        hand_m_s = jacobian(reading.q_rad)[:3] @ qd
        if self._share_in_box(reading, hand_m_s, self.limits.torque_look_ahead_s) < 1.0:
            command = brake
            layers.append("box")
        return Limited(command, " + ".join(layers))

    def _share_in_box(self, reading: ArmReading, hand_m_s: Array, ahead_s: float) -> float:
        """Largest share in [0, 1] of a hand velocity, (3,) [m/s], that does not lead out of the box within ``ahead_s``."""
        share = 1.0
        for i in range(3):
            travel = hand_m_s[i] * ahead_s
            room = (self._high[i] if travel > 0 else self._low[i]) - reading.hand_m[i]
            if abs(travel) > 1e-12 and travel / np.copysign(1.0, travel) > room * np.copysign(1.0, travel):
                share = min(share, max(room / travel, 0.0))
        return float(share)


def _usable(reading: ArmReading) -> bool:
    joints = (len(JOINT_NAMES),)
    shapes = reading.q_rad.shape == joints and reading.qd_rad_s.shape == joints and reading.hand_m.shape == (3,)
    return shapes and all(np.isfinite(x).all() for x in (reading.q_rad, reading.qd_rad_s, reading.hand_m))
