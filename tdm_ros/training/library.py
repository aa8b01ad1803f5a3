"""Library: a `TDM` learns in any goal-conditioned environment, acts, predicts distances, and is saved on disk."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.goal_env import GoalEnv, make_env
from tdm_ros.envs.wrappers import Noise, to_box
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.calibration import Calibration, calibration, draw_calibration, outcomes
from tdm_ros.training.callbacks import Callback, Watch
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.environment import (
    CALIBRATION,
    CHECKPOINT,
    CONFIG,
    Adopted,
    Source,
    adopted,
    as_states,
    checkpoint_folder,
    recorded_name,
    recorded_noise,
    versions,
    write_json,
)
from tdm_ros.training.evaluation import Evaluation, Policy, actor_policy, evaluate
from tdm_ros.training.experience import Experience, read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.training.mode_selection import Way
from tdm_ros.training.online import OnlineTrainer, Schedule
from tdm_ros.training.reachability import Reachability, reachability


class Questions:
    """The asking half of `TDM`, which makes, teaches, saves and loads what answers."""

    env: GoalEnv
    """With actions in [-1, 1]."""
    task: TaskSpec
    learner: Learner
    calibration: Calibration | None = None
    """The result of `calibrate`, until the agent learns on."""
    task_name: str | None
    """What the environment was made from, if not an object."""
    noise: Noise | None
    _box: Box
    _test_env: GoalEnv | None
    _learning: bool = False
    _actor: tuple[tuple[int, Way | None], NumpyActor] | None = None

    @property
    def steps(self) -> int:
        """Environment steps taken, over all calls; what was learned from recordings does not count."""
        return self.learner.steps

    @property
    def updates(self) -> int:
        """Gradient updates made, over all calls."""
        return self.learner.updates

    def predict(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps_left: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Choose what to do, without noise.

        Parameters
        ----------
        observation : dict
            As the environment gives it: ``observation`` (O,), ``achieved_goal`` (G,), ``desired_goal`` (G,); or a
            batch of each, (B, ...).
        goal : (G,) or (B, G) [goal unit], optional
            Where to be; by default the ``desired_goal``.
        steps_left : int or (B,), optional
            Be there after ``steps_left + 1`` more steps, 0 means at the very next state [steps]; it may be longer than
            the horizon that was learned. By default the policy chooses the horizon that promises most. A one-step model
            that acts (`TdmConfig.race`) goes for the goal at once, whatever this is.

        Returns
        -------
        (A,) or (B, A)
            In the units and the dtype of the environment that was given (a name: [-1, 1], float32).

        Raises
        ------
        ValueError
            If a size is not the task's, or a number is not finite.
        RuntimeError
            Before the first update.
        """
        actor, most = self.actor(), self.task.horizon
        states, single = as_states(self.task, observation, goal, most if steps_left is None else steps_left)
        if steps_left is None and actor.critic is not None:
            rows = [actor.options(*state[:3], actor.features.horizon)[0] for state in zip(*states, strict=True)]
        else:
            rows = [actor.act(*state[:3], int(state[3])) for state in zip(*states, strict=True)]
        actions = np.stack(rows)
        actions = to_box(self._box, actions)
        return actions[0] if single else actions

    def actor(self) -> NumpyActor:
        """The policy as it is now, in numpy; ``NumpyActor.from_bytes(agent.learner.actor_bytes())`` elsewhere.

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        self._learned()
        race = self.learner.race
        version = self.updates, race.acts if race else None
        if self._actor is None or self._actor[0] != version:
            self._actor = version, NumpyActor.from_bytes(self.learner.actor_bytes())
        return self._actor[1]

    def policy(self) -> Policy:
        """The policy as `evaluate` and `play` take it: its actions are in [-1, 1]."""
        return actor_policy(self.actor())

    def evaluate(self, episodes: int = 50, seed: int = 0) -> Evaluation:
        """Reach for ``episodes`` fresh goals without noise; the goals of ``seed`` are never those of training.

        Raises
        ------
        ValueError
            While `learn` runs, if the environment is an object and there is no ``test_env``: two episodes cannot run
            in one environment.
        RuntimeError
            Before the first update.
        """
        return evaluate(self.policy(), self._separate_env(), self.task, episodes, seed)

    def reachability(
        self, observation: Mapping[str, ArrayLike], goal: ArrayLike | None = None, steps: ArrayLike | None = None
    ) -> Reachability:
        """How close can it get to a goal in ``steps`` steps, and how sure is that?

        Parameters
        ----------
        observation : dict
            As for `predict`: one state or B of them.
        goal : (G,) or (B, G) [goal unit], optional
            By default the ``desired_goal``.
        steps : int or (B,), optional
            Actions from now on, 1 to the horizon plus 1 (``steps_left`` + 1) [steps]; by default the most.

        Returns
        -------
        Reachability
            Numbers for one state, (B,) arrays for a batch.

        Raises
        ------
        ValueError
            If an input does not fit, ``steps`` is beyond what was learned, or the critics predict no points.
        RuntimeError
            Before the first update.
        """
        most = self.task.horizon + 1
        steps = np.asarray(most if steps is None else steps)
        if (steps < 1).any() or (steps > most).any():
            raise ValueError(f"steps must be 1 to {most}, the horizon that was learned plus one, got {steps.tolist()}")
        states, single = as_states(self.task, observation, goal, steps - 1)
        bounds = self.calibration.bounds if self.calibration else None
        result = reachability(self._learned(), self.task, states, bounds)
        return result.single() if single else result

    def calibrate(
        self,
        episodes: int = 100,
        seed: int = 0,
        directory: Path | str | None = None,
        each: Callable[[], object] = lambda: None,
    ) -> Calibration:
        """Compare what is predicted with what is reached, so that `reachability` knows how sure it may be.

        It holds until the agent learns on, and is saved with it.

        Parameters
        ----------
        episodes, seed : int
            Of the stream of goals "evaluate", as for `evaluate`.
        directory : Path or str, optional
            Where to write ``calibration.png`` and ``calibration.json`` at once.
        each : callable
            Called after each episode.

        Raises
        ------
        ValueError
            If there are too few episodes, or the critics predict no points.
        RuntimeError
            Before the first update.
        """
        found = outcomes(self._learned(), self._separate_env(), self.task, episodes, seed, each)
        self.calibration = result = calibration(found, self.task, self.updates, seed)
        if directory is not None:
            write_json(Path(directory) / CALIBRATION, result.to_json())
            draw_calibration(Path(directory), result, found, f"{self.task.name}, {self.updates} updates")
        return result

    def _separate_env(self) -> GoalEnv:
        """An environment in which nothing is learned; of an object, between two calls of `learn`, that object."""
        if self._test_env is None:
            if self.task_name is None:
                if not self._learning:
                    return self.env
                raise ValueError(
                    "evaluation while learning needs an environment of its own, so as not to disturb learning: "
                    "give TDM a test_env"
                )
            self._test_env = adopted((make_env(self.task_name), self.task), self.task.horizon, self.noise).env
        return self._test_env

    def _learned(self) -> TdmAgent:
        if self.learner.agent is None:
            least = self.learner.config.random_steps
            raise RuntimeError(
                f"this TDM has learned nothing yet ({self.steps} steps): call learn() with more than {least} steps"
            )
        return self.learner.agent


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
            Runs, logs, or Parquet or LeRobot datasets of `tdm_ros data convert`; damage is left out with a warning.
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
