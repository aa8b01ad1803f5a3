"""Library: a `TDM` learns in any goal-conditioned environment, acts, predicts distances, and is saved on disk."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.goal_env import GoalEnv, make_env
from tdm_ros.envs.wrappers import Noise, to_box
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.calibration import Calibration, calibration, collect_rollouts, draw_calibration
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.environment import (
    CALIBRATION,
    CHECKPOINT,
    CONFIG,
    EnvSource,
    PreparedEnv,
    as_states,
    checkpoint_folder,
    prepare_env,
    recorded_name,
    recorded_noise,
    versions,
    write_json,
)
from tdm_ros.training.evaluation import Evaluation, Policy, actor_policy, evaluate
from tdm_ros.training.experience import RecordedExperience, read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule
from tdm_ros.training.reachability import Reachability, reachability


class Callback:
    """Base class of the callbacks of `TDM.learn`; override the methods that you need.

    ``on_start`` and ``on_end`` enclose each call of `TDM.learn`; ``on_end`` is also called after an error. A method
    that returns ``False`` (not ``None``) stops the learning: ``on_step`` at once, which interrupts the episode,
    ``on_episode`` between two episodes, so that a checkpoint made there continues identically.
    """

    def on_start(self, agent: TDM) -> None:
        """Learning starts, or continues, after ``agent.steps`` steps."""

    def on_step(self, agent: TDM) -> bool | None:
        """A step and the updates that are due after it have been made."""

    def on_episode(self, agent: TDM, row: EpisodeRow) -> bool | None:
        """A training episode has ended; ``row.mode == "train"``."""

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        """A validation has ended, with one row per goal."""

    def on_end(self, agent: TDM) -> None:
        """Learning has ended or pauses."""


class _StopTrainingError(Exception):
    """A callback has stopped the learning."""


class CallbackList:
    """Calls the methods of callbacks during one `OnlineTrainer` run, and stops it if one of them returns False."""

    def __init__(self, agent: TDM, callbacks: Sequence[Callback]) -> None:
        self._agent, self._callbacks = agent, callbacks
        self._validated: list[EpisodeRow] = []

    def run(self, trainer: OnlineTrainer) -> None:
        """Train to the end, or until a callback stops it."""
        self._size = trainer.schedule.validate_episodes
        started: list[Callback] = []
        try:
            for callback in self._callbacks:
                callback.on_start(self._agent)
                started.append(callback)
            trainer.run()
        except _StopTrainingError:
            pass
        finally:
            for callback in started:
                callback.on_end(self._agent)

    def on_step(self) -> None:
        """Called by the trainer after each step."""
        self._stop_if_false([callback.on_step(self._agent) for callback in self._callbacks])

    def on_episode(self, row: EpisodeRow) -> None:
        """Called by the trainer after each training and validation episode."""
        if row.mode != "validate":
            self._stop_if_false([callback.on_episode(self._agent, row) for callback in self._callbacks])
            return
        self._validated.append(row)
        if len(self._validated) == self._size:
            rows, self._validated = tuple(self._validated), []
            for callback in self._callbacks:
                callback.on_validation(self._agent, rows)

    def _stop_if_false(self, results: list[bool | None]) -> None:
        if any(result is False for result in results):
            raise _StopTrainingError


class TDM:
    """A temporal difference model of one environment.

    Attributes ``env`` (actions in [-1, 1]), ``task`` (`TaskSpec`), ``learner``, and ``calibration``, the result of
    `calibrate` until further updates.

    Parameters
    ----------
    env : str, Gymnasium goal environment, or (environment, TaskSpec)
        A name as for `make_goal_env`. Without a `TaskSpec`, the task is derived from the spaces and 200 resets.
    config : TdmConfig, optional
        Learning rate and exploration decrease over its ``total_timesteps``, or else to the end of each call of `learn`.
    seed : int
        Of weights, goals and noise: the same calls with the same seed give identical weights (on the CPU).
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    test_env : as ``env``, optional
        For validation, `evaluate` and `calibrate`, which must not interrupt a training episode; created automatically
        if ``env`` is a name.
    noise : Noise, optional
        Noise on actions and observations of all environments.
    compiled : bool
        Whether `torch.compile` compiles the update; needs a C++ compiler.
    device : str
        Device of the updates: "cpu", or "cuda", "cuda:1" for a GPU. The policy runs on the CPU.

    Raises
    ------
    ValueError
        If the environment is unknown or not goal-conditioned with a finite box of actions, or the device is unknown.
    """

    def __init__(
        self,
        env: EnvSource | PreparedEnv,
        config: TdmConfig | None = None,
        seed: int = 0,
        horizon: int | None = None,
        test_env: EnvSource | None = None,
        noise: Noise | None = None,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        self.noise = noise
        made = env if isinstance(env, PreparedEnv) else prepare_env(env, horizon, noise)
        self.env, self.task, self._box, self.task_name = made
        self._test_env = None if test_env is None else prepare_env(test_env, horizon, noise).env
        self.learner = Learner(self.task, config or TdmConfig(), seed, compiled, device)
        self.last_step = 0
        """Step at which the present call of `learn` ends, counted over all calls [steps]."""
        self.calibration: Calibration | None = None
        self._schedule: TrainingSchedule | None = None
        self._learning = False
        self._actor: tuple[int, NumpyActor] | None = None

    @property
    def steps(self) -> int:
        """Environment steps, over all calls, without those of recordings."""
        return self.learner.steps

    @property
    def updates(self) -> int:
        """Gradient updates, over all calls."""
        return self.learner.updates

    def learn(
        self, total_timesteps: int, callback: Callback | Sequence[Callback] | None = None, validate_every: int = 0
    ) -> TDM:
        """Act and learn for ``total_timesteps`` more steps; call again to continue.

        Parameters
        ----------
        total_timesteps : int
            Steps of this call.
        callback : Callback or sequence of Callback, optional
            See `tdm_ros.training.callbacks`: progress bar, CSV, TensorBoard, checkpoints.
        validate_every : int
            Steps between two validations; 0: none.

        Returns
        -------
        TDM
            Itself.

        Raises
        ------
        ValueError
            If ``total_timesteps`` is not positive, validation has no environment, or the environment returns values
            that are not finite or of the wrong size.
        RuntimeError
            If it is called from a callback.
        """
        if total_timesteps < 1:
            raise ValueError(f"total_timesteps must be >= 1, got {total_timesteps}")
        if self._learning:
            raise RuntimeError("learn() is running already: do not call it from a callback")
        callbacks = [callback] if isinstance(callback, Callback) else [*(callback or ())]
        learner, self.last_step, self.calibration = self.learner, self.steps + total_timesteps, None
        learner.config = replace(learner.config, total_timesteps=max(learner.config.total_timesteps, self.last_step))
        self._schedule = TrainingSchedule(self.last_step, validate_every)
        hooks, self._learning = CallbackList(self, callbacks), True
        try:
            test_env = self._separate_env() if validate_every else self.env
            trainer = OnlineTrainer(self.env, test_env, learner, self._schedule, hooks.on_episode, hooks.on_step)
            stored = np.arange(learner.transitions - len(learner.store), learner.transitions)
            trainer.episode = len(np.unique(learner.store.end_of(stored)))
            hooks.run(trainer)
        finally:
            self._learning = False
            learner.store.close()
        return self

    def learn_from(
        self,
        recordings: RecordedExperience | Path | str | Sequence[Path | str],
        updates: int | None = None,
        progress: Callable[[int], Any] = lambda count: None,
    ) -> TDM:
        """Learn from recordings, without acting; `learn` continues in the environment.

        Parameters
        ----------
        recordings : RecordedExperience, path, or sequence of paths
            Run folders, logs, or Parquet or LeRobot datasets. Damaged parts are left out, with a warning.
        updates : int, optional
            Gradient updates; by default `TdmConfig.gradient_steps` per transition.
        progress : callable
            Called with the number of updates since the last call.

        Returns
        -------
        TDM
            Itself.

        Raises
        ------
        ValueError
            If a recording is damaged entirely or of another task, or there are fewer transitions than
            `TdmConfig.learning_starts`.
        """
        if not isinstance(recordings, RecordedExperience):
            paths = [recordings] if isinstance(recordings, (str, Path)) else recordings
            recordings = read_experience([Path(path) for path in paths], self.task)
            for problem in recordings.problems:
                warnings.warn(problem, stacklevel=2)
        count, config = len(recordings.steps), self.learner.config
        if self.learner.transitions + count < config.learning_starts:
            raise ValueError(
                f"the recordings contain {count} transitions to learn from, expected at least learning_starts = "
                f"{config.learning_starts}: give more of them"
            )
        if updates is not None and updates < 0:
            raise ValueError(f"updates from recordings must be >= 0, got {updates}")
        self.calibration = None
        updates = config.gradient_steps * count if updates is None else updates
        for made in self.learner.learn_recorded(recordings.steps, updates):
            progress(made)
        return self

    def save(self, directory: Path | str) -> Path:
        """Write weights, replay buffer and settings to ``directory``; after a crash the old or the new state is there.

        Returns
        -------
        Path
            The directory, a run folder as `tdm_ros train` writes it.
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
        env: EnvSource | None = None,
        test_env: EnvSource | None = None,
        compiled: bool = False,
        device: str = "cpu",
    ) -> TDM:
        """Read a folder of `save` or `tdm_ros train`, ready to act and to continue learning.

        Parameters
        ----------
        directory : Path or str
        env, test_env : as for `TDM`, optional
            Necessary if the agent was made from an environment object instead of a name.
        compiled, device : as for `TDM`

        Raises
        ------
        FileNotFoundError
            If there is no checkpoint.
        ValueError
            If the checkpoint is damaged, its schema or task does not match, or the device is unknown.
        """
        folder = checkpoint_folder(Path(directory))
        learner = load_learner(folder, compiled=compiled, device=device)
        source, noise = recorded_name(folder, learner.task) if env is None else env, recorded_noise(folder)
        prepared = prepare_env(source, learner.task.horizon, noise, (folder, learner.task))
        agent = cls(prepared, learner.config, learner.seed, learner.task.horizon, test_env, noise)
        agent.learner = learner
        file = folder.parent / CALIBRATION
        if file.exists():
            stored = Calibration.from_json(json.loads(file.read_text(encoding="utf-8")))
            agent.calibration = stored if stored.updates == agent.updates else None
        return agent

    def predict(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps_left: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Compute actions, without noise.

        Parameters
        ----------
        observation : dict
            Of the environment: ``observation`` (O,), ``achieved_goal`` (G,), ``desired_goal`` (G,); or batches of B.
        goal : (G,) or (B, G) [goal unit], optional
            By default the ``desired_goal``.
        steps_left : int or (B,), optional
            Time to the goal: ``steps_left + 1`` steps [steps]; it may exceed the longest horizon. By default the policy
            selects the horizon with the smallest predicted final distance.

        Returns
        -------
        (A,) or (B, A)
            In the units and the dtype of the given environment (of a name: [-1, 1], float32).

        Raises
        ------
        ValueError
            If a size does not match the task, or a number is not finite.
        RuntimeError
            Before the first update.
        """
        actor, longest = self.actor(), self.task.horizon
        states, single = as_states(self.task, observation, goal, longest if steps_left is None else steps_left)
        if steps_left is None and actor.critic is not None:
            rows = [actor.select_horizon(*state[:3], actor.features.horizon)[0] for state in zip(*states, strict=True)]
        else:
            rows = [actor.act(*state[:3], int(state[3])) for state in zip(*states, strict=True)]
        actions = to_box(self._box, np.stack(rows))
        return actions[0] if single else actions

    def actor(self) -> NumpyActor:
        """The present policy, in numpy.

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        self._trained_agent()
        if self._actor is None or self._actor[0] != self.updates:
            self._actor = self.updates, NumpyActor.from_bytes(self.learner.actor_bytes())
        return self._actor[1]

    def policy(self) -> Policy:
        """The policy for `tdm_ros.training.evaluation`, with actions in [-1, 1]."""
        return actor_policy(self.actor())

    def evaluate(self, episodes: int = 50, seed: int = 0) -> Evaluation:
        """Measure final distances of ``episodes`` episodes, without noise, with goals that differ from the training's.

        Raises
        ------
        ValueError
            While `learn` runs, if the environment is an object and there is no ``test_env``.
        RuntimeError
            Before the first update.
        """
        return evaluate(self.policy(), self._separate_env(), self.task, episodes, seed)

    def reachability(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps: ArrayLike | None = None
    ) -> Reachability:
        """Predicted final distance to a goal after ``steps`` steps, with an interval.

        Parameters
        ----------
        observation : dict
            As for `predict`: one state or B of them.
        goal : (G,) or (B, G) [goal unit], optional
            By default the ``desired_goal``.
        steps : int or (B,), optional
            Number of actions, 1 to the horizon plus 1 (``steps_left`` + 1) [steps]; by default the largest.

        Returns
        -------
        Reachability
            Numbers for one state, (B,) arrays for a batch.

        Raises
        ------
        ValueError
            If an input does not match the task, ``steps`` is out of range, or the critics do not predict points.
        RuntimeError
            Before the first update.
        """
        largest = self.task.horizon + 1
        steps = np.asarray(largest if steps is None else steps)
        if (steps < 1).any() or (steps > largest).any():
            raise ValueError(f"steps must be 1 to {largest}, the longest horizon plus one, got {steps.tolist()}")
        states, single = as_states(self.task, observation, goal, steps - 1)
        bounds = self.calibration.bounds if self.calibration else None
        result = reachability(self._trained_agent(), self.task, states, bounds)
        return result.single() if single else result

    def calibrate(
        self,
        episodes: int = 100,
        seed: int = 0,
        directory: Path | str | None = None,
        on_episode: Callable[[], object] = lambda: None,
    ) -> Calibration:
        """Compare predicted with reached distances, which calibrates the intervals of `reachability`.

        The calibration is valid until further updates, and saved with the agent.

        Parameters
        ----------
        episodes, seed : int
            As for `evaluate`.
        directory : Path or str, optional
            Folder for ``calibration.png`` and ``calibration.json``.
        on_episode : callable
            Called after each episode.

        Raises
        ------
        ValueError
            If there are too few episodes, or the critics do not predict points.
        RuntimeError
            Before the first update.
        """
        results = collect_rollouts(self._trained_agent(), self._separate_env(), self.task, episodes, seed, on_episode)
        self.calibration = result = calibration(results, self.task, self.updates, seed)
        if directory is not None:
            write_json(Path(directory) / CALIBRATION, result.to_json())
            draw_calibration(Path(directory), result, results, f"{self.task.name}, {self.updates} updates")
        return result

    def _separate_env(self) -> GoalEnv:
        """Environment for evaluation; between two calls of `learn` it may be the one of the training."""
        if self._test_env is None:
            if self.task_name is None:
                if not self._learning:
                    return self.env
                raise ValueError("evaluation while learning needs a separate environment: give TDM a test_env")
            self._test_env = prepare_env((make_env(self.task_name), self.task), self.task.horizon, self.noise).env
        return self._test_env

    def _trained_agent(self) -> TdmAgent:
        if self.learner.agent is None:
            least = self.learner.config.learning_starts
            raise RuntimeError(
                f"no update was made after {self.steps} steps: call learn() with more than {least} steps"
            )
        return self.learner.agent

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
