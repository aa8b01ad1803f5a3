"""State and command of an arm, as received from other nodes, and their validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.timeline import COMMANDED
from tdm_ros.control.validation import check_vector


@dataclass(frozen=True)
class JointOrder:
    """Reorders joint arrays by name.

    Parameters
    ----------
    names : tuple of str, length J
        Joints in the order of this package.
    """

    names: tuple[str, ...]

    def index(self, received: Sequence[str]) -> NDArray[np.intp] | None:
        """Position of each joint in ``received``, (J,), or None if these are not exactly the same joints."""
        if tuple(received) == self.names:
            return np.arange(len(self.names))
        if len(received) != len(self.names) or set(received) != set(self.names):
            return None
        return np.array([list(received).index(name) for name in self.names])


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
    """Validation of a command.

    Parameters
    ----------
    joints : JointOrder
    mode : int
        Number of the arm's mode in `Command.msg`.
    max_age_s : float
        Maximum age of the stamp, which is that of the answered state [s]; also its maximum lead.
    run : str
        Run of the arm; a command for another one is rejected.
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
            return None, "unknown, missing or duplicate joint names"
        values = np.asarray(command.values, np.float64)
        if values.shape != (len(self.joints.names),):
            return None, "wrong number of values"
        if not np.isfinite(values).all():
            return None, "values not finite"
        return values[order], ""


@dataclass(frozen=True)
class ArmSample:
    """Validated `ArmState`; episode, action, source and limited describe the cycle before ``cycle``.

    Parameters
    ----------
    cycle, stamp_ns : int
        Number and time of sampling [ns, ROS time]; the time identifies nothing.
    episode : int
        Episode of the last cycle; 0 for none.
    q_rad, qd_rad_s : (J,) float64 [rad], [rad/s]
    hand_m : (3,) float64 [m], frame base
    action : (A,) float32 in [-1, 1]
        Executed action of the last cycle.
    source : int
        Source of the last cycle, a `Source`.
    limited : bool
    hold_reason : str
        Reason for which the arm holds; empty while it moves.
    fault : str
        Reason of its fault; empty without one.
    run, arm : str
        Run of the node `arm`, which identifies the state together with the cycle; name of the arm.
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


@dataclass(frozen=True)
class SampleCheck:
    """Validation of the arrays of a state, and the order of its joints.

    Parameters
    ----------
    joints : JointOrder
    actions : int
        Length A of the executed action.
    """

    joints: JointOrder
    actions: int

    def order(
        self, names: Sequence[str], arrays: dict[str, ArrayLike], hand: ArrayLike, action: ArrayLike
    ) -> tuple[NDArray[np.intp] | None, str]:
        """Return the index that reorders the joints and "", or None and the reason."""
        index = self.joints.index(names)
        if index is None:
            return None, "unknown, missing or duplicate joint names"
        sized = {key: (values, len(self.joints.names)) for key, values in arrays.items()}
        sized |= {"hand": (hand, 3)}
        for key, (values, size) in sized.items():
            if problem := check_vector(values, size):
                return None, f"{key}: {problem}"
        if problem := check_vector(action, self.actions, largest=1.0):
            return None, f"executed action: {problem}"
        return index, ""
