"""Stable-Baselines3's SAC, TD3, DDPG and TQC (contrib) with hindsight replay, under the conditions of the TDM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from sb3_contrib import TQC
from stable_baselines3 import DDPG, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.noise import NormalActionNoise

from benchmarks.agents.same_inputs import NetworkInputs, SameInputs
from benchmarks.trial import Trial
from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.evaluation import Policy, PolicyInput

GAMMA = 0.98
KEYS = ("observation", "achieved_goal", "desired_goal")


class HindsightEnv(gym.Wrapper):
    """An environment with the goals, the random phase and the reward that a TDM of the same seed has.

    Parameters
    ----------
    env : GoalEnv
    task : TaskSpec
    seed : int

    The reward is what a TDM's actor minimises: minus the Euclidean norm of all goal dimensions at the next state, in
    parts of the goal scale. An end by the world is shown as a time limit: rewards are below zero, so that an early end
    would be worth having.
    """

    def __init__(self, env: GoalEnv, task: TaskSpec, seed: int) -> None:
        super().__init__(env)
        self._task, self._seed, self._steps = task, seed, 0
        self.observation_space = gym.spaces.Dict(
            {key: gym.spaces.Box(-np.inf, np.inf, env.observation_space[key].shape, np.float32) for key in KEYS}  # type: ignore[index]
        )
        self.exploration: Exploration
        self.seen: list[NDArray[np.float32]] = []

    def reset(self, **kwargs: Any) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Begin the episode that `OnlineTrainer` would begin after as many steps."""
        self.exploration = Exploration(self._task.action.size, generator("train", self._seed, self._steps))
        seen, info = self.env.reset(seed=reset_seed("train", self._seed, self._steps))
        return _plain(seen), info

    def step(self, action: NDArray[np.float32]) -> tuple[dict[str, NDArray[np.float32]], float, bool, bool, Any]:
        """Act, and reward."""
        seen, _, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        then = _plain(seen)
        reward = float(self.compute_reward(then["achieved_goal"], then["desired_goal"], info))
        return then, reward, False, terminated or truncated, info

    def compute_reward(self, achieved: NDArray[Any], goal: NDArray[Any], info: Any) -> NDArray[np.float32]:
        """(..., G), (..., G) -> (...)."""
        gap = self._task.goal.difference(goal, achieved) / np.asarray(self._task.goal.scale)
        return -np.linalg.norm(gap, axis=-1).astype(np.float32)


