"""Library: a `TDM` learns in any goal-conditioned environment, acts, predicts distances, and is saved on disk."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tdm_ros.sim.noise import Noise
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.calibration import Calibration
from tdm_ros.training.callbacks import Callback, Watch
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.environment import Adopted, Source, adopted
from tdm_ros.training.experience import Experience, read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.training.online import OnlineTrainer, Schedule
from tdm_ros.training.questions import Questions
from tdm_ros.training.saved import (
    CALIBRATION,
    CHECKPOINT,
    CONFIG,
    checkpoint_folder,
    recorded_name,
    recorded_noise,
    versions,
    write_json,
)


class TDM(Questions):
    """A temporal difference model of one environment.

    Parameters
    ----------
    env : str, Gymnasium goal environment, or (environment, TaskSpec)
        A name is what `make_goal_env` takes. An environment without a `TaskSpec` is described from its spaces and
        from 200 resets.
    config : TdmConfig, optional
        Its ``total_steps``, if any, is the length of the schedule of learning rate and exploration, however many calls
        of `learn` it takes; else each call stretches the schedule to its own end.
    seed : int
        Of weights, goals and noise: two agents with one seed that learn the same way are equal bit for bit (CPU).
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    test_env : as ``env``, optional
        For validation, `evaluate` and `calibrate`, which never act in the environment that is learned in; made by
        itself where ``env`` is a name.
    noise : Noise, optional
        What to add to actions and observations, in learning, validation and evaluation alike.
    compiled : bool
        Whether `torch.compile` makes one kernel of the update; needs a C++ compiler.
    device : str
        Where to learn: "cpu", or "cuda", "cuda:1" for a GPU. Acting is done on the CPU.

    Raises
    ------
    ValueError
        If the environment is unknown, or no goal environment with a finite box of actions; if there is no such device.
    """

    def __init__(
        self,
        env: Source | Adopted,
        config: TdmConfig | None = None,
        seed: int = 0,
        horizon: int | None = None,
        test_env: Source | None = None,
        noise: Noise | None = None,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        self.noise = noise
        made = env if isinstance(env, Adopted) else adopted(env, horizon, noise)
        self.env, self.task, self._box, self.task_name = made
        self._test_env = None if test_env is None else adopted(test_env, horizon, noise).env
        self.learner = Learner(self.task, config or TdmConfig(), seed, compiled, device)
        self.last_step = 0
        """Where the running call of `learn` ends, counted from the first step ever [steps]."""
        self._schedule: Schedule | None = None

    def learn(self, steps: int, callbacks: Sequence[Callback] = (), validate_every: int = 0) -> TDM:
        """Act and learn for ``steps`` more steps; call again to go on.

        Parameters
        ----------
        steps : int
        callbacks : sequence of Callback
            See `tdm_ros.training.callbacks`: progress bar, CSV, TensorBoard, checkpoints, your own.
        validate_every : int
            Steps between looks at the validation goals; 0: never.

        Returns
        -------
        TDM
            Itself.

        Raises
        ------
        ValueError
            If ``steps`` is not positive, validation has no environment, or the environment gives numbers that cannot
            be used.
        RuntimeError
            If it is called from a callback.
        """
        if steps < 1:
            raise ValueError(f"steps must be >= 1, got {steps}")
        if self._learning:
            raise RuntimeError("learn() runs already: a callback must not call it")
        learner, self.last_step, self.calibration = self.learner, self.steps + steps, None
        learner.config = replace(learner.config, total_steps=max(learner.config.total_steps, self.last_step))
        self._schedule = Schedule(self.last_step, validate_every)
        watch, self._learning = Watch(self, callbacks), True
        try:
            test_env = self._separate_env() if validate_every else self.env
            trainer = OnlineTrainer(self.env, test_env, learner, self._schedule, watch.on_episode, watch.on_step)
            held = np.arange(learner.transitions - len(learner.store), learner.transitions)
            trainer.episode = len(np.unique(learner.store.end_of(held)))
            watch.run(trainer)
        finally:
            self._learning = False
            learner.store.close()
        return self

    def learn_from(
        self,
        recordings: Experience | Path | str | Sequence[Path | str],
        updates: int | None = None,
        advance: Callable[[int], Any] = lambda count: None,
    ) -> TDM:
        """Learn from recordings, without acting; `learn` goes on from there in the environment.

        Parameters
        ----------
        recordings : Experience, path, or sequence of paths
            Runs, logs, or what `tdm_ros data convert` made. What is damaged in them gives a warning and is left out.
        updates : int, optional
            Gradient updates; by default as many as their steps would allow if the agent had taken them.
        advance : callable
            Told how many updates were made since the last time.

        Returns
        -------
        TDM
            Itself.

        Raises
        ------
        ValueError
            If nothing in a recording is whole, it is of another task, or there are fewer transitions than statistics
            need.
        """
        if not isinstance(recordings, Experience):
            paths = [recordings] if isinstance(recordings, (str, Path)) else recordings
            recordings = read_experience([Path(path) for path in paths], self.task)
            for problem in recordings.problems:
                warnings.warn(problem, stacklevel=2)
        count, config = len(recordings.steps), self.learner.config
        if self.learner.transitions + count < config.random_steps:
            raise ValueError(
                f"the recordings hold {count} transitions to learn from, statistics need {config.random_steps} "
                "(random_steps): give more of them"
            )
        if updates is not None and updates < 0:
            raise ValueError(f"updates from recordings must be >= 0, got {updates}")
        self.calibration = None
        self.learner.start_race()
        made = config.updates_per_step * count if updates is None else updates
        for portion in self.learner.learn_recorded(recordings.steps, made):
            advance(portion)
        return self

    def save(self, directory: Path | str) -> Path:
        """Write everything to ``directory`` (weights, experience, settings); a crash leaves the old state or the new.

        Returns
        -------
        Path
            The directory, laid out as the run folder of `tdm_ros train`: its verbs read it.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        save_checkpoint(directory / CHECKPOINT, self.learner)
        write_json(directory / CONFIG, self._record())
        if self.calibration:
            write_json(directory / CALIBRATION, self.calibration.to_json())
        return directory

    @classmethod
    def load(
        cls,
        directory: Path | str,
        env: Source | None = None,
        test_env: Source | None = None,
        compiled: bool = False,
        device: str = "cpu",
    ) -> TDM:
        """Read what `save` or `tdm_ros train` wrote, ready to act and to go on learning.

        Parameters
        ----------
        directory : Path or str
        env, test_env : as for `TDM`, optional
            Needed where the agent was made from an environment object, not from a name.
        compiled, device : as for `TDM`

        Raises
        ------
        FileNotFoundError
            If there is no checkpoint.
        ValueError
            If it is damaged, of another schema, or of another task than ``env``; if there is no such device.
        """
        folder = checkpoint_folder(Path(directory))
        learner = load_learner(folder, compiled=compiled, device=device)
        source, noise = recorded_name(folder, learner.task) if env is None else env, recorded_noise(folder)
        made = adopted(source, learner.task.horizon, noise, (folder, learner.task))
        agent = cls(made, learner.config, learner.seed, learner.task.horizon, test_env, noise)
        agent.learner = learner
        measured = folder.parent / CALIBRATION
        if measured.exists():
            found = Calibration.from_json(json.loads(measured.read_text(encoding="utf-8")))
            agent.calibration = found if found.updates == agent.updates else None
        return agent

    def _record(self) -> dict[str, Any]:
        return {
            "task": self.task.to_json(),
            "task_name": self.task_name,
            "noise": self.noise and asdict(self.noise),
            "learner": self.learner.config.to_json(),
            "seed": self.learner.seed,
            "schedule": self._schedule and asdict(self._schedule),
            "versions": versions(),
        }
