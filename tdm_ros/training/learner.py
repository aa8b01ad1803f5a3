"""Learner that `tdm_ros train` and the node `trainer` share: experience in, weights out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from tdm_ros.replay import Step, TrajectoryStore, sample_batches
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import Losses, TdmAgent, usable_device
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features, measure_reaches
from tdm_ros.training.mode_selection import Race, Way

OWN_STEPS = 64
"""What a person did is too much alike to normalise observations by: so many other steps have to be there as well."""

CHUNK = 8
"""Batches that are drawn and relabelled together."""
PORTION = 40
"""Updates from recordings between two reports of progress."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread on the CPU for a while."""
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


class Learner:
    """Owns the replay store and, once the random phase has given it statistics, the agent.

    Parameters
    ----------
    task : TaskSpec
    config : TdmConfig
    seed : int
        Of weights and sampling; two learners with one seed and the same experience are equal.
    compiled : bool
    device : str
        As `TdmAgent` takes them.

    Raises
    ------
    ValueError
        If there is no such device.
    """

    def __init__(
        self, task: TaskSpec, config: TdmConfig, seed: int, compiled: bool = False, device: str = "cpu"
    ) -> None:
        self.compiled, self.device = compiled, usable_device(device)
        self.task, self.config, self.seed = task, config, seed
        self.store = TrajectoryStore(task)
        self.agent: TdmAgent | None = None
        self.race: Race | None = None
        """Between ways to act, once `start_race` has been called."""
        self.updates = 0
        self.recorded = 0
        """Transitions that came from recordings, not from steps of its own."""
        self.waived = 0
        """Updates that recordings would allow beyond those that were made from them; negative if more were made."""
        self.losses = Losses(float("nan"), float("nan"))
        self.rng = np.random.default_rng(np.random.SeedSequence([3, seed]))

    @property
    def transitions(self) -> int:
        """Transitions seen so far."""
        return self.store.total

    @property
    def steps(self) -> int:
        """Steps seen so far that are not from recordings."""
        return self.transitions - self.recorded

    @property
    def progress(self) -> float:
        """Part of the schedule that is over, in [0, 1]; recordings do not count."""
        return self.config.progress(self.steps)

    def add(self, step: Step, last: bool, human: bool = False) -> None:
        """Store one step; ``last`` says that its episode ends here, ``human`` that a person made it.

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite.
        """
        self.store.add(step, last, human)

    def updates_due(self) -> int:
        """Updates that the experience so far allows and that have not been made."""
        if self.transitions < self.config.random_steps or not self.store.usable or self._only_human:
            return 0
        return max(0, self._allowed() - self.waived - self.updates)

    def _allowed(self) -> int:
        config = self.config
        return config.catch_up_updates + config.updates_per_step * (self.transitions - config.random_steps)

    def learn_recorded(self, steps: Iterable[tuple[Step, bool, bool]], updates: int) -> Iterator[int]:
        """Store recorded steps, then make so many updates; yields how many were made since the last time.

        Steps of its own allow as many updates afterwards as they would have without: no more, no less. Statistics, if
        there are none yet, come from all recorded steps instead of from random play.

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite.
        """
        due, before = self.updates_due(), self.transitions
        for step, last, human in steps:
            self.add(step, last, human)
        self.store.close()
        self.recorded += self.transitions - before
        for start in range(0, updates, PORTION):
            count = min(PORTION, updates - start)
            self.update(count)
            yield count
        self.waived = self._allowed() - self.updates - due

    def start_race(self) -> Race | None:
        """Race ways to act, if that is configured; to be called before the first update.

        There is none with a horizon of 0, where the TDM is a one-step model, nor where ``running`` names a way.
        """
        config = self.config
        if config.race and config.running == "align" and self.task.horizon > 0 and not self.race and not self.agent:
            self.race = Race(self.task, self.seed)
        return self.race

    def update(self, count: int) -> None:
        """Make ``count`` gradient updates; the first one freezes the observation statistics.

        PyTorch uses one thread for them, which is the fastest for networks of this size, and as many as before
        afterwards.
        """
        with one_thread():
            self._update(count)

    def _update(self, count: int) -> None:
        if count < 1:
            return
        if self.agent is None:
            features = self._statistics()
            self.agent = TdmAgent(self.task, self.config, features, self.seed, self.compiled, self.device)
            if self.race:
                self.race.start(features, self.config, self.compiled, self.device)
        while count > 0:
            number = min(count, CHUNK)
            self._copy_targets(number)
            config = self.config
            shape = (number, config.batch_size)
            batches = sample_batches(self.store, config.goals, shape, self.rng, config.human_share)
            self.losses = self.agent.update(batches, self.progress)
            if self.race:
                self.race.update(self.store, number, self.progress)
            self.updates += number
            count -= number

    def _copy_targets(self, number: int) -> None:
        """Where the targets are copied at intervals, copy them before the updates that cross one."""
        every = self.config.copy_every * self.config.updates_per_step
        if every and self.agent and (self.updates + number) // every > self.updates // every:
            self.agent.copy_targets()

    def actor_bytes(self, way: Way | None = None) -> bytes:
        """Weights for `NumpyActor.from_bytes`: of the way to act, or of the one that is asked for (`Race`).

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        if self.agent is None:
            raise RuntimeError("there is no actor before the first update; call update() when updates_due() > 0")
        if self.race and way is None:
            way = self.race.acts
        if way == "one_step":
            assert self.race and self.race.agent, "only a race has a one-step model"
            return self.race.agent.actor_bytes()
        return self.agent.actor_bytes(way)

    @property
    def _only_human(self) -> bool:
        """Whether a person made nearly all steps, and nothing has been learned of them yet."""
        human = self.agent is None and len(self.store.human())
        return bool(human) and self.store.usable - human < min(OWN_STEPS, self.config.random_steps)

    def _statistics(self) -> Features:
        config, task = self.config, self.task
        index = np.arange(self.store.total - len(self.store), self.store.total)
        index = index[~self.store.column("discarded", index)]
        human = self.store.column("human", index)
        index = index if human.any() else index[: max(config.random_steps, self.recorded)]
        rows = self.store.rows(index)
        last = self.store.end_of(index) == index + 1
        scale = np.asarray(task.goal.scale, np.float32)
        reaches = measure_reaches(rows["achieved"], last, scale, task.horizon) if config.reach else None
        seen = rows["observation"]
        if (others := int((~human).sum())) and human.any():  # as many of the operator's as of the others
            demonstrated = seen[human]
            seen = np.concatenate((seen[~human], demonstrated[:: max(len(demonstrated) // others, 1)]))
        return Features.fit(task, seen, config.near_scale, reaches, config.difference)
