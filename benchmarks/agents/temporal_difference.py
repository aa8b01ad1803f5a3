"""Ours: `OnlineTrainer` as `tdm_ros train` runs it, judged on the way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from benchmarks.trial import Trial
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import INDEX, load_learner, save_checkpoint
from tdm_ros.training.evaluation import Policy, actor_policy
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

SAVES = 20
"""Checkpoints of a run; each is made at the end of an episode."""


@dataclass(frozen=True)
class TemporalDifference:
    """A TDM with the default configuration, or a preset, and what is changed in it.

    Parameters
    ----------
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    preset : str
        Name that `TdmConfig.preset` knows; "" for the defaults.
    settings : dict
        Fields of `TdmConfig` that differ from it.

    Raises
    ------
    ValueError
        If there is no such preset or setting.
    """

    horizon: int | None = None
    sums_rewards: ClassVar[bool] = False
    preset: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    goals: int | None = None

    def __post_init__(self) -> None:
        try:
            self.configured(1)
        except TypeError as error:
            raise ValueError(f"settings of a tdm must be fields of TdmConfig, got {self.settings}") from error

    def configured(self, steps: int) -> TdmConfig:
        """The configuration of a run of ``steps`` steps; the schedules end there."""
        config = TdmConfig.preset(self.preset or "default")
        return replace(config, **{**self.settings, "total_timesteps": steps})

    def train(self, trial: Trial) -> None:
        """Learn; a run that was killed goes on from the end of an episode."""
        run, folder = trial.run, trial.folder / "checkpoint"
        config = self.configured(run.steps)
        if (folder / INDEX).exists():
            learner = load_learner(folder, trial.task, run.compiled, run.device)
            if (learner.config, learner.seed) != (config, run.seed):
                raise ValueError(f"{folder} was made with other settings; remove it or give another --out")
            trial.go_on(learner.transitions)
        else:
            learner = Learner(trial.task, config, run.seed, run.compiled, run.device)
        saved = learner.transitions

        def policy() -> Policy | None:
            return actor_policy(NumpyActor.from_bytes(learner.actor_bytes())) if learner.agent else None

        def on_episode(row: EpisodeRow) -> None:
            nonlocal saved
            if run.steps > learner.transitions >= saved + run.steps / SAVES:
                saved = learner.transitions
                trial.keep()
                save_checkpoint(folder, learner)

        def on_step() -> None:
            trial.after_step(learner.transitions, learner.updates, policy)

        # Judging goes through the trial's own environment; the trainer's is not used without validation.
        OnlineTrainer(trial.env, trial.env, learner, TrainingSchedule(run.steps, 0), on_episode, on_step).run()
        shutil.rmtree(folder, ignore_errors=True)
