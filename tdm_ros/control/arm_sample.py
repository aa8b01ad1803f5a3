"""State of the arm as all other nodes use it: checked, with the joints in our order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.command_check import JointOrder
from tdm_ros.control.input_check import check_vector


@dataclass(frozen=True)
class ArmSample:
    """A checked `ArmState`; what happened during the last cycle belongs to the cycle before ``cycle``.

    Parameters
    ----------
    cycle, stamp_ns : int
        Number and time of sampling [ns, ROS time]; the time identifies nothing.
    episode : int
        Episode of the last cycle; 0 for none.
    q_rad, qd_rad_s : (J,) float64 [rad], [rad/s]
    hand_m : (3,) float64 [m], frame base
    action : (A,) float32 in [-1, 1]
        What really moved the arm during the last cycle.
    source : int
        Who commanded the last cycle, a `Source`.
    limited : bool
    hold_reason : str
        Why the arm holds; empty while it moves.
    fault : str
        Why it stopped for good; empty if it did not.
    run, arm : str
        Run of the node `arm`, which with the cycle identifies the state; and the name of the arm.
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
    """Checks the arrays of a state and brings the joints into our order.

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
        """Return the index that reorders the joints and "", or None and what is wrong."""
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
