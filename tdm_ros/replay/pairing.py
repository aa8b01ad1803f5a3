"""Two states from consecutive cycles make one transition; nothing is glued across a gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_sample import ArmSample
from tdm_ros.control.timeline import COMMANDED, Announcement, Source
from tdm_ros.replay.log import LoggedTransition
from tdm_ros.replay.store import Step
from tdm_ros.tasks import observe


def _kind(source: int) -> Source:
    """Transitions of one piece are of one kind: commanded, driven home, or held."""
    return Source.POLICY if source in COMMANDED else Source(source)


class Pairing:
    """Pairs states into transitions, one cycle late, because only the next cycle tells which was the last.

    Parameters
    ----------
    find : callable
        Gives the announcement of an episode by number, or None if it is not known.
    """

    def __init__(self, find: Callable[[int], Announcement | None]) -> None:
        self._find = find
        self._before: ArmSample | None = None
        self._waiting: LoggedTransition | None = None
        self.gaps = 0
        """Cycles that were lost between two states."""
        self.orphans = 0
        """Transitions dropped because their episode was never announced to us."""

    def add(self, sample: ArmSample) -> LoggedTransition | None:
        """Take the next state in; return the transition that is complete now, if one is."""
        before, self._before = self._before, sample
        if before is not None and sample.cycle <= before.cycle:
            self._before = before if sample.cycle == before.cycle else sample
            return self.flush() if sample.cycle < before.cycle else None
        if before is None or sample.cycle != before.cycle + 1:
            self.gaps += 0 if before is None else sample.cycle - before.cycle - 1
            return self.flush()
        ready, self._waiting = self._waiting, self._pair(before, sample)
        if ready is None:
            return None
        return ready if self._goes_on(ready) else replace(ready, last=True)

    def flush(self) -> LoggedTransition | None:
        """Close the transition that waits for its successor: there will be none."""
        ready, self._waiting = self._waiting, None
        return replace(ready, last=True) if ready else None

    def _goes_on(self, ready: LoggedTransition) -> bool:
        after = self._waiting
        return after is not None and after.episode == ready.episode and _kind(after.source) == _kind(ready.source)

    def _pair(self, before: ArmSample, after: ArmSample) -> LoggedTransition | None:
        """Make a transition, or None for a cycle that belongs to no episode, no drive home and no person."""
        free = after.source == Source.RESET or (after.source == Source.HUMAN and after.episode == 0)
        if after.episode == 0 and not free:
            return None
        told = self._find(after.episode)
        if told is None and not free:
            self.orphans += 1
            return None
        # Between episodes nobody asks a person for anything: she gets where she wants to be.
        hers = after.hand_m if after.source == Source.HUMAN else ()
        goal: NDArray[np.float32] = told.goal if told else np.array(hers, np.float32)
        step = Step(
            observe(before.q_rad, before.qd_rad_s, before.hand_m),
            after.action,
            observe(after.q_rad, after.qd_rad_s, after.hand_m),
            before.hand_m.astype(np.float32),
            after.hand_m.astype(np.float32),
            goal,
            False,
        )
        number = before.cycle - told.start_cycle if told else 0
        return LoggedTransition(
            step,
            after.episode,
            number,
            before.cycle,
            before.stamp_ns,
            int(after.source),
            after.limited,
            last=False,
        )


class Joining:
    """Feeds transitions to a learner so that no trajectory runs across a hole in what was received.

    A killed collector can not mark its last transition as the last of its piece; the reader sees it from what
    comes next. Transitions that were seen before, and those that nobody learns from, are left out.
    """

    def __init__(self) -> None:
        self._waiting: LoggedTransition | None = None
        self.newest_ns = -1
        """Stamp of the newest transition that was seen [ns]; -1: none was."""
        self._newest_cycle = -1
        self.repeated = 0
        """Transitions that came again."""

    def add(self, transition: LoggedTransition) -> LoggedTransition | None:
        """Take the next transition in; return the one before it, its ``last`` now certain, or None."""
        if transition.stamp_ns <= self.newest_ns:
            self.repeated += 1
            return None
        self.newest_ns, self._newest_cycle = transition.stamp_ns, transition.cycle
        ready, self._waiting = self._waiting, transition if transition.source in COMMANDED else None
        if ready is None:
            return None
        follows = transition.cycle == ready.cycle + 1 and transition.episode == ready.episode
        return ready if follows and self._waiting is not None else replace(ready, last=True)

    def follows(self, transition: LoggedTransition) -> bool:
        """Whether nothing can lie between this transition and what was seen before it."""
        return transition.stamp_ns <= self.newest_ns or transition.cycle == self._newest_cycle + 1

    def flush(self) -> LoggedTransition | None:
        """The transition that waits for its successor, as the last of its piece: there will be none."""
        ready, self._waiting = self._waiting, None
        return replace(ready, last=True) if ready else None
