"""Learning beside a moving arm: experience comes when it comes, updates are made in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from tdm_ros.control.attempts import Span
from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.replay import Step
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


class LiveLearning:
    """Feeds a learner from a stream of transitions, and learns within a budget of time.

    Parameters
    ----------
    learner : Learner
    clock : callable
        Steady time [s].
    """

    def __init__(self, learner: Learner, clock: Callable[[], float] = time.monotonic) -> None:
        self.learner = learner
        self._clock = clock
        self._joining = Joining()
        self._stamps_ns: list[int] = []
        self._discarded: set[Span] = set()

    @property
    def repeated(self) -> int:
        """Transitions that were seen before."""
        return self._joining.repeated

    @property
    def discarded(self) -> int:
        """Transitions that a person discarded, among those that are held."""
        return len(self.learner.store) - self.learner.store.usable

    def add(self, transition: LoggedTransition) -> None:
        """Take one transition in, from the log or live; one that was seen before is left out.

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite.
        """
        if transition.source in COMMANDED:
            check_step(transition.step, self.learner.task)
        ready = self._joining.add(transition)
        if ready is not None:
            self._stamps_ns.append(ready.stamp_ns)
            self.learner.add(ready.step, ready.last, ready.source == Source.HUMAN)
            if any(begin <= ready.stamp_ns < end for begin, end in self._discarded):
                self.learner.store.discard(np.array([self.learner.transitions - 1]))

    def discard(self, spans: Iterable[Span]) -> int:
        """Learn no more from what happened in these stretches, nor from what still comes of them; return how many."""
        store, fresh = self.learner.store, set(spans) - self._discarded
        if not fresh:
            return 0
        self._discarded |= fresh
        stamps = np.array(self._stamps_ns, np.int64)
        first = self.learner.transitions - len(stamps)
        found = [first + np.flatnonzero((stamps >= begin) & (stamps < end)) for begin, end in fresh]
        store.discard(np.concatenate(found))
        return sum(map(len, found))

    def rebuild(self, transitions: Iterable[LoggedTransition]) -> int:
        """Take a whole log in; return how many transitions the replay holds now."""
        for transition in transitions:
            self.add(transition)
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
