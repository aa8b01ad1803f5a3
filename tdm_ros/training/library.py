"""Library: a `TDM` learns in any goal-conditioned environment, acts, predicts distances, and is saved on disk."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.envs.goal_env import GoalEnv, make_env
from tdm_ros.envs.wrappers import Noise, to_box
from tdm_ros.planning import KeepOut, Plan, PlannerSettings, SubgoalPlanner
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.arguments import (
    as_path,
    check_type,
    checked_config,
    episode_time,
    reject_policy_name,
    reject_unknown_keywords,
    whole_number,
    whole_steps,
)
from tdm_ros.training.calibration import Calibration, calibration, collect_rollouts, draw_calibration
from tdm_ros.training.callbacks import Callback, CallbackList
from tdm_ros.training.checkpoint import load_learner, save_checkpoint
from tdm_ros.training.environment import (
    CALIBRATION,
    CHECKPOINT,
    CONFIG,
    EnvSource,
    PreparedEnv,
    as_states,
    checkpoint_folder,
    copied_env,
    one_state,
    prepare_env,
    prepare_test_env,
    recorded_name,
    recorded_noise,
    versions,
    write_json,
)
from tdm_ros.training.evaluation import Evaluation, Policy, actor_policy, evaluate
from tdm_ros.training.experience import RecordedExperience, read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule
from tdm_ros.training.planned import PlanningPolicy
from tdm_ros.training.reachability import Reachability, reachability


class TDM:
    """A temporal difference model of one environment.

    Attributes ``env`` (actions in [-1, 1]), ``task`` (`TaskSpec`), ``learner``, and ``calibration``, the result of
    `calibrate` until further updates.

    Parameters
    ----------
    env : str, Gymnasium goal environment, or (environment, TaskSpec)
        A name as for `make_goal_env`. Without a `TaskSpec`, the task is derived from the spaces and 200 resets.
    config : TdmConfig, optional
        Learning rate and exploration decrease over its ``total_timesteps``, or else over the first call of `learn`.
    seed : int
        Of weights, goals and noise: the same calls with the same seed give identical weights (on the CPU).
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    test_env : as ``env``, optional
        For validation, `evaluate` and `calibrate`, of the same task. Default: a second one is made from the name, or
        copied from ``env``.
    noise : Noise, optional
        Noise on actions and observations of all environments.
    compiled : bool
        Whether `torch.compile` compiles the update; needs a C++ compiler.
    device : str
        Device of the updates: "cpu", or "cuda", "cuda:1" for a GPU. The policy runs on the CPU.

    Raises
    ------
    ValueError
        If the environment is unknown or not goal-conditioned with a finite box of actions, ``test_env`` is of another
        task, PyTorch cannot use the device, or an argument has another type.
    TypeError
        If there is no argument of that name.
    RuntimeError
        Before the first update, in `predict`, `actor`, `policy`, `evaluate`, `plan`, `planner`, `reachability` and
        `calibrate`.
    """

    @reject_unknown_keywords
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
        reject_policy_name(env)
        config, seed = checked_config(config), whole_number("seed", seed)
        check_type("noise", noise, Noise)
        self.noise = noise
        horizon = None if horizon is None else whole_number("horizon", horizon)
        made = env if isinstance(env, PreparedEnv) else prepare_env(env, horizon, noise)
        self.env, self.task, self._given, self.task_name = made
        self._box: Any = self._given.action_space
        self._test_env = None if test_env is None else prepare_test_env(test_env, self.task, noise)
        self.learner = Learner(self.task, config, seed, compiled, device)
        self.last_step = 0
        """Step at which the present call of `learn` ends, counted over all calls [steps]."""
        self.calibration: Calibration | None = None
        self._schedule: TrainingSchedule | None = None
        self._learning = False
        self._actor: tuple[int, NumpyActor] | None = None
        self._planner: tuple[tuple[int, int], SubgoalPlanner] | None = None
        self._sampling = np.random.default_rng(np.random.SeedSequence([5, seed]))

    @property
    def steps(self) -> int:
        """Environment steps, over all calls, without those of recordings."""
        return self.learner.steps

    @property
    def updates(self) -> int:
        """Gradient updates, over all calls."""
        return self.learner.updates

    def learn(
        self,
        total_timesteps: int,
        callback: Callback | Sequence[Callback] | None = None,
        validate_every: int = 0,
        progress_bar: bool = False,
        reset_num_timesteps: bool | None = None,
    ) -> TDM:
        """Act and learn for ``total_timesteps`` more steps, and return itself; call again to continue.

        Parameters
        ----------
        total_timesteps : int
            Steps of this call.
        callback : Callback or sequence of Callback, optional
            See `tdm_ros.training.callbacks`: progress bar, CSV, TensorBoard, checkpoints.
        validate_every : int
            Steps between two validations; 0: none.
        progress_bar : bool
            Whether to show a progress bar.
        reset_num_timesteps : bool, optional
            Whether learning rate and exploration start at their initial values and decrease over this call. False: they
            are constant, unless `TdmConfig.total_timesteps` of the configuration has not been reached. Default: True in
            the first call (unless the configuration has ``total_timesteps``), False in further ones. `steps` counts on
            in any case.

        Raises
        ------
        ValueError
            If ``total_timesteps`` is not positive, validation has no environment, or the environment returns values
            that are not finite or of the wrong size.
        RuntimeError
            If it is called from a callback.
        """
        total_timesteps = whole_number("total_timesteps", total_timesteps, 1)
        validate_every = whole_number("validate_every", validate_every)
        if self._learning:
            raise RuntimeError("learn() is running already: do not call it from a callback")
        hooks = CallbackList(self, callback, progress_bar)
        learner, self.last_step, self.calibration = self.learner, self.steps + total_timesteps, None
        self._set_schedule(total_timesteps, reset_num_timesteps)
        self._schedule = TrainingSchedule(self.last_step, validate_every)
        self._learning = True
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

    def _set_schedule(self, total_timesteps: int, reset: bool | None) -> None:
        """Set over how many steps learning rate and exploration decrease; arguments as of `learn`."""
        learner = self.learner
        if reset or (reset is None and not self.steps and not learner.config.total_timesteps):
            learner.decrease_over(total_timesteps)
        elif learner.progress == 1:
            learner.decrease_over(0)

    def learn_from(
        self,
        recordings: RecordedExperience | Path | str | Sequence[Path | str],
        updates: int | None = None,
        progress: Callable[[int], Any] = lambda count: None,
    ) -> TDM:
        """Learn from recordings, without acting, and return itself; `learn` continues in the environment.

        Parameters
        ----------
        recordings : RecordedExperience, path, or sequence of paths
            Run folders, logs, or Parquet or LeRobot datasets. Damaged parts are left out, with a warning.
        updates : int, optional
            Gradient updates; by default `TdmConfig.gradient_steps` per transition.
        progress : callable
            Called with the number of updates since the last call.

        Raises
        ------
        ValueError
            If a recording is damaged entirely or of another task, or there are fewer transitions than
            `TdmConfig.learning_starts`.
        """
        if not isinstance(recordings, RecordedExperience):
            single = isinstance(recordings, str) or not isinstance(recordings, Sequence)
            given: Sequence[Any] = [recordings] if single else list(recordings)  # type: ignore[arg-type]
            recordings = read_experience([as_path("recordings", path) for path in given], self.task)
            for problem in recordings.problems:
                warnings.warn(problem, stacklevel=2)
        count, config = len(recordings.steps), self.learner.config
        if self.learner.transitions + count < config.learning_starts:
            raise ValueError(
                f"the recordings contain {count} transitions to learn from, expected at least learning_starts = "
                f"{config.learning_starts}: give more of them"
            )
        updates = whole_number("updates", config.gradient_steps * count if updates is None else updates)
        self.calibration = None
        for made in self.learner.learn_recorded(recordings.steps, updates):
            progress(made)
        return self

    def save(self, directory: Path | str) -> Path:
        """Write weights, replay buffer and settings to ``directory``; after a crash the old or the new state is there.

        Returns
        -------
        Path
            The directory, a run folder as `tdm_ros train` writes it.

        Raises
        ------
        ValueError
            If ``directory`` is not a path.
        """
        directory = as_path("directory", directory)
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
            If the folder does not exist, or has no checkpoint.
        ValueError
            If the checkpoint is damaged, its schema or task does not match, or the device is unknown.
        """
        folder = checkpoint_folder(as_path("directory", directory))
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
        self,
        observation: Mapping[str, ArrayLike],
        state: tuple[NDArray[np.int64], ...] | None = None,
        episode_start: ArrayLike | None = None,
        deterministic: bool = True,
        *,
        goal: ArrayLike | None = None,
        steps_left: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], tuple[NDArray[np.int64], ...]]:
        """Compute actions, as `evaluate` does: ``action, state = agent.predict(observation, state)`` in a loop.

        The horizon counts down during an episode. The state has the number of steps since its start; without it, every
        action is that of a first step, of which the goal may never be reached.

        Parameters
        ----------
        observation : dict
            Of the environment: ``observation`` (O,), ``achieved_goal`` (G,), ``desired_goal`` (G,); or batches of B.
        state : tuple of (B,) int array, optional
            As returned for the step before; default: the episode starts.
        episode_start : bool or (B,), optional
            Whether an episode starts, although there is a state.
        deterministic : bool
            Whether a stochastic policy (backbone "sac") acts by its mean.
        goal : (G,) or (B, G) [goal unit], optional
            By default the ``desired_goal``.
        steps_left : int or (B,), optional
            Time to the goal: ``steps_left + 1`` steps [steps]; >= 0, and it may exceed the longest horizon. By default
            that of the horizon schedule.

        Returns
        -------
        action : (A,) or (B, A)
            In the units, the dtype and the bounds of the environment itself.
        state : tuple of (B,) int array

        Raises
        ------
        ValueError
            If an input does not match the task, is not finite, or ``steps_left`` is not a whole number >= 0.

        Source: the signature of `stable_baselines3`, whose `evaluate_policy` accepts a `TDM`.
        """
        actor = self.actor()
        asked = 0 if steps_left is None else whole_steps("steps_left", steps_left, 0)
        states, single = as_states(self.task, observation, goal, asked)
        passed = episode_time(state, episode_start, len(states.observation))
        left = states.steps_left
        if steps_left is None:
            remaining = np.maximum(self.task.episode_steps - 1 - passed, 0)
            left = np.array([actor.steps_left(*each) for each in zip(passed.tolist(), remaining.tolist(), strict=True)])
        actor.rng = self._sampling
        rows = actor.act_batch(states.observation, states.achieved, states.goal, left, sampled=not deterministic)
        actor.rng = None  # `evaluate` acts with the same actor, by its mean
        actions = to_box(self._box, rows)
        return (actions[0] if single else actions), (passed + 1,)

    def actor(self) -> NumpyActor:
        """The present policy, in numpy."""
        self._trained_agent()
        if self._actor is None or self._actor[0] != self.updates:
            self._actor = self.updates, NumpyActor.from_bytes(self.learner.actor_bytes())
        return self._actor[1]

    def policy(self) -> Policy:
        """The policy for `tdm_ros.training.evaluation`, with actions in [-1, 1]."""
        return actor_policy(self.actor())

    def evaluate(self, episodes: int = 50, seed: int = 0, policy: Policy | None = None) -> Evaluation:
        """Measure final distances of ``episodes`` episodes, without noise, with goals that differ from the training's.

        The environment is another one than that of the training.

        Parameters
        ----------
        episodes : int
            At least 1.
        seed : int
            Of goals and starts.
        policy : Policy, optional
            The result of `planner`, or a function of one `PolicyInput` that returns an action, (A,) in [-1, 1]. By
            default the result of `policy`.

        Returns
        -------
        Evaluation
            With ``final_distance`` per episode [goal unit] and the shares of successes.

        Raises
        ------
        ValueError
            If an argument is something else, or the environment is an object that cannot be copied and there is no
            ``test_env``.
        """
        return evaluate(self.policy() if policy is None else policy, self._separate_env(), self.task, episodes, seed)

    def plan(
        self,
        observation: Mapping[str, ArrayLike],
        goal: ArrayLike | None = None,
        settings: PlannerSettings | None = None,
        keep_out: KeepOut | None = None,
    ) -> Plan:
        """Plan subgoals to a goal that may be farther away than the longest horizon.

        Parameters
        ----------
        observation : dict
            As for `predict`, of one state.
        goal : (G,) [goal unit], optional
            By default the ``desired_goal``.
        settings, keep_out
            As for `planner`.

        Returns
        -------
        Plan
            Knots (N, G), steps of each segment, predicted misses; or a status and the reason why there is none. The
            first plan after an update, or with other settings, takes longer (``cpu_s``), because it computes the graph.

        Raises
        ------
        ValueError
            If there is more than one state, a size does not match the task, or a number is not finite.
        """
        began = time.thread_time()
        state = one_state(self.task, observation, goal)
        check_type("keep_out", keep_out, KeepOut)
        planner = self._present_planner(settings)
        planner.restart()
        planner.keep_out = KeepOut() if keep_out is None else keep_out
        plan = planner.plan(state.observation[0], state.achieved[0], state.goal[0])
        return replace(plan, cpu_s=time.thread_time() - began)

    def _present_planner(self, settings: PlannerSettings | None) -> SubgoalPlanner:
        """Planner of the present policy; it is kept until something is learned or the settings differ."""
        version = self.updates, self.learner.transitions
        kept = self._planner
        if kept is None or kept[0] != version or kept[1].settings != (settings or PlannerSettings()):
            self._planner = kept = version, self.planner(settings).planner
        return kept[1]

    def planner(self, settings: PlannerSettings | None = None, keep_out: KeepOut | None = None) -> PlanningPolicy:
        """The present policy with subgoals of a planner: to act step by step, or for `evaluate`.

        Parameters
        ----------
        settings : PlannerSettings, optional
            Optimiser, objective and seed; default: a shortest path over states of the replay buffer.
        keep_out : KeepOut, optional
            Boxes in goal space that must not be entered.

        Raises
        ------
        ValueError
            If an argument has another type, or the policy has no critics that predict points (`ReachModel`).
        """
        return PlanningPolicy(self.actor(), self.task, self.learner.store, self._box, settings, keep_out)

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
            If an input does not match the task, ``steps`` is not whole or out of range, or the critics do not predict
            points.
        """
        largest = self.task.horizon + 1
        asked = whole_steps("steps", largest if steps is None else steps, 1, largest, "the longest horizon plus one")
        states, single = as_states(self.task, observation, goal, asked - 1)
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
            If there are too few episodes, the critics do not predict points, or ``directory`` is not a path.
        """
        folder = None if directory is None else as_path("directory", directory)
        results = collect_rollouts(self._trained_agent(), self._separate_env(), self.task, episodes, seed, on_episode)
        self.calibration = result = calibration(results, self.task, self.updates, seed)
        if folder is not None:
            write_json(folder / CALIBRATION, result.to_json())
            draw_calibration(folder, result, results, f"{self.task.name}, {self.updates} updates")
        return result

    def _separate_env(self) -> GoalEnv:
        """Environment for evaluation, which is not the one of the training unless the caller gave it twice."""
        if self._test_env is None:
            made = make_env(self.task_name) if self.task_name else copied_env(self._given)
            self._test_env = prepare_env((made, self.task), self.task.horizon, self.noise).env
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
