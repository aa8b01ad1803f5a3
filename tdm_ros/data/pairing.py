"""Transitions from states of consecutive cycles, and their order: gaps, duplicates, several arms."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import COMMANDED, Announcement, Source
from tdm_ros.types import CycleRange, CycleSet, LoggedTransition, RunNames, Step


def chains(begins: Sequence[Hashable], ends: Sequence[Hashable]) -> list[list[int]]:
    """Positions of the items of each unbroken chain, chains in the order of their first items.

    From the key of each item, and the key of the item that continues it.
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
"""Largest number of steps of one arm that wait for the end of another one's trajectory, whose arm may have stopped."""


class TrajectoryQueue:
    """Queue that writes whole trajectories of several arms one after the other.

    Steps of one arm are written as they arrive, by ``write``, those of others wait until its trajectory has ended,
    about the length of an episode; ``close`` ends the open trajectory. With a single arm no step waits.
    """

    def __init__(self, write: Callable[[str, LoggedTransition], None], close: Callable[[], None]) -> None:
        self._write, self._close = write, close
        self._open: str | None = None
        self._waiting: dict[str, list[LoggedTransition]] = {}

    @property
    def waiting(self) -> int:
        """Number of waiting steps."""
        return sum(map(len, self._waiting.values()))

    def add(self, arm: str, step: LoggedTransition) -> None:
        """Add the next step of an arm; its trajectory ends with a step that is ``last``."""
        if self._open in (None, arm):
            self._put(arm, step)
        else:
            waiting = self._waiting.setdefault(arm, [])
            waiting.append(step)
            if len(waiting) > PATIENCE:
                self._close()
                self._open = None
        self._write_waiting()

    def settle(self) -> None:
        """Write all waiting steps; open trajectories end."""
        while self._waiting:
            if self._open is not None:
                self._close()
                self._open = None
            self._write_waiting()

    def _put(self, arm: str, step: LoggedTransition) -> None:
        self._write(arm, step)
        self._open = None if step.last else arm

    def _write_waiting(self) -> None:
        """While no trajectory is open, write a waiting one, preferably one that has ended."""
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
    """Kind of a source: transitions of one piece are all commanded, all motions home, or all holds."""
    return Source.POLICY if source in COMMANDED else Source(source)


LARGEST_STEP = 2**32 - 1
RUNS = 4
"""Number of runs whose newest states are kept, so that a foreign state on the topic interrupts no recording."""


class TransitionBuilder:
    """Pairs states into transitions, one cycle late, since the next cycle determines whether one is the last.

    ``find`` returns the announcement of an episode by number, or None if it is unknown.
    """

    def __init__(self, find: Callable[[int], Announcement | None], task: LiveTask) -> None:
        self._find, self._task = find, task
        self._before: dict[str, ArmSample] = {}
        self._waiting: LoggedTransition | None = None
        self.gaps = 0
        """Number of cycles that are missing between two states."""
        self.orphans = 0
        """Number of transitions without an announcement of their episode for their cycles, or without the object that
        their task needs; they are dropped."""

    def add(self, sample: ArmSample) -> LoggedTransition | None:
        """Add the next state; return the transition that is complete now, or None."""
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
        return ready if self._continues(ready) else replace(ready, last=True)

    def flush(self) -> LoggedTransition | None:
        """Return the waiting transition, or None, as the last of its piece."""
        ready, self._waiting = self._waiting, None
        return replace(ready, last=True) if ready else None

    def _continues(self, ready: LoggedTransition) -> bool:
        after = self._waiting
        if after is None or (after.run, after.cycle) != (ready.run, ready.cycle + 1):
            return False
        return after.episode == ready.episode and _kind(after.source) == _kind(ready.source)

    def _pair(self, before: ArmSample, after: ArmSample) -> LoggedTransition | None:
        """Make a transition; None where nothing moved the arm: between episodes, and while a demonstration waits."""
        free = after.source == Source.RESET or (after.source == Source.HUMAN and after.episode == 0)
        if after.episode == 0 and not free:
            return None
        announced = self._find(after.episode)
        number = before.cycle - announced.start_cycle if announced else 0
        if not 0 <= number <= LARGEST_STEP:  # the episode was announced for other cycles
            announced, number = None, 0
        if announced is None and not free:
            self.orphans += 1
            return None
        if announced and announced.demonstration and after.source != Source.HUMAN:
            return None
        task = self._task
        if task.problem(before) or task.problem(after):
            self.orphans += 1
            return None
        achieved, reached = task.achieved(before), task.achieved(after)
        # Between episodes the operator has no goal: the goal is what is reached.
        goal: NDArray[np.float32] = reached if after.source == Source.HUMAN else np.zeros(0, np.float32)
        if announced:
            goal = announced.goal
        step = Step(
            task.observe(before), task.action(before, after), task.observe(after), achieved, reached, goal, False
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


class TransitionFilter:
    """Filter of a stream of transitions before a learner: no trajectory continues across a gap.

    A killed collector cannot mark its last transition as the last of its piece; the next transition shows it.
    Duplicates, and transitions that are not experience to learn from, are left out.
    """

    def __init__(self) -> None:
        self._waiting: LoggedTransition | None = None
        self._seen, self._names = CycleSet(), RunNames()
        self._next: tuple[str, int] | None = None
        self.repeated = 0
        """Number of duplicates."""

    def add(self, transition: LoggedTransition) -> LoggedTransition | None:
        """Add the next transition; return the one before it, with its final ``last``, or None."""
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
        """Whether a transition, which names its run, was added before."""
        return self._seen.has(transition.run, transition.cycle)

    def follows(self, transition: LoggedTransition) -> bool:
        """Whether no transition is missing between this one and the one that was added last."""
        return self._next == (transition.run, transition.cycle) or self.has(transition)

    def flush(self) -> LoggedTransition | None:
        """Return the waiting transition, or None, as the last of its piece."""
        ready, self._waiting = self._waiting, None
        return replace(ready, last=True) if ready else None
