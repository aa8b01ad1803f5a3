"""The library: a `TDM` that learns in any goal environment, acts, says how close it can get, and is kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.sim.goal_env import GoalEnv, make_goal_env
from tdm_ros.sim.noise import Noise
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.calibration import Calibration, calibration
from tdm_ros.training.calibration_plot import draw_calibration
from tdm_ros.training.callbacks import Callback, Watch
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.environment import Source, adopted
from tdm_ros.training.episode import Policy
from tdm_ros.training.evaluation import Evaluation, actor_policy, evaluate
from tdm_ros.training.learner import Learner
from tdm_ros.training.online import OnlineTrainer, Schedule
from tdm_ros.training.outcomes import outcomes
from tdm_ros.training.reachability import Reachability, reachability
from tdm_ros.training.saved import (
    CALIBRATION,
    CHECKPOINT,
    CONFIG,
    checkpoint_folder,
    recorded_name,
    recorded_noise,
    refuse_other_task,
    versions,
    write_json,
)
from tdm_ros.training.states import as_states


class TDM:
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
        Longest ``steps_left`` [steps]; by default the task's own, or 10.
    test_env : as ``env``, optional
        Only for validation while learning; made by itself where ``env`` is a name.
    noise : Noise, optional
        What to add to actions and observations, in learning, validation and evaluation alike.

    Raises
    ------
    ValueError
        If the environment is unknown, or no goal environment with a finite box of actions.
    """

    def __init__(
        self,
        env: Source,
        config: TdmConfig | None = None,
        seed: int = 0,
        horizon: int | None = None,
        test_env: Source | None = None,
        noise: Noise | None = None,
    ) -> None:
        self.task_name, self.noise = env if isinstance(env, str) else None, noise
        self.env, self.task, self._actions = adopted(env, horizon, noise)
        self._test_env = None if test_env is None else adopted(test_env, horizon, noise)[0]
        self.learner = Learner(self.task, config or TdmConfig(), seed)
        self.last_step = 0
        """Where the running call of `learn` ends, counted from the first step ever [steps]."""
        self.calibration: Calibration | None = None
        """The result of `calibrate`, until the agent learns on."""
        self._schedule: Schedule | None = None
        self._actor: tuple[int, NumpyActor] | None = None

    @property
    def steps(self) -> int:
        """Environment steps learned from, over all calls."""
        return self.learner.transitions

    @property
    def updates(self) -> int:
        """Gradient updates made, over all calls."""
        return self.learner.updates

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
            If ``steps`` is not positive, validation has no environment, or the environment gives numbers that can
            not be used.
        """
        if steps < 1:
            raise ValueError(f"steps must be >= 1, got {steps}")
        learner, self.last_step, self.calibration = self.learner, self.steps + steps, None
        learner.config = replace(learner.config, total_steps=max(learner.config.total_steps, self.last_step))
        self._schedule = Schedule(self.last_step, validate_every)
        watch = Watch(self, callbacks)
        trainer = OnlineTrainer(
            self.env, self._validation_env(validate_every), learner, self._schedule, watch.on_episode, watch.on_step
        )
        trainer.episode = len(np.unique(learner.store.end_of(np.arange(self.steps - len(learner.store), self.steps))))
        try:
            watch.run(trainer)
        finally:
            learner.store.close()
        return self

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
            Be there after ``steps_left + 1`` more steps, 0 means at the very next state [steps]; clipped to what was
            learned. By default the whole horizon.

        Returns
        -------
        (A,) or (B, A) float32
            In the units of the environment that was given (a name: [-1, 1]).

        Raises
        ------
        ValueError
            If a size is not the task's, or a number is not finite.
        RuntimeError
            Before the first update.
        """
        steps_left = self.task.horizon if steps_left is None else steps_left
        states, single = as_states(self.task, observation, goal, steps_left)
        actor = self.actor()
        actions = np.stack([actor.act(*state[:3], int(state[3])) for state in zip(*states, strict=True)])
        low, high = self._actions
        actions = np.clip(low + (actions + 1) / 2 * (high - low), low, high).astype(np.float32)
        return actions[0] if single else actions

    def actor(self) -> NumpyActor:
        """The policy as it is now, in numpy; ``NumpyActor.from_bytes(agent.learner.actor_bytes())`` elsewhere.

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        self._learned()
        if self._actor is None or self._actor[0] != self.updates:
            self._actor = self.updates, NumpyActor.from_bytes(self.learner.actor_bytes())
        return self._actor[1]

    def policy(self) -> Policy:
        """The policy as `evaluate` and `play` take it: its actions are in [-1, 1]."""
        return actor_policy(self.actor())

    def evaluate(self, episodes: int = 50, seed: int = 0) -> Evaluation:
        """Reach for ``episodes`` fresh goals without noise; the goals of ``seed`` are never those of training."""
        return evaluate(self.policy(), self.env, self.task, episodes, seed)

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
        found = outcomes(self._learned(), self.env, self.task, episodes, seed, each)
        self.calibration = result = calibration(found, self.task, self.updates, seed)
        if directory is not None:
            write_json(Path(directory) / CALIBRATION, result.to_json())
            draw_calibration(Path(directory), result, found, f"{self.task.name}, {self.updates} updates")
        return result

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
    def load(cls, directory: Path | str, env: Source | None = None, test_env: Source | None = None) -> TDM:
        """Read what `save` or `tdm_ros train` wrote, ready to act and to go on learning.

        Parameters
        ----------
        directory : Path or str
        env, test_env : as for `TDM`, optional
            Needed where the agent was made from an environment object, not from a name.

        Raises
        ------
        FileNotFoundError
            If there is no checkpoint.
        ValueError
            If it is damaged, of another schema, or of another task than ``env``.
        """
        folder = checkpoint_folder(Path(directory))
        learner = load_learner(folder)
        agent = cls(
            recorded_name(folder, learner.task) if env is None else env,
            learner.config,
            learner.seed,
            learner.task.horizon,
            test_env,
            recorded_noise(folder),
        )
        refuse_other_task(folder, learner.task, agent.task)
        agent.learner = learner
        measured = folder.parent / CALIBRATION
        if measured.exists():
            found = Calibration.from_json(json.loads(measured.read_text(encoding="utf-8")))
            agent.calibration = found if found.updates == agent.updates else None
        return agent

    def _learned(self) -> TdmAgent:
        if self.learner.agent is None:
            least = self.learner.config.random_steps
            raise RuntimeError(
                f"this TDM has learned nothing yet ({self.steps} steps): call learn() with more than {least} steps"
            )
        return self.learner.agent

    def _validation_env(self, validate_every: int) -> GoalEnv:
        if not validate_every:
            return self.env
        if self._test_env is None:
            if self.task_name is None:
                raise ValueError(
                    "validation needs an environment of its own, so as not to disturb learning: "
                    f"give TDM a test_env, or leave validate_every at 0; got {validate_every}"
                )
            self._test_env = make_goal_env(self.task_name, self.task.horizon, self.noise)[0]
        return self._test_env

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
