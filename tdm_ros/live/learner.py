"""Learning while arms move: experience arrives at any time, updates are made in between."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.log import Discarded, LoggedTransition, TimeSpan
from tdm_ros.data.pairing import Interleave, Joining
from tdm_ros.replay.store import check_step
from tdm_ros.training.learner import Learner
from tdm_ros.types import CycleRange, CycleSet, check_identity

PORTION = 2
"""Updates between two looks at the clock; one takes about 8 ms."""


@dataclass
class _Arm:
    """What came from one arm: which transitions, how many are in the store, and what is discarded."""

    joining: Joining = field(default_factory=Joining)
    taken: int = 0
    discarded: CycleSet = field(default_factory=CycleSet)
    discarded_times: set[TimeSpan] = field(default_factory=set)

    def discards(self, transition: LoggedTransition) -> bool:
        """Whether nobody is to learn from a transition."""
        if transition.run:
            return self.discarded.has(transition.run, transition.cycle)
        return any(begin <= transition.stamp_ns < end for begin, end in self.discarded_times)


class _Held:
    """Identity of each transition in a store, by its number there; it needs no more memory than the store.

    Parameters
    ----------
    capacity : int
        Of the store.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows = np.zeros(min(capacity, 4096), [("run", np.int64), ("cycle", np.int64), ("stamp_ns", np.int64)])
        self._total = 0

    def put(self, number: int, arm: str, transition: LoggedTransition) -> None:
        """Note what the transition with this number in the store is."""
        slot = number % self._capacity
        if slot >= len(self._rows):
            self._rows = np.resize(self._rows, min(2 * len(self._rows), self._capacity))
        self._rows[slot] = (hash((arm, transition.run)), transition.cycle, transition.stamp_ns)
        self._total = number + 1

    def find(self, arm: str, discarded: Discarded) -> NDArray[np.int64]:
        """Numbers of the transitions of an arm that are in a range, (N,)."""
        rows = self._rows[: min(self._total, self._capacity)]
        older = isinstance(discarded, TimeSpan)
        run, begin, end = ("", *discarded) if isinstance(discarded, TimeSpan) else discarded
        values = rows["stamp_ns" if older else "cycle"]
        slots = np.flatnonzero((rows["run"] == hash((arm, run))) & (values >= begin) & (values < end))
        newest = self._total - 1
        return np.asarray(newest - (newest - slots) % self._capacity, np.int64)


class LiveLearning:
    """Feeds a learner from streams of transitions, one for each arm, and learns within a budget of time.

    Arms are told apart by name; a single one needs none. Cycles, episodes and discarded stretches are those of an arm,
    and no trajectory is made of the steps of two.

    Parameters
    ----------
    learner : Learner
    clock : callable
        Steady time [s].
    """

    def __init__(self, learner: Learner, clock: Callable[[], float] = time.monotonic) -> None:
        self.learner = learner
        self._clock = clock
        self._arms: defaultdict[str, _Arm] = defaultdict(_Arm)
        self._held = _Held(learner.store.capacity)
        self._interleave = Interleave(self._write, learner.store.close)

    @property
    def repeated(self) -> int:
        """Transitions that were seen before."""
        return sum(arm.joining.repeated for arm in self._arms.values())

    @property
    def taken(self) -> dict[str, int]:
        """How many transitions of each arm the replay was given."""
        return {name: arm.taken for name, arm in self._arms.items()}

    @property
    def discarded(self) -> int:
        """Transitions that a person discarded, among those that are held."""
        return len(self.learner.store) - self.learner.store.usable

    def has(self, transition: LoggedTransition, arm: str = "") -> bool:
        """Whether a transition of an arm was taken in before."""
        return self._arms[arm].joining.has(transition)

    def follows(self, transition: LoggedTransition, arm: str = "") -> bool:
        """Whether nothing of the arm can be missing before this transition."""
        return self._arms[arm].joining.follows(transition)

    def add(self, transition: LoggedTransition, arm: str = "") -> None:
        """Take one transition in, from the log or live; one that was seen before is left out.

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite or physical, or the identity is none.
        """
        if problem := check_identity(transition.run or "of a log without runs", transition.cycle):
            raise ValueError(problem)
        if transition.source in COMMANDED:
            check_step(transition.step, self.learner.task)
        ready = self._arms[arm].joining.add(transition)
        if ready is not None:
            self._interleave.add(arm, ready)

    def _write(self, name: str, ready: LoggedTransition) -> None:
        arm, number = self._arms[name], self.learner.transitions
        self.learner.add(ready.step, ready.last, ready.source == Source.HUMAN)
        self._held.put(number, name, ready)
        arm.taken += 1
        if arm.discards(ready):
            self.learner.store.discard(np.array([number]))

    def settle(self) -> None:
        """Hand over what still waits because another arm's trajectory is not over."""
        self._interleave.settle()

    def discard(self, discarded: Iterable[Discarded], arm: str = "") -> int:
        """Learn no more from these transitions of an arm, be they here or still to come; return how many are here."""
        known, count = self._arms[arm], 0
        for one in discarded:
            if isinstance(one, CycleRange):
                fresh = known.discarded.add(one)
            else:
                fresh = one not in known.discarded_times
                known.discarded_times.add(one)
            if fresh:
                found = self._held.find(arm, one)
                self.learner.store.discard(found)
                count += len(found)
        return count

    def rebuild(self, transitions: Iterable[LoggedTransition], arm: str = "") -> list[str]:
        """Take an arm's log in; return why transitions were left out: bytes of a log may be changed."""
        problems = []
        for transition in transitions:
            try:
                self.add(transition, arm)
            except ValueError as error:
                problems.append(str(error))
        return problems

    def learn(self, budget_s: float) -> int:
        """Make updates that are due for at most about ``budget_s`` [s]; return how many."""
        end_s = self._clock() + budget_s
        made = 0
        while self._clock() < end_s and (due := self.learner.updates_due()) > 0:
            count = min(due, PORTION)
            self.learner.update(count)
            made += count
        return made
