"""Online training without ROS: act, store, learn, validate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.evaluation import Evaluation, GoalEnv, Situation, actor_policy, evaluate, judged_goal, play
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow
from tdm_ros.training.mode_selection import Way

REFRESH_STEPS = 25
"""The acting policy takes new weights about as often as the live system does: once a second."""


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how often to look.

    Parameters
    ----------
    steps : int
        Environment steps of the whole run, those before a resumption included.
    validate_every : int
        Steps between looks at the validation goals; 0: never.
    validate_episodes : int
    """

    steps: int
    validate_every: int = 500
    validate_episodes: int = 20

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be >= 1, got {self.steps}")
        if self.validate_every < 0 or self.validate_episodes < 1:
            raise ValueError(
                "validate_every must be >= 0 and validate_episodes >= 1, "
                f"got {self.validate_every} and {self.validate_episodes}"
            )


def by_person(env: GoalEnv) -> bool:
    """Whether a person made the last step: what the environment, or a wrapper, says in its attribute ``by_person``."""
    return bool(env.get_wrapper_attr("by_person")) if env.has_wrapper_attr("by_person") else False


class OnlineTrainer:
    """Plays episodes with exploration and lets the learner make the updates that each step allows.

    Parameters
    ----------
    env, test_env : GoalEnv
        For training and for validation; two, because an episode of one must not disturb the other.
    learner : Learner
    schedule : Schedule
    on_episode : callable
        Receives an `EpisodeRow` for each training and validation episode.
    on_step : callable
        Called after each step.
    """

    def __init__(
        self,
        env: GoalEnv,
        test_env: GoalEnv,
        learner: Learner,
        schedule: Schedule,
        on_episode: Callable[[EpisodeRow], None] = lambda row: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.env, self.test_env = env, test_env
        self.learner, self.schedule = learner, schedule
        self.on_episode, self.on_step = on_episode, on_step
        self.episode = 0
        self._actor: NumpyActor | None = None
        self._way: Way | None = None
        learner.start_race()

    def run(self) -> None:
        """Train until the schedule's steps are reached; call again after raising them to go on."""
        while self.learner.steps < self.schedule.steps:
            self._train_episode()

    def _train_episode(self) -> None:
        learner, task = self.learner, self.learner.task
        # Counted by steps, not episodes, so that a resumed run draws what an uninterrupted one would have drawn.
        start = learner.steps
        explore = Exploration(task.action.size, generator("train", learner.seed, start), learner.config.walk)
        noise = learner.config.noise * (1 - learner.progress)
        # Anew, so that a run that goes on from a checkpoint, which is made between two episodes, acts as this one does.
        race = learner.race
        self._way = race.turn if race else None
        self._actor = self._fresh()
        chosen = self._actor is not None
        noiseless = min(task.horizon + 1, task.episode_steps // 2) if race and not race.over else 0
        dice = generator("train", learner.seed, start)

        def act(now: Situation) -> NDArray[np.float32]:
            if self._actor is None:
                return explore.random()
            noisy = now.steps_left >= noiseless
            if self._actor.stochastic:  # It is its own exploration.
                self._actor.rng = dice if noisy else None
                return actor_policy(self._actor)(now)
            action = actor_policy(self._actor)(now)
            return explore.noisy(action, noise) if noisy else action

        end, step = "interrupted", None
        for step, last in play(self.env, task, act, reset_seed("train", learner.seed, start)):
            human = by_person(self.env)
            chosen = chosen and not human
            learner.add(step, last, human)
            self._learn()
            self.on_step()
            if last:
                end = "terminated" if step.terminated else "time_limit"
            every = self.schedule.validate_every
            if every and learner.steps % every == 0:
                self._validate()
            if learner.steps >= self.schedule.steps:
                break
        learner.store.close()
        if step is not None:
            distance = float(task.distance(step.next_achieved, judged_goal(self.env, step.desired)))
            # Before the report, with which a checkpoint may be made.
            if race and self._way and chosen and end != "interrupted":
                race.judge(self._way, distance, learner.progress)
            self._report("train", distance, end, step.desired)
        self.episode += 1

    def _learn(self) -> None:
        learner = self.learner
        due = learner.updates_due()
        if due:
            learner.update(due)
            if self._actor is None or learner.steps % REFRESH_STEPS == 0:
                self._actor = self._fresh()

    def _fresh(self) -> NumpyActor | None:
        """What acts in this episode, as it is now."""
        learner = self.learner
        return NumpyActor.from_bytes(learner.actor_bytes(self._way)) if learner.agent else None

    def _validate(self) -> None:
        learner = self.learner
        if learner.agent is None:
            return
        policy = actor_policy(NumpyActor.from_bytes(learner.actor_bytes()))
        result: Evaluation = evaluate(
            policy, self.test_env, learner.task, self.schedule.validate_episodes, learner.seed, "validate"
        )
        for distance in result.final_distance:
            self._report("validate", distance, "time_limit", None)

    def _report(self, mode: str, distance: float, end: str, goal: NDArray[np.float32] | None) -> None:
        steps = self.learner.steps
        text = " ".join(f"{x:.4f}" for x in goal) if goal is not None else ""
        seconds = steps / self.learner.task.rate_hz
        self.on_episode(EpisodeRow(seconds, steps, self.episode, mode, distance, self.learner.updates, end, text))
