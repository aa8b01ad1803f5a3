"""Action of the policy for one state of the arm, with exploration. Imports neither ROS nor torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Announcement, Mode, Source, State, Timeline
from tdm_ros.tdm.actor import HorizonSelector, NumpyActor

RANDOM_FRACTION = 0.1
"""Fraction of the steps in which a uniform action replaces the one of the policy."""
RANDOM_MEMORY, RANDOM_STD = 0.85, 0.5
"""Random phase: a <- RANDOM_MEMORY a + RANDOM_STD N(0, 1): correlated actions, so that the arm covers its workspace."""
OU_THETA = 0.1
"""Ornstein-Uhlenbeck noise: n <- (1 - OU_THETA) n + std N(0, 1)."""


class Exploration:
    """Exploratory actions: of the random phase, and of the policy with noise.

    ``actions`` is the number A of action dimensions, ``action_noise`` "gaussian" (independent noise, with a uniform
    action now and then) or "ou" (an Ornstein-Uhlenbeck process, as in the paper).
    """

    def __init__(self, actions: int, rng: np.random.Generator, action_noise: str = "gaussian") -> None:
        self._rng = rng
        self._correlated = action_noise == "ou"
        self._previous = np.zeros(actions)

    def random(self) -> NDArray[np.float32]:
        """Next action of the random phase, correlated over time, (A,) in [-1, 1]."""
        self._previous = np.clip(
            RANDOM_MEMORY * self._previous + RANDOM_STD * self._rng.standard_normal(self._previous.shape), -1, 1
        )
        return self._previous.astype(np.float32)

    def noisy(self, action: NDArray[np.float32], std: float) -> NDArray[np.float32]:
        """Add noise of ``std`` to an action of the policy, (A,); with a ``std`` of 0 it is unchanged."""
        if std == 0:
            return action
        if self._correlated:
            self._previous = (1 - OU_THETA) * self._previous + std * self._rng.standard_normal(action.shape)
            return np.clip(action + self._previous, -1, 1).astype(np.float32)
        if self._rng.random() < RANDOM_FRACTION:
            return self._rng.uniform(-1, 1, action.shape).astype(np.float32)
        return np.clip(action + std * self._rng.standard_normal(action.shape), -1, 1).astype(np.float32)


OVERDUE_CYCLES = 10
"""Cycles for which an intermediate subgoal is pursued after its deadline; then its planner counts as failed."""


@dataclass(frozen=True)
class PolicySubgoal:
    """Subgoal that the planner has sent."""

    episode: int
    start_cycle: int  # at which ``steps_left`` applies; it decreases by one per cycle
    steps_left: int
    goal: NDArray[np.float32]  # (G,) float32 [goal unit]
    planned: bool = False  # the deadline applies; without one, a policy that selects its horizon does so
    last: bool = True  # this is the goal itself, which is pursued until the episode ends
    hold: str = ""  # reason to hold, one of a few texts; "" to pursue the goal

    def left_at(self, cycle: int) -> int:
        """Steps left at ``cycle``; negative after the deadline."""
        return self.steps_left - max(cycle - self.start_cycle, 0)

    def problem_at(self, cycle: int) -> str:
        """Reason why this is not pursued at ``cycle``; "" if it is."""
        if self.hold:
            return f"the planner holds: {self.hold}"
        if not self.last and self.left_at(cycle) < -OVERDUE_CYCLES:
            return "the subgoal is overdue and no other was received"
        return ""


@dataclass(frozen=True)
class Decision:
    """Action for one cycle, its source, and the version of the weights."""

    action: NDArray[np.float32]
    episode: int
    source: Source
    weights_version: int


class PolicyController:
    """Computes actions from the last episode, subgoal and weights received.

    ``smoothing``: fraction, in [0, 1), of the action that was executed last in an action of the policy.
    """

    def __init__(self, live: LiveTask, exploration: Exploration, smoothing: float = 0.0) -> None:
        self.live, self.task = live, live.spec
        self._exploration, self._smoothing = exploration, smoothing
        self._before: ArmSample | None = None
        self._timeline = Timeline()
        self._subgoals: list[PolicySubgoal] = []
        self._actor: NumpyActor | None = None
        self._fresh: NumpyActor | None = None
        self._selector = HorizonSelector()
        self._cycle = 0
        self._rejected_weights = ""
        self.version = 0

    def set_episode(self, announced: Announcement) -> None:
        """Store an announcement of the supervisor."""
        self._timeline.announce(announced, self._cycle)

    def set_subgoal(self, subgoal: PolicySubgoal) -> None:
        """Store a subgoal; those of the running and of the announced episode are kept side by side."""
        self._subgoals = [*[old for old in self._subgoals if old.episode != subgoal.episode][-1:], subgoal]

    def clear_subgoals(self) -> None:
        """Pursue no subgoal until another is received."""
        self._subgoals = []

    def set_actor(self, actor: NumpyActor, version: int) -> str:
        """Use new weights from the next state on; return "" or the reason why they cannot be used."""
        sizes = (self.task.observation.size, self.task.goal.size, self.task.action.size)
        if actor.sizes != sizes:
            return f"sizes {actor.sizes}, expected {sizes}"
        self._fresh, self.version, self._rejected_weights = actor, version, ""
        return ""

    def reject_weights(self, reason: str) -> None:
        """Compute no action until valid weights are received: the newest ones cannot be used."""
        self._rejected_weights = f"the newest weights cannot be used: {reason}"

    def decide(self, sample: ArmSample) -> tuple[Decision | None, str]:
        """Compute the action of the cycle that begins with ``sample``.

        Returns the decision and ""; or None and the reason, "" if no action is due.
        """
        before, self._before, self._cycle = self._before, sample, sample.cycle
        self._actor = self._fresh or self._actor
        episode = self._timeline.at(sample.cycle)
        if episode.state != State.RUNNING:
            return None, ""
        if self._rejected_weights:
            return None, self._rejected_weights
        if problem := self.live.problem(sample):
            return None, problem
        if self._actor is None:
            if episode.mode == Mode.EVALUATE:
                return None, "no weights to evaluate"
            return Decision(self._exploration.random(), episode.episode, Source.RANDOM, 0), ""
        subgoal = next((one for one in self._subgoals if one.episode == episode.episode), None)
        if subgoal is None:
            return None, "no subgoal for this episode"
        if problem := subgoal.problem_at(sample.cycle):
            return None, problem
        left = subgoal.left_at(sample.cycle)
        observation, achieved = self.live.observe(sample), self.live.achieved(sample)
        goal = self.live.present(achieved, subgoal.goal)
        if self._actor.critic is not None and not (subgoal.planned and left >= 0):
            action = self._selector.act(self._actor, observation, achieved, goal)
        else:
            action = self._actor.act(observation, achieved, goal, max(left, 0))
        if self._smoothing and before is not None and (before.run, before.cycle) == (sample.run, sample.cycle - 1):
            executed = self.live.action(before, sample)
            action = (action + self._smoothing * (executed - action)).astype(np.float32)
        if not np.isfinite(action).all():
            return None, "action not finite"
        if episode.mode == Mode.TRAIN:
            action = self._exploration.noisy(action, episode.exploration)
        return Decision(action, episode.episode, Source.POLICY, self.version), ""
