"""Experience of a live planner: newest weights and seen states, updated beside planning."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import numpy as np

from tdm_ros.planning.model import ReachModel
from tdm_ros.planning.planner import SubgoalPlanner
from tdm_ros.planning.space import GoalSpace
from tdm_ros.planning.states import CANDIDATES, SeenStates
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.replay.step_check import check_step
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor

STATES = 1000
"""Seen states that are handed to the planner."""
REMEMBERED = 50_000
"""Transitions that they are taken from, the newest [1]."""


class Experience:
    """Makes planners from what came in, in a thread of its own: it takes some hundred milliseconds, a plan a few.

    Parameters
    ----------
    task : TaskSpec
    make : callable
        Makes a planner that has learned nothing.
    rng : numpy.random.Generator
        Which states are taken.
    every_s : float
        Least time between two times [s]; final weights are used at once.
    """

    def __init__(
        self, task: TaskSpec, make: Callable[[], SubgoalPlanner], rng: np.random.Generator, every_s: float
    ) -> None:
        self._task, self._make, self._rng, self._every_s = task, make, rng, every_s
        self._store = TrajectoryStore(task, REMEMBERED)
        self._fresh: tuple[ReachModel, int] | None = None
        self._hurry = False
        self._learned_s = -np.inf
        self._thread: Thread | None = None
        self._learned: tuple[SubgoalPlanner, int] | None = None
        self.version = 0
        """Of the weights that the newest planner uses."""

    def __len__(self) -> int:
        return self._store.total

    def add(self, step: Step, last: bool) -> None:
        """Take in a transition, one of a drive home without a goal, too.

        Raises
        ------
        ValueError
            If it is of another size, or not finite or physical.
        """
        whole = step if step.desired.size else step._replace(desired=step.next_achieved)
        check_step(whole, self._task)
        self._store.add(whole, last)

    def take(self, actor: NumpyActor, version: int, final: bool) -> str:
        """Take weights in; return "" or why they cannot be used."""
        task = self._task
        if actor.sizes != (sizes := (task.observation.size, task.goal.size, task.action.size)):
            return f"sizes {actor.sizes}, expected {sizes}"
        try:
            self._fresh, self._hurry = (ReachModel(actor), version), final
        except ValueError as error:
            return str(error)
        return ""

    def learned(self, now_s: float) -> SubgoalPlanner | None:
        """A new planner if one has just been made, else None; begins to make the next one when it is time."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            if self._learned is not None:
                (planner, self.version), self._learned = self._learned, None
                return planner
        if self._fresh is not None and len(self) and (self._hurry or now_s - self._learned_s >= self._every_s):
            (model, version), self._fresh, self._hurry, self._learned_s = self._fresh, None, False, now_s
            total, kept = self._store.total, len(self._store)
            index = self._rng.integers(total - kept, total, CANDIDATES)
            if kept <= CANDIDATES:
                index = np.arange(total - kept, total)
            seen, achieved = self._store.column("observation", index), self._store.column("achieved", index)

            def learn() -> None:
                planner = self._make()
                planner.learn(model, SeenStates.thinned(seen, achieved, GoalSpace.of(self._task), STATES))
                self._learned = planner, version

            self._thread = Thread(target=learn, daemon=True)
            self._thread.start()
        return None
