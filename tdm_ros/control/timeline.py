"""Announcements of the supervisor: the state, and the episode, that applies to a cycle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.validation import check_vector
from tdm_ros.tasks import TaskSpec
from tdm_ros.types import LARGEST_CYCLE, CycleRange, check_identity

DEMONSTRATION = "demonstration"
"""Mode of an episode in which only the operator moves the arm, in metrics and summaries."""
LONGEST_ID = 64
"""Maximum length of the identifier of a goal [characters]."""


class State(IntEnum):
    """State of the system; the numbers are those of `Episode.msg`."""

    DISABLED = 0
    HOLD = 1
    RUNNING = 2
    PAUSED = 3
    FAULT = 4
    RESETTING = 5
    DONE = 6


class Mode(IntEnum):
    """Purpose of an episode; the numbers are those of `Episode.msg`."""

    TRAIN = 0
    EVALUATE = 1


class Source(IntEnum):
    """Source of the command of a cycle; the numbers are those of `ArmState.msg`."""

    NONE = 0
    POLICY = 1
    HUMAN = 2
    RANDOM = 3
    RESET = 4
    SAFETY = 5


COMMANDED = frozenset({Source.POLICY, Source.HUMAN, Source.RANDOM})
"""Sources whose cycles are experience to learn from."""


@dataclass(frozen=True)
class Announcement:
    """One `Episode` message of the supervisor, without ROS. It applies from ``start_cycle`` on.

    ``discarded``: cycles that the operator discarded; their transitions are not learned from. ``goal_id``: identifier
    of a requested goal; "" for a drawn one.
    """

    state: State
    mode: Mode = Mode.TRAIN
    episode: int = 0
    start_cycle: int = 0
    length: int = 0
    goal: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    exploration: float = 0.0
    progress: float = 0.0
    reason: str = ""
    discarded: tuple[CycleRange, ...] = ()
    goal_id: str = ""

    @property
    def demonstration(self) -> bool:
        """Whether it is an episode in which only the operator moves the arm."""
        return self.state == State.HOLD and self.episode > 0

    def key(self) -> tuple[int, int, int, int]:
        """Identity of an announcement; a heartbeat repeats it."""
        return (int(self.state), int(self.mode), self.episode, self.start_cycle)


NOT_STARTED = Announcement(State.DISABLED, reason="no announcement received")


def check_announcement(announced: Announcement, task: TaskSpec) -> str:
    """Return why an announcement cannot be used, or "" if it can."""
    if (announced.state == State.RUNNING or announced.goal.size) and (
        problem := check_vector(announced.goal, task.goal.size)
    ):
        return f"goal: {problem}"
    if announced.state == State.RUNNING and (announced.episode < 1 or announced.length < 1):
        return "episode without number or length"
    if len(announced.goal_id) > LONGEST_ID:
        return "goal_id is too long"
    if announced.start_cycle > LARGEST_CYCLE:
        return "start_cycle out of range"
    if not (0 <= announced.exploration <= 1 and 0 <= announced.progress <= 1):
        return "exploration or progress not in 0..1"
    if any(check_identity(cycles.run, cycles.end) for cycles in announced.discarded):
        return "discarded cycles out of range"
    return ""


class Timeline:
    """The announcement that applies now, and at most one that applies later.

    The supervisor announces the next episode a few cycles ahead, so that no cycle is lost between two.
    """

    def __init__(self) -> None:
        self.newest = NOT_STARTED
        self._current = NOT_STARTED

    def announce(self, announced: Announcement, cycle: int) -> None:
        """Take in an announcement; ``cycle`` is the present one."""
        if self.newest.start_cycle <= cycle:
            self._current = self.newest
        self.newest = announced
        if announced.start_cycle <= cycle:
            self._current = announced

    def at(self, cycle: int) -> Announcement:
        """The announcement that applies to ``cycle``, which must not decrease; HOLD after the end of an episode."""
        if self.newest.start_cycle <= cycle:
            self._current = self.newest
        announced = self._current
        if announced.state == State.RUNNING and cycle >= announced.start_cycle + announced.length:
            return replace(announced, state=State.HOLD, episode=0, reason="episode over, nothing announced")
        return announced
