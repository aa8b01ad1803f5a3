"""What a live planner learns from: the newest weights, and the states that were seen."""

from __future__ import annotations

import numpy as np

from tdm_ros.planning.model import ReachModel
from tdm_ros.planning.planner import SubgoalPlanner
from tdm_ros.planning.states import SeenStates
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor

STATES = 1000
"""Seen states that are handed to the planner."""
REMEMBERED = 50_000
"""Transitions that they are taken from, the newest [1]."""


class Experience:
    """Hands the planner what came in, now and then: it takes a few hundred milliseconds.

    Parameters
    ----------
    task : TaskSpec
    rng : numpy.random.Generator
        Which states are taken.
    every_s : float
        Least time between two times [s]; final weights are handed over at once.
    """

    def __init__(self, task: TaskSpec, rng: np.random.Generator, every_s: float) -> None:
        self._task, self._rng, self._every_s = task, rng, every_s
        self._store = TrajectoryStore(task, REMEMBERED)
        self._fresh: ReachModel | None = None
        self._hurry = False
        self._learned_s = -np.inf
        self.version = 0
        """Of the weights that the planner uses."""
        self._fresh_version = 0

    def __len__(self) -> int:
        return self._store.total

    def add(self, step: Step, last: bool) -> None:
        """Take in a transition, one of a drive home without a goal, too.

        Raises
        ------
        ValueError
            If it is of another size or not finite.
        """
        self._store.add(step if step.desired.size else step._replace(desired=step.next_achieved), last)

    def take(self, actor: NumpyActor, version: int, final: bool) -> str:
        """Take weights in; return "" or why they can not be used."""
        task = self._task
        if actor.sizes != (sizes := (task.observation.size, task.goal.size, task.action.size)):
            return f"sizes {actor.sizes}, expected {sizes}"
        try:
            self._fresh = ReachModel(actor)
        except ValueError as error:
            return str(error)
        self._fresh_version, self._hurry = version, final
        return ""

    def due(self, now_s: float) -> bool:
        """Whether there is something new, and it is time."""
        if self._fresh is None or not len(self):
            return False
        return self._hurry or now_s - self._learned_s >= self._every_s

    def teach(self, planner: SubgoalPlanner, now_s: float) -> None:
        """Let the planner use what came in."""
        planner.learn(self._fresh, SeenStates.from_store(self._store, STATES, self._rng))
        self._fresh, self._hurry, self._learned_s, self.version = None, False, now_s, self._fresh_version