def _plain(seen: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    return {key: np.asarray(seen[key], np.float32) for key in KEYS}


@dataclass
class TrainingCourse:
    """What `_Harnessed` needs to know of the run it is in.

    Parameters
    ----------
    env : HindsightEnv
    learning_starts, catch_up : int
        Steps of random actions; updates when they are over.
    inputs : NetworkInputs or None
    judge : callable
        Called after the updates of each step, with the algorithm.
    """

    env: HindsightEnv
    learning_starts: int
    catch_up: int
    inputs: NetworkInputs | None
    judge: Callable[[Any], None]
    observations: list[NDArray[np.float32]] = field(default_factory=list)


class _Harnessed:
    """Mixed into an off-policy algorithm: our random phase, normaliser and catch-up, and a look after each step."""

    course: TrainingCourse

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        course = self.course
        if self.num_timesteps >= course.learning_starts:  # type: ignore[attr-defined]
            return super()._sample_action(0, action_noise, n_envs)  # type: ignore[misc]
        course.observations.append(self._last_obs["observation"][0].copy())  # type: ignore[attr-defined]
        action = course.env.exploration.random()[None]
        return action, action

    def _store_transition(
        self, replay_buffer: Any, buffer_action: Any, new_obs: Any, reward: Any, dones: Any, infos: Any
    ) -> None:
        executed = infos[0].get("executed_action")
        action = buffer_action if executed is None else np.asarray(executed, np.float32)[None]
        super()._store_transition(replay_buffer, action, new_obs, reward, dones, infos)  # type: ignore[misc]

    def train(self, gradient_steps: int, batch_size: int) -> None:
        course = self.course
        if self.num_timesteps == course.learning_starts:  # type: ignore[attr-defined]
            if course.inputs is not None:
                course.inputs.freeze(np.array(course.observations))
            gradient_steps = course.catch_up
        super().train(gradient_steps, batch_size)  # type: ignore[misc]
        course.judge(self)


class HarnessedSac(_Harnessed, SAC):  # type: ignore[misc]
    """SAC under the conditions of the TDM."""


class HarnessedTd3(_Harnessed, TD3):  # type: ignore[misc]
    """TD3 under the conditions of the TDM."""


class HarnessedDdpg(_Harnessed, DDPG):  # type: ignore[misc]
    """DDPG under the conditions of the TDM."""


class HarnessedTqc(_Harnessed, TQC):  # type: ignore[misc]
    """Truncated quantile critics under the conditions of the TDM."""


class NextGoalBuffer(HerReplayBuffer):
    """Half of the hindsight goals are what the transition itself achieved, the others come later in its episode."""

    def _sample_goals(self, batch_indices: NDArray[np.intp], env_indices: NDArray[np.intp]) -> NDArray[np.float32]:
        goals = super()._sample_goals(batch_indices, env_indices)
        half = slice(None, None, 2)  # the indices are in random order
        goals[half] = self.next_observations["achieved_goal"][batch_indices[half], env_indices[half]]
        return goals


ALGORITHMS = {"sac": HarnessedSac, "td3": HarnessedTd3, "ddpg": HarnessedDdpg, "tqc": HarnessedTqc}


@dataclass(frozen=True)
class Baseline:
    """One of SB3's algorithms with `HerReplayBuffer` (future goals, four for each real one) and a dense reward.

    Parameters
    ----------
    kind : str
        "sac", "td3", "ddpg" or "tqc".
    plain : bool
        SB3's own concatenated raw inputs, instead of those that a TDM's networks have.
    gradient_steps : int
    next_goals : bool
        Whether half of the hindsight goals are those of the next state, as in Next-Future.
    config : TdmConfig
        Gives the sizes and the random phase that both sides share: width, batch, random steps, noise, near scale.
    """

    kind: str
    plain: bool = False
    gradient_steps: int = 1
    next_goals: bool = False
    config: TdmConfig = field(default_factory=TdmConfig)
    goals: int | None = None
    horizon: int | None = None
    sums_rewards: ClassVar[bool] = True

    def train(self, trial: Trial) -> None:
        """Learn; a run that is killed begins anew."""
        model = self.algorithm(trial.env, trial.task, trial.run.seed, trial.run.steps)

        def judge(now: Any) -> None:
            trial.after_step(now.num_timesteps, now._n_updates, lambda: policy_of(now))

        model.course.judge = judge
        model.learn(trial.run.steps, log_interval=None)

    def algorithm(self, env: GoalEnv, task: TaskSpec, seed: int, steps: int) -> Any:
        """Build the algorithm, ready to `learn` for ``steps`` steps."""
        config = self.config
        # Hindsight needs a whole episode before the first update.
        learning_starts = max(config.learning_starts, task.episode_steps)
        inputs = None if self.plain else NetworkInputs(task, config.near_scale)
        shared: dict[str, Any] = {}
        if inputs is not None:
            shared = {"features_extractor_class": SameInputs, "features_extractor_kwargs": {"inputs": inputs}}
        wrapped = HindsightEnv(env, task, seed)
        actions = task.action.size
        model: Any = ALGORITHMS[self.kind](
            "MultiInputPolicy",
            wrapped,
            replay_buffer_class=NextGoalBuffer if self.next_goals else HerReplayBuffer,
            replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
            learning_starts=learning_starts - 1,
            buffer_size=steps + task.episode_steps,
            batch_size=config.batch_size,
            gamma=GAMMA,
            train_freq=1,
            gradient_steps=self.gradient_steps,
            action_noise=None
            if self.kind in ("sac", "tqc")
            else NormalActionNoise(np.zeros(actions), np.full(actions, config.action_noise_std)),
            policy_kwargs={"net_arch": [config.hidden_size, config.hidden_size], **shared},
            seed=seed,
            device="cpu",
        )
        catch_up = config.initial_gradient_steps * self.gradient_steps // config.gradient_steps
        model.course = TrainingCourse(wrapped, learning_starts, max(catch_up, 1), inputs, lambda now: None)
        return model


def policy_of(model: Any) -> Policy:
    """The deterministic policy of an algorithm."""

    def act(now: PolicyInput) -> NDArray[np.float32]:
        seen = dict(zip(KEYS, (now.observation, now.achieved, now.goal), strict=True))
        action: NDArray[np.float32] = model.predict(seen, deterministic=True)[0]
        return action

    return act
