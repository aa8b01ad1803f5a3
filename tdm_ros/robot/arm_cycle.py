"""One control cycle of an arm: the only place where a command becomes motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.arm import Arm
from tdm_ros.robot.limiter import ArmReading, Limited, Limiter


@dataclass(frozen=True)
class Executed:
    """What moved the arm during one cycle.

    Parameters
    ----------
    action : (J,) float32, in [-1, 1]
        Mean over the cycle, weighted by time; zero while holding.
    limited : bool
        The limiter changed a command of this cycle.
    layer : str
        Which of its layers acted last, empty if none.
    """

    action: NDArray[np.float32]
    limited: bool
    layer: str


class ArmCycle:
    """Commands in, motion and the executed action out; used by the environment and by the arm node alike.

    Parameters
    ----------
    arm : Arm
    limiter : Limiter
    actuation : Actuation
        Unit of the commands.
    """

    def __init__(self, arm: Arm, limiter: Limiter, actuation: Actuation) -> None:
        self.arm = arm
        self.limiter = limiter
        self.actuation = actuation
        self._wanted: NDArray[np.float64] | None = None
        self.restart()

    def restart(self) -> None:
        """Forget the running cycle and hold; call this after a simulated arm was reset."""
        self._layer = ""
        self._substeps = 0
        self._sum = np.zeros(self.actuation.scale.shape)
        self._continued = False
        self._before: NDArray[np.float64] | None = None
        self.hold()

    def reading(self) -> ArmReading:
        """What the arm reports now, and the velocities commanded as the cycle before ended."""
        return replace(self.arm.reading(), commanded_rad_s=self._before)

    def problem(self) -> str:
        """What is wrong with the arm, or ""."""
        return self.arm.problem()

    def guided(self) -> bool:
        """Whether a person moves the arm by hand, so that it follows no command."""
        return self.arm.guided()

    def command(self, values: ArrayLike) -> Limited:
        """Follow (J,) [rad/s or N m] from now on, after the limiter; hold if they are unusable."""
        limited = self.limiter.apply(values, self.reading())
        if limited.refused:
            self.hold()
        else:
            self._wanted, self._moving = np.array(values, np.float64), limited.command
            self._continued = False
            self.arm.drive(self.actuation.mode, limited.command)
        self._layer = limited.layer or self._layer
        return limited

    def hold(self) -> None:
        """Stop, and stay."""
        self._wanted = None
        self._moving = np.zeros(self.actuation.scale.shape)
        self.arm.hold()

    def advance(self, substeps: int) -> None:
        """Let ``substeps`` x 2 ms pass. A command continued from the cycle before is judged afresh first.

        Raises
        ------
        ValueError
            If ``substeps`` is negative.
        """
        if substeps and self._continued and self._wanted is not None:
            self.command(self._wanted)
        self.arm.advance(substeps)
        self._sum += substeps * self._moving
        self._substeps += substeps

    def finish(self) -> Executed:
        """End the cycle, say what moved the arm during it, and start the next one."""
        mean = self._sum / max(self._substeps, 1)
        executed = Executed(self.actuation.to_action(mean), bool(self._layer), self._layer)
        self._layer = ""
        self._substeps = 0
        self._continued = True
        self._before = self._moving if self.actuation.mode == "velocity" else None
        self._sum = np.zeros_like(self._sum)
        return executed
