"""Learning beside a moving arm: experience comes when it comes, updates are made in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tdm_ros.control.timeline import COMMANDED
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

    @property
    def repeated(self) -> int:
        """Transitions that were seen before."""
        return self._joining.repeated

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
            self.learner.add(ready.step, ready.last)

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
