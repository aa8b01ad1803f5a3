"""State and command of an arm, as received from other nodes, and their validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.timeline import COMMANDED
from tdm_ros.control.validation import LARGEST, check_vector

UNKNOWN_JOINTS = "unknown, missing or duplicate joint names"


@dataclass(frozen=True)
class JointOrder:
    """Reorders joint arrays by name; ``names`` are the joints, J, in the order of this package."""

    names: tuple[str, ...]

    def index(self, received: Sequence[str]) -> NDArray[np.intp] | None:
        """Position of each joint in ``received``, (J,), or None if these are not exactly the same joints."""
        if tuple(received) == self.names:
            return np.arange(len(self.names))
        if len(received) != len(self.names) or set(received) != set(self.names):
            return None
        return np.array([list(received).index(name) for name in self.names])

    def of_state(
        self, names: Sequence[str], q_rad: ArrayLike, qd_rad_s: ArrayLike, hand_m: ArrayLike, action: ArrayLike
    ) -> tuple[NDArray[np.intp] | None, str]:
        """Return the index that reorders the joints of a state and "", or None and why its arrays cannot be used."""
        index, joints = self.index(names), len(self.names)
        if index is None:
            return None, UNKNOWN_JOINTS
        for key, values, size, largest in (
            ("position", q_rad, joints, LARGEST),
            ("velocity", qd_rad_s, joints, LARGEST),
            ("hand", hand_m, 3, LARGEST),
            ("executed action", action, joints, 1.0),
        ):
            if problem := check_vector(values, size, largest):
                return None, f"{key}: {problem}"
        return index, ""


@dataclass(frozen=True)
class ReceivedCommand:
    """Command as received, its stamp converted to an age."""

    cycle: int
    episode: int
    mode: int
    source: int
    age_s: float
    joint_names: Sequence[str]
    values: ArrayLike
    run: str = ""


@dataclass(frozen=True)
class CommandCheck:
    """Validation of a command for one run of the arm.

    `mode` is the number of the arm's mode in `Command.msg`; `max_age_s` the maximum age of the stamp, which is that of
    the answered state [s], and its maximum lead.
    """

    joints: JointOrder
    mode: int
    max_age_s: float = 0.1
    run: str = ""

    def values(self, command: ReceivedCommand, cycle: int) -> tuple[NDArray[np.float64] | None, str]:
        """Return the values in the order of ``joints``, (J,) float64, and "", or None and the reason."""
        if command.mode != self.mode:
            return None, "wrong mode"
        if command.source not in COMMANDED:
            return None, "unknown source"
        if not abs(command.age_s) <= self.max_age_s:
            return None, "stamp too old" if command.age_s > 0 else "stamp in the future"
        if command.run != self.run:
            return None, "for another run of the arm"
        if command.cycle not in (cycle, cycle - 1):
            return None, "cycle neither current nor previous"
        order = self.joints.index(command.joint_names)
        if order is None:
            return None, UNKNOWN_JOINTS
        values = np.asarray(command.values, np.float64)
        if values.shape != (len(self.joints.names),):
            return None, "wrong number of values"
        if not np.isfinite(values).all():
            return None, "values not finite"
        return values[order], ""


@dataclass(frozen=True)
class ArmSample:
    """Validated `ArmState.msg`; episode, action, source and limited describe the cycle before ``cycle``.

    Joints are in the order of this package; run and cycle identify the state, ``stamp_ns`` [ns, ROS time] nothing.
    """

    cycle: int
    stamp_ns: int
    episode: int
    q_rad: NDArray[np.float64]
    qd_rad_s: NDArray[np.float64]
    hand_m: NDArray[np.float64]
    action: NDArray[np.float32]
    source: int
    limited: bool = False
    hold_reason: str = ""
    fault: str = ""
    run: str = ""
    arm: str = ""
    object_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(2,) [m], of the object that is pushed; empty where there is none."""
