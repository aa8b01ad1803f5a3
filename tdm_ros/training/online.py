"""Online training without ROS: act, store, update, validate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.evaluation import GoalEnv, PolicyInput, actor_policy, evaluate, evaluation_goal, rollout
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow

REFRESH_STEPS = 25
"""Steps after which the acting policy takes the new weights: about once per second, as the nodes do."""


@dataclass(frozen=True)
class TrainingSchedule:
    """Length of a training, and interval of its validations."""

    total_timesteps: int  # environment steps in all, including those before a resumption
    validate_every: int = 500  # steps between two validations; 0: none
    validate_episodes: int = 20


def by_operator(env: GoalEnv) -> bool:
    """Whether the operator made the last step: the attribute ``by_operator`` of the environment or of a wrapper."""
    return bool(env.get_wrapper_attr("by_operator")) if env.has_wrapper_attr("by_operator") else False


class OnlineTrainer:
    """Loop of training episodes with exploration, updates and validations.

    ``test_env`` is another environment, because a validation must not interrupt a training episode. ``on_episode`` is
    called after each training and validation episode, ``on_step`` after each training step.
    """

    def __init__(
        self,
        env: GoalEnv,
        test_env: GoalEnv,
        learner: Learner,
        schedule: TrainingSchedule,
        on_episode: Callable[[EpisodeRow], None] = lambda row: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.env, self.test_env = env, test_env
        self.learner, self.schedule = learner, schedule
        self.on_episode, self.on_step = on_episode, on_step
        self.episode = 0
        self._actor: NumpyActor | None = None

    def run(self) -> None:
        """Train until `TrainingSchedule.total_timesteps` are reached."""
        while self.learner.steps < self.schedule.total_timesteps:
            self._train_episode()

    def _train_episode(self) -> None:
        learner, task = self.learner, self.learner.task
        start = learner.steps
        # Loaded at the start of each episode, so that a run resumed from a checkpoint acts identically.
        self._actor = self._load_actor()
        end, step = "interrupted", None
        policy = self._exploring_policy()
        for step, last in rollout(self.env, task, policy, reset_seed("train", learner.seed, start)):
            learner.add(step, last, by_operator(self.env))
            self._update()
            self.on_step()
            if last:
                end = "terminated" if step.terminated else "time_limit"
            every = self.schedule.validate_every
            if every and learner.steps % every == 0:
                self._validate()
            if learner.steps >= self.schedule.total_timesteps:
                break
        learner.store.close()
        if step is not None:
            distance = float(task.distance(step.next_achieved, evaluation_goal(self.env, step.desired)))
            self._report("train", distance, end, step.desired)
        self.episode += 1

    def _exploring_policy(self) -> Callable[[PolicyInput], NDArray[np.float32]]:
        """The policy of one training episode: random actions before the first update, then the actor with noise."""
        learner, task = self.learner, self.learner.task
        # By steps instead of episodes, so that a resumed run draws the same numbers.
        start, config = learner.steps, learner.config
        exploration = Exploration(task.action.size, generator("train", learner.seed, start), config.action_noise)
        std = config.action_noise_std * (1 - learner.progress)
        rng = generator("train", learner.seed, start)

        def act(state: PolicyInput) -> NDArray[np.float32]:
            if self._actor is None:
                return exploration.random()
            if self._actor.stochastic:  # it explores by its own samples
                self._actor.rng = rng
                return actor_policy(self._actor)(state)
            return exploration.noisy(actor_policy(self._actor)(state), std)

        return act

    def _update(self) -> None:
        learner = self.learner
        due = learner.updates_due()
        if due:
            learner.update(due)
            if self._actor is None or learner.steps % REFRESH_STEPS == 0:
                self._actor = self._load_actor()

    def _load_actor(self) -> NumpyActor | None:
        """The present policy."""
        learner = self.learner
        return NumpyActor.from_bytes(learner.actor_bytes()) if learner.agent else None

    def _validate(self) -> None:
        learner = self.learner
        if learner.agent is None:
            return
        policy = actor_policy(NumpyActor.from_bytes(learner.actor_bytes()))
        episodes = self.schedule.validate_episodes
        result = evaluate(policy, self.test_env, learner.task, episodes, learner.seed, "validate")
        for distance in result.final_distance:
            self._report("validate", distance, "time_limit", None)

    def _report(self, mode: str, distance: float, end: str, goal: NDArray[np.float32] | None) -> None:
        steps = self.learner.steps
        text = " ".join(f"{x:.4f}" for x in goal) if goal is not None else ""
        seconds = steps / self.learner.task.rate_hz
        self.on_episode(EpisodeRow(seconds, steps, self.episode, mode, distance, self.learner.updates, end, text))
