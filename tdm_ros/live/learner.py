"""Learning while arms move: transitions arrive at any time, updates are made in between."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.log import TransitionLog
from tdm_ros.data.pairing import TrajectoryQueue, TransitionFilter
from tdm_ros.replay.store import StepCheck
from tdm_ros.training.learner import Learner
from tdm_ros.types import Discarded, DiscardedSet, LoggedTransition, TimeSpan, check_identity

PORTION = 2  # updates between two checks of the clock; one takes about 8 ms


@dataclass
class _Arm:
    """State of one arm's stream: known transitions, number of them in the store, and what is discarded."""

    filter: TransitionFilter = field(default_factory=TransitionFilter)
    taken: int = 0
    discarded: DiscardedSet = field(default_factory=DiscardedSet)


class _Identities:
    """Identity of each transition in a store, by its number there, in bounded memory."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rows = np.zeros(min(capacity, 4096), [("run", np.int64), ("cycle", np.int64), ("stamp_ns", np.int64)])
        self._total = 0

    def put(self, number: int, arm: str, transition: LoggedTransition) -> None:
        """Record the identity of the transition with this number in the store."""
        slot = number % self._capacity
        if slot >= len(self._rows):
            self._rows = np.resize(self._rows, min(2 * len(self._rows), self._capacity))
        self._rows[slot] = (hash((arm, transition.run)), transition.cycle, transition.stamp_ns)
        self._total = number + 1

    def find(self, arm: str, discarded: Discarded) -> NDArray[np.int64]:
        """Numbers of an arm's transitions in a range, (N,)."""
        rows = self._rows[: min(self._total, self._capacity)]
        run, begin, end = ("", *discarded) if isinstance(discarded, TimeSpan) else discarded
        values = rows["stamp_ns" if isinstance(discarded, TimeSpan) else "cycle"]
        slots = np.flatnonzero((rows["run"] == hash((arm, run))) & (values >= begin) & (values < end))
        newest = self._total - 1
        return np.asarray(newest - (newest - slots) % self._capacity, np.int64)


class OnlineLearner:
    """Learner with one stream of transitions per arm, which makes updates within a time budget.

    An arm is identified by its name; a single one needs none. Cycles, episodes and discarded ranges belong to one arm,
    and no trajectory contains steps of two.
    """

    def __init__(self, learner: Learner, clock: Callable[[], float] = time.monotonic) -> None:
        self.learner = learner
        self._clock, self._check = clock, StepCheck(learner.task)
        self._arms: defaultdict[str, _Arm] = defaultdict(_Arm)
        self._identities = _Identities(learner.store.capacity)
        self._queue = TrajectoryQueue(self._write, learner.store.close)

    @property
    def repeated(self) -> int:
        """Number of duplicates."""
        return sum(arm.filter.repeated for arm in self._arms.values())

    @property
    def taken(self) -> dict[str, int]:
        """Number of transitions of each arm in the store."""
        return {name: arm.taken for name, arm in self._arms.items()}

    @property
    def discarded(self) -> int:
        """Number of transitions in the store that the operator discarded."""
        return len(self.learner.store) - self.learner.store.usable

    def has(self, transition: LoggedTransition, arm: str = "") -> bool:
        """Whether a transition of an arm was added before."""
        return self._arms[arm].filter.has(transition)

    def follows(self, transition: LoggedTransition, arm: str = "") -> bool:
        """Whether no transition of the arm is missing before this one."""
        return self._arms[arm].filter.follows(transition)

    def add(self, transition: LoggedTransition, arm: str = "") -> None:
        """Add a transition, from the log or live; duplicates are left out.

        A ValueError says that a vector has a wrong size, or is not finite or plausible, or that the identity is wrong.
        """
        if problem := check_identity(transition.run or "of a log without runs", transition.cycle):
            raise ValueError(problem)
        if transition.source in COMMANDED:
            self._check(transition.step)
        ready = self._arms[arm].filter.add(transition)
        if ready is not None:
            self._queue.add(arm, ready)

    def _write(self, name: str, ready: LoggedTransition) -> None:
        arm, number = self._arms[name], self.learner.transitions
        self.learner.add(ready.step, ready.last, ready.source == Source.HUMAN)
        self._identities.put(number, name, ready)
        arm.taken += 1
        if arm.discarded.has(ready.run, ready.cycle, ready.stamp_ns):
            self.learner.store.discard(np.array([number]))

    def settle(self) -> None:
        """Store the steps that still wait for the end of another arm's trajectory."""
        self._queue.settle()

    def discard(self, discarded: Iterable[Discarded], arm: str = "") -> int:
        """Exclude transitions of an arm, present and future ones, from learning; return how many are present."""
        known, count = self._arms[arm], 0
        for one in discarded:
            if known.discarded.add(one):
                found = self._identities.find(arm, one)
                self.learner.store.discard(found)
                count += len(found)
        return count

    def rebuild(self, transitions: Iterable[LoggedTransition], arm: str = "") -> list[str]:
        """Add the transitions of an arm's log; return one reason per transition that was left out."""
        problems = []
        for transition in transitions:
            try:
                self.add(transition, arm)
            except ValueError as error:
                problems.append(str(error))
        return problems

    def rebuild_from(self, logs: Mapping[str, TransitionLog]) -> list[str]:
        """Add the newest transitions of the arms' logs, without what is discarded; return reasons as `rebuild`.

        Of each log the last files are read that have as many transitions as the store holds, shared among the arms: the
        store would overwrite earlier ones.
        """
        problems = []
        for arm, log in logs.items():
            problems += self.rebuild(log.read(self.learner.store.capacity // len(logs)), arm)
            self.discard(log.discarded, arm)
        self.settle()
        self.learner.skip_updates_of_missing()
        return problems

    def learn(self, budget_s: float) -> int:
        """Make due updates for at most about ``budget_s`` [s]; return their number."""
        end_s = self._clock() + budget_s
        made = 0
        while self._clock() < end_s and (due := self.learner.updates_due()) > 0:
            count = min(due, PORTION)
            self.learner.update(count)
            made += count
        return made
