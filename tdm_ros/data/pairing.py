"""Transitions from states: consecutive cycles of one run, several arms, any order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import COMMANDED, Announcement, Source
from tdm_ros.data.log import LoggedTransition
from tdm_ros.replay.store import Step
from tdm_ros.tasks import observe
from tdm_ros.types import CycleRange, CycleSet, RunNames


def chains(begins: Sequence[Hashable], ends: Sequence[Hashable]) -> list[list[int]]:
    """Positions of each unbroken chain, the chains in the order of their first members.

    Parameters
    ----------
    begins, ends : sequence of hashable, of one length
        What each item begins with, and what the one after it must begin with.
    """
    waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for position, begin in enumerate(begins):
        waiting[begin].append(position)
    after: dict[int, int] = {}
    for position, end in enumerate(ends):
        if found := waiting.get(end):
            after[position] = found.popleft()
    followers = set(after.values())
    made = []
    for position in range(len(begins)):
        if position not in followers:
            chain = [position]
            while (follower := after.get(chain[-1])) is not None:
                chain.append(follower)
            made.append(chain)
    return made


PATIENCE = 200
"""Steps of one arm that wait for the end of another one's trajectory; that arm may be gone for ever."""


class Interleave:
    """Passes the steps of one arm on as they come, and keeps those of the others until its trajectory has ended.

    Of a single arm nothing ever waits. Of several, steps wait about as long as an episode lasts.

    Parameters
    ----------
    write : callable
        Takes an arm's name and its next step.
    close : callable
        Ends the trajectory that is open.
    """

    def __init__(self, write: Callable[[str, LoggedTransition], None], close: Callable[[], None]) -> None:
        self._write, self._close = write, close
        self._open: str | None = None
        self._waiting: dict[str, list[LoggedTransition]] = {}

    @property
    def waiting(self) -> int:
        """How many steps wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, arm: str, step: LoggedTransition) -> None:
        """Take the next step of an arm; ``last`` says that its trajectory ends with it."""
        if self._open in (None, arm):
            self._put(arm, step)
        else:
            waiting = self._waiting.setdefault(arm, [])
            waiting.append(step)
            if len(waiting) > PATIENCE:
                self._close()
                self._open = None
        self._go_on()

    def settle(self) -> None:
        """Let nothing wait any more: end trajectories that are open."""
        while self._waiting:
            if self._open is not None:
                self._close()
                self._open = None
            self._go_on()

    def _put(self, arm: str, step: LoggedTransition) -> None:
        self._write(arm, step)
        self._open = None if step.last else arm

    def _go_on(self) -> None:
        """While no trajectory is open, pass on one that waits; one that has ended, if there is one."""
        while self._open is None and self._waiting:
            whole = (arm for arm, steps in self._waiting.items() if any(step.last for step in steps))
            arm = next(whole, next(iter(self._waiting)))
            steps = self._waiting.pop(arm)
            count = next((number for number, step in enumerate(steps, start=1) if step.last), len(steps))
            for step in steps[:count]:
                self._put(arm, step)
            if steps[count:]:
                self._waiting[arm] = steps[count:]


def _kind(source: int) -> Source:
    """Transitions of one piece are of one kind: commanded, driven home, or held."""
    return Source.POLICY if source in COMMANDED else Source(source)


LARGEST_STEP = 2**32 - 1
RUNS = 4
"""Runs of an arm whose newest states are kept: a foreign state on the topic does not interrupt the recording."""


class Pairing:
    """Pairs states into transitions, one cycle late, because only the next cycle tells which was the last.

    Parameters
    ----------
    find : callable
        Gives the announcement of an episode by number, or None if it is not known.
    """

    def __init__(self, find: Callable[[int], Announcement | None]) -> None:
        self._find = find
        self._before: dict[str, ArmSample] = {}
        self._waiting: LoggedTransition | None = None
        self.gaps = 0
        """Cycles that were lost between two states."""
        self.orphans = 0
        """Transitions dropped because their episode was never announced to us, or for other cycles."""

    def add(self, sample: ArmSample) -> LoggedTransition | None:
        """Take the next state in; return the transition that is complete now, if one is."""
        before = self._before.pop(sample.run, None)
        if before is not None and sample.cycle == before.cycle:
            self._before[sample.run] = before
            return None
        self._before[sample.run] = sample
        if len(self._before) > RUNS:
            del self._before[next(iter(self._before))]
        if before is None or sample.cycle != before.cycle + 1:
            self.gaps += 0 if before is None else max(sample.cycle - before.cycle - 1, 0)
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
        if after is None or (after.run, after.cycle) != (ready.run, ready.cycle + 1):
            return False
        return after.episode == ready.episode and _kind(after.source) == _kind(ready.source)

    def _pair(self, before: ArmSample, after: ArmSample) -> LoggedTransition | None:
        """Make a transition, or None for a cycle that belongs to no episode, no drive home and no person."""
        free = after.source == Source.RESET or (after.source == Source.HUMAN and after.episode == 0)
        if after.episode == 0 and not free:
            return None
        told = self._find(after.episode)
        number = before.cycle - told.start_cycle if told else 0
        if not 0 <= number <= LARGEST_STEP:  # the episode was announced for other cycles
            told, number = None, 0
        if told is None and not free:
            self.orphans += 1
            return None
        # Between episodes the operator has no goal: it is where the hand gets.
        reached = after.hand_m if after.source == Source.HUMAN else ()
        goal: NDArray[np.float32] = told.goal if told else np.array(reached, np.float32)
        step = Step(
            observe(before.q_rad, before.qd_rad_s, before.hand_m),
            after.action,
            observe(after.q_rad, after.qd_rad_s, after.hand_m),
            before.hand_m.astype(np.float32),
            after.hand_m.astype(np.float32),
            goal,
            False,
        )
        return LoggedTransition(
            step,
            after.episode,
            number,
            before.cycle,
            before.stamp_ns,
            int(after.source),
            after.limited,
            last=False,
            run=after.run,
            arm=after.arm,
        )


class Joining:
    """Feeds transitions to a learner so that no trajectory runs across a hole in what was received.

    A killed collector cannot mark its last transition as the last of its piece; the reader sees it from what
    comes next. Transitions that were seen before, and those that nobody learns from, are left out.
    """

    def __init__(self) -> None:
        self._waiting: LoggedTransition | None = None
        self._seen, self._names = CycleSet(), RunNames()
        self._next: tuple[str, int] | None = None
        self.repeated = 0
        """Transitions that came again."""

    def add(self, transition: LoggedTransition) -> LoggedTransition | None:
        """Take the next transition in; return the one before it, its ``last`` now certain, or None."""
        run, cycle = self._names.of(transition.run, transition.cycle), transition.cycle
        if not self._seen.add(CycleRange(run, cycle, cycle + 1)):
            self.repeated += 1
            return None
        adjacent, self._next = self._next == (run, cycle), (run, cycle + 1)
        ready, self._waiting = self._waiting, transition if transition.source in COMMANDED else None
        if ready is None:
            return None
        follows = adjacent and transition.episode == ready.episode and self._waiting is not None
        return ready if follows else replace(ready, last=True)

    def has(self, transition: LoggedTransition) -> bool:
        """Whether a transition, which names its run, was seen before."""
        return self._seen.has(transition.run, transition.cycle)

    def follows(self, transition: LoggedTransition) -> bool:
        """Whether nothing can lie between this transition and what was seen before it."""
        return self._next == (transition.run, transition.cycle) or self.has(transition)

    def flush(self) -> LoggedTransition | None:
        """The transition that waits for its successor, as the last of its piece: there will be none."""
        ready, self._waiting = self._waiting, None
        return replace(ready, last=True) if ready else None
