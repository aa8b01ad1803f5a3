"""Limiter, the last check before the motors: a command passes, is rejected, scaled down or replaced by braking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.limits import ArmReading, Limits
from tdm_ros.robot.sawyer import JOINT_NAMES
from tdm_ros.robot.torque_limiter import TorqueLimiter
from tdm_ros.robot.velocity_limiter import VelocityLimiter

Array = NDArray[np.float64]
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
