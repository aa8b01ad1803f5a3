"""Announcements of the supervisor: which episode, or which other state, applies to a cycle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.validation import check_vector
from tdm_ros.tasks import TaskSpec
from tdm_ros.types import LARGEST_CYCLE, CycleRange, check_identity

LONGEST_ID = 64
"""Longest identifier of a goal that is taken in [characters]."""


class State(IntEnum):
    """The system's state; the numbers are those of `Episode.msg`."""

    DISABLED = 0
    HOLD = 1
    RUNNING = 2
    PAUSED = 3
    FAULT = 4
    RESETTING = 5
    DONE = 6


class Mode(IntEnum):
    """What an episode is for; the numbers are those of `Episode.msg`."""

    TRAIN = 0
    EVALUATE = 1


class Source(IntEnum):
    """Who commanded a cycle; the numbers are those of `ArmState.msg`."""

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
    """One message of the supervisor, without ROS. It holds from ``start_cycle`` on.

    ``discarded`` are the cycles of whose transitions nobody is to learn; ``goal_id`` identifies a goal that somebody
    asked for, and is "" for one that was drawn.
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

    def key(self) -> tuple[int, int, int, int]:
        """What tells two announcements apart; a heartbeat repeats it."""
        return (int(self.state), int(self.mode), self.episode, self.start_cycle)


NOT_STARTED = Announcement(State.DISABLED, reason="no supervisor heard")


def check_announcement(told: Announcement, task: TaskSpec) -> str:
    """Return why an announcement cannot be used, or "" if it can."""
    if (told.state == State.RUNNING or told.goal.size) and (problem := check_vector(told.goal, task.goal.size)):
        return f"goal: {problem}"
    if told.state == State.RUNNING and (told.episode < 1 or told.length < 1):
        return "episode without number or length"
    if len(told.goal_id) > LONGEST_ID:
        return "goal_id is too long"
    if told.start_cycle > LARGEST_CYCLE:
        return "start_cycle out of range"
    if not (0 <= told.exploration <= 1 and 0 <= told.progress <= 1):
        return "exploration or progress not in 0..1"
    if any(check_identity(cycles.run, cycles.end) for cycles in told.discarded):
        return "discarded cycles out of range"
    return ""


class Timeline:
    """The announcement that holds now, and at most one that will hold later.

    The supervisor announces the next episode a few cycles ahead, so that none is lost between two.
    """

    def __init__(self) -> None:
        self.newest = NOT_STARTED
        self._current = NOT_STARTED

    def announce(self, told: Announcement, cycle: int) -> None:
        """Take an announcement in; ``cycle`` is the present one. A later one waits for it."""
        if self.newest.start_cycle <= cycle:
            self._current = self.newest
        self.newest = told
        if told.start_cycle <= cycle:
            self._current = told

    def at(self, cycle: int) -> Announcement:
        """The announcement that governs ``cycle``, which must not fall. An episode past its end is HOLD."""
        if self.newest.start_cycle <= cycle:
            self._current = self.newest
        told = self._current
        if told.state == State.RUNNING and cycle >= told.start_cycle + told.length:
            return replace(told, state=State.HOLD, episode=0, reason="episode over, nothing announced")
        return told
