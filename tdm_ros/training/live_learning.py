"""Learning beside moving arms: experience comes when it comes, updates are made in between."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from tdm_ros.control.attempts import Span
from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.replay import Step
from tdm_ros.replay.interleave import Interleave
from tdm_ros.replay.log import LoggedTransition
from tdm_ros.replay.pairing import Joining
from tdm_ros.tasks import TaskSpec
from tdm_ros.training.learner import Learner

PORTION = 2
"""Updates between two looks at the clock; one takes about 8 ms."""


def check_step(step: Step, task: TaskSpec) -> None:
    """Check every vector of a step before it is kept.

    Raises
    ------
    ValueError
        If a vector has another size than the task's, or is not finite.
    """
    kinds = {"observation": task.observation, "next_observation": task.observation, "action": task.action}
    kinds |= {"achieved": task.goal, "next_achieved": task.goal, "desired": task.goal}
    for name, channels in kinds.items():
        channels.checked(getattr(step, name), name)


@dataclass
class _Arm:
    """What came from one arm: the stamp [ns] and the number in the store of each transition, and what is discarded."""

    joining: Joining = field(default_factory=Joining)
    stamps_ns: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    discarded: set[Span] = field(default_factory=set)


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
        self._interleave = Interleave(self._write, learner.store.close)

    @property
    def repeated(self) -> int:
        """Transitions that were seen before."""
        return sum(arm.joining.repeated for arm in self._arms.values())

    @property
    def taken(self) -> dict[str, int]:
        """How many transitions of each arm the replay was given."""
        return {name: len(arm.numbers) for name, arm in self._arms.items()}

    @property
    def discarded(self) -> int:
        """Transitions that a person discarded, among those that are held."""
        return len(self.learner.store) - self.learner.store.usable

    def newest_ns(self, arm: str = "") -> int:
        """Stamp of an arm's newest transition [ns]; -1: there is none."""
        return self._arms[arm].joining.newest_ns

    def follows(self, transition: LoggedTransition, arm: str = "") -> bool:
        """Whether nothing of the arm can be missing before this transition."""
        return self._arms[arm].joining.follows(transition)

    def add(self, transition: LoggedTransition, arm: str = "") -> None:
        """Take one transition in, from the log or live; one that was seen before is left out.

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite.
        """
        if transition.source in COMMANDED:
            check_step(transition.step, self.learner.task)
        ready = self._arms[arm].joining.add(transition)
        if ready is not None:
            self._interleave.add(arm, ready)

    def _write(self, name: str, ready: LoggedTransition) -> None:
        arm, number = self._arms[name], self.learner.transitions
        self.learner.add(ready.step, ready.last, ready.source == Source.HUMAN)
        arm.stamps_ns.append(ready.stamp_ns)
        arm.numbers.append(number)
        if any(begin <= ready.stamp_ns < end for begin, end in arm.discarded):
            self.learner.store.discard(np.array([number]))

    def settle(self) -> None:
        """Hand over what still waits because another arm's trajectory is not over."""
        self._interleave.settle()

    def discard(self, spans: Iterable[Span], arm: str = "") -> int:
        """Learn no more from what an arm did in these stretches, nor from what still comes of it; return how many."""
        held = self._arms[arm]
        fresh = set(spans) - held.discarded
        if not fresh:
            return 0
        held.discarded |= fresh
        stamps, numbers = np.array(held.stamps_ns, np.int64), np.array(held.numbers, np.int64)
        found = [numbers[(stamps >= begin) & (stamps < end)] for begin, end in fresh]
        self.learner.store.discard(np.concatenate(found))
        return sum(map(len, found))

    def rebuild(self, transitions: Iterable[LoggedTransition], arm: str = "") -> int:
        """Take an arm's log in; return how many transitions the replay holds now."""
        for transition in transitions:
            self.add(transition, arm)
        return self.learner.transitions

    def learn(self, budget_s: float) -> int:
        """Make updates that are due for at most about ``budget_s`` [s]; return how many."""
        end_s = self._clock() + budget_s
        made = 0
        while self._clock() < end_s and (due := self.learner.updates_due()) > 0:
            count = min(due, PORTION)
            self.learner.update(count)
            made += count
        return made
