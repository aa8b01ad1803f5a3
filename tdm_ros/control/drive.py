"""Interface between `ArmControl` and an arm: drive, time limits, report of a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.timeline import Source
from tdm_ros.robot.actuation import Actuation
from tdm_ros.robot.limiter import ArmReading, Limited


class Executed(Protocol):
    """What moved the arm during a cycle."""

    @property
    def action(self) -> NDArray[np.float32]: ...
    @property
    def limited(self) -> bool: ...
    @property
    def layer(self) -> str: ...


class Drive(Protocol):
    """Turns commands of one unit into motion; `robot.ArmCycle` is one."""

    @property
    def actuation(self) -> Actuation: ...
    def command(self, values: ArrayLike) -> Limited: ...
    def hold(self) -> None: ...
    def advance(self, substeps: int) -> None: ...
    def finish(self) -> Executed: ...
    def reading(self) -> ArmReading: ...
    def problem(self) -> str: ...
    def guided(self) -> bool: ...


class By(Enum):
    """How a person moves the arm."""

    STICK = "stick"
    """Velocities of the hand, which go through the limiter."""
    CUFF = "cuff"
    """The operator guides the arm by hand, which follows no command meanwhile."""


@dataclass(frozen=True)
class ArmTiming:
    """Times of the arm's loop.

    Parameters
    ----------
    period_s : float
        One control cycle [s].
    substeps : int
        Steps of physics in a cycle.
    command_timeout_s : float
        The arm holds when the last command is older than this [s].
    supervisor_timeout_s : float
        The arm holds when the supervisor was last heard this long ago [s].
    """

    period_s: float = 0.05
    substeps: int = 25
    command_timeout_s: float = 0.1
    supervisor_timeout_s: float = 1.0


@dataclass(frozen=True)
class CycleReport:
    """How one cycle went."""

    executed: Executed
    episode: int
    source: Source
    answered: bool
    expected: bool
    hold_reason: str
    fault: str = ""
    """Why the arm stopped for good; only a person clears it."""
