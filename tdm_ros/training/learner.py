"""Learner of `tdm_ros train` and of the node `trainer`: replay buffer, updates, weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tdm_ros.replay import Step, TrajectoryStore, sample_batches
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import Losses, TdmAgent, usable_device
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features, measure_reachable_distances

MIN_OTHER_STEPS = 64
"""Steps that the operator did not make, before the first update: the operator's alone vary too little to determine the
normalisation of the observations."""

CHUNK = 8
"""Batches that are drawn and relabelled together."""
NORMALISE_UNTIL = 1000
"""Transitions up to which the normalisation of the observations is repeated, each time that their number has doubled:
in a short random phase many states have not been seen."""
REPORT_UPDATES = 40
"""Updates from recordings between two reports of progress."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit PyTorch to one CPU thread within the context."""
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


class Learner:
    """Replay buffer and, from the first update on, the agent. Raises ValueError if PyTorch cannot use the device.

    ``seed`` is that of weights and sampling: learners with the same seed and experience are identical. ``compiled`` and
    ``device`` as for `TdmAgent`.
    """

    def __init__(
        self, task: TaskSpec, config: TdmConfig, seed: int, compiled: bool = False, device: str = "cpu"
    ) -> None:
        self.compiled, self.device = compiled, usable_device(device)
        self.task, self.config, self.seed = task, config, seed
        self.store = TrajectoryStore(task)
        self.agent: TdmAgent | None = None
        self.updates = 0
        self.recorded_transitions = 0
        """Transitions from recordings."""
        self.skipped_updates = 0
        """Updates that are due for the recordings and were not made; negative if more were made."""
        self.schedule_start = 0
        """Step at which learning rate and exploration begin to decrease [steps]."""
        self.saved_transitions = 0
        """Transitions when the checkpoint was made that the learner was loaded from."""
        self.forgotten = 0
        """Those of them that neither the replay buffer nor the log has any more."""
        self.losses = Losses(float("nan"), float("nan"))
        self.rng = np.random.default_rng(np.random.SeedSequence([3, seed]))

    @property
    def transitions(self) -> int:
        return self.store.total

    @property
    def steps(self) -> int:
        """Environment steps so far: transitions that are not from recordings."""
        return self.transitions + self.forgotten - self.recorded_transitions

    @property
    def progress(self) -> float:
        """Fraction of `TdmConfig.total_timesteps` since `schedule_start`, in [0, 1]."""
        return self.config.progress(self.steps - self.schedule_start)

    def decrease_over(self, steps: int) -> None:
        """Let learning rate and exploration decrease over the next ``steps`` environment steps; 0: keep them."""
        self.config, self.schedule_start = replace(self.config, total_timesteps=steps), self.steps

    def add(self, step: Step, last: bool, human: bool = False) -> None:
        """Store one step; ``last``: its trajectory ends here; ``human``: the operator made it.

        Raises ValueError if a vector has another size than the task's, or is not finite.
        """
        self.store.add(step, last, human)

    def updates_due(self) -> int:
        """Number of updates that are due for the transitions so far."""
        if self.transitions < self.config.learning_starts or not self.store.usable or self._needs_other_steps:
            return 0
        return max(0, self._updates_in_all() - self.skipped_updates - self.updates)

    def _updates_in_all(self) -> int:
        config = self.config
        return config.initial_gradient_steps + config.gradient_steps * (self.transitions - config.learning_starts)

    def skip_updates_of_missing(self) -> None:
        """Count the updates of a checkpoint's transitions that neither the replay buffer nor a log holds as made.

        Otherwise no update would be due until as many new ones have arrived, and learning rate and exploration would
        begin anew.
        """
        self.forgotten = max(0, self.saved_transitions - self.transitions)
        if self.updates:
            self.skipped_updates = min(self.skipped_updates, self._updates_in_all() - self.updates)

    def learn_recorded(self, steps: Iterable[tuple[Step, bool, bool]], updates: int) -> Iterator[int]:
        """Store recorded steps, then make updates; yield the number of updates since the last time.

        The number of updates that are due for environment steps does not change. The normalisation, if there is none
        yet, is determined by all recorded steps instead of the random phase. Raises ValueError if a vector has another
        size than the task's, or is not finite.
        """
        due, before = self.updates_due(), self.transitions
        for step, last, human in steps:
            self.add(step, last, human)
        self.store.close()
        self.recorded_transitions += self.transitions - before
        for start in range(0, updates, REPORT_UPDATES):
            count = min(REPORT_UPDATES, updates - start)
            self.update(count)
            yield count
        self.skipped_updates = self._updates_in_all() - self.updates - due

    def update(self, count: int) -> None:
        """Make ``count`` gradient updates, in one thread; the first one fixes the normalisation."""
        with one_thread():
            self._update(count)

    def _update(self, count: int) -> None:
        if count < 1:
            return
        if self.agent is None:
            features = self._statistics()
            self.agent = TdmAgent(self.task, self.config, features, self.seed, self.compiled, self.device)
        elif self.transitions >= 2 * self.agent.features.transitions <= NORMALISE_UNTIL:
            self.agent.features = self.agent.features.renormalised(self._observations())
        while count > 0:
            number = min(count, CHUNK)
            self._copy_targets(number)
            config = self.config
            shape = (number, config.batch_size)
            batches = sample_batches(self.store, config.goals, shape, self.rng, config.operator_fraction)
            self.losses = self.agent.update(batches, self.progress)
            self.updates += number
            count -= number

    def _copy_targets(self, number: int) -> None:
        """Make a hard update of the targets, if one is due within the next ``number`` updates."""
        every = self.config.target_update_interval * self.config.gradient_steps
        if every and self.agent and (self.updates + number) // every > self.updates // every:
            self.agent.copy_targets()

    def actor_bytes(self) -> bytes:
        """Weights for `NumpyActor.from_bytes`. Raises RuntimeError before the first update."""
        if self.agent is None:
            raise RuntimeError("there is no actor before the first update; call update() when updates_due() > 0")
        return self.agent.actor_bytes()

    @property
    def _needs_other_steps(self) -> bool:
        """Whether the operator made nearly all steps before the first update."""
        human = self.agent is None and len(self.store.human())
        return bool(human) and self.store.usable - human < min(MIN_OTHER_STEPS, self.config.learning_starts)

    def _statistics(self) -> Features:
        config, task = self.config, self.task
        index = self._usable()
        if not self.store.column("human", index).any():
            index = index[: max(config.learning_starts, self.recorded_transitions)]
        rows = self.store.rows(index)
        last = self.store.end_of(index) == index + 1
        scale = np.asarray(task.goal.scale, np.float32)
        reachable = None
        if config.scale_by_reachable_distance:
            reachable = measure_reachable_distances(rows["achieved"], last, scale, task.horizon)
        motion = task.goal.difference(rows["next_achieved"], rows["achieved"]) / scale
        motion_scale = float(np.sqrt(np.square(motion).mean())) or 1.0
        observations = self._observations(index)
        return Features.fit(task, observations, config.near_scale, reachable, config.relative_goal, motion_scale)

    def _usable(self) -> NDArray[np.int64]:
        """Numbers of the stored transitions that the operator did not discard."""
        index = np.arange(self.store.total - len(self.store), self.store.total)
        return index[~self.store.column("discarded", index)]

    def _observations(self, index: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Observations that determine the normalisation: as many of the operator's steps as of other ones."""
        index = self._usable() if index is None else index
        observations, human = self.store.rows(index)["observation"], self.store.column("human", index)
        if (others := int((~human).sum())) and human.any():
            demonstrated = observations[human]
            observations = np.concatenate((observations[~human], demonstrated[:: max(len(demonstrated) // others, 1)]))
        return observations
