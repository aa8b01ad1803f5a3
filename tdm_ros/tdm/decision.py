"""Decision of the policy for one state of the arm, with exploration. No ROS, no torch: for the 20 Hz loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, Mode, Source, State, Timeline
from tdm_ros.tasks import TaskSpec, observe
from tdm_ros.tdm.actor import NumpyActor, Pursuit

RANDOM_SHARE = 0.1
"""Part of the steps in which the policy's action is replaced by a uniform one."""
MEMORY, KICK = 0.85, 0.5
"""Random phase: a <- MEMORY a + KICK N(0, 1), so that the arm goes somewhere instead of trembling."""
PULL = 0.1
"""Ornstein-Uhlenbeck noise: n <- (1 - PULL) n + std N(0, 1)."""


class Exploration:
    """Source of exploratory actions.

    Parameters
    ----------
    actions : int
        Number A of action dimensions.
    rng : numpy.random.Generator
    walk : "gaussian" or "ou"
        Independent noise and now and then a uniform action, or an Ornstein-Uhlenbeck process (the paper).
    """

    def __init__(self, actions: int, rng: np.random.Generator, walk: str = "gaussian") -> None:
        self._rng = rng
        self._correlated = walk == "ou"
        self._walk = np.zeros(actions)

    def random(self) -> NDArray[np.float32]:
        """Next action of the random phase: correlated over time, (A,) in [-1, 1]."""
        self._walk = np.clip(MEMORY * self._walk + KICK * self._rng.standard_normal(self._walk.shape), -1, 1)
        return self._walk.astype(np.float32)

    def noisy(self, action: NDArray[np.float32], std: float) -> NDArray[np.float32]:
        """Disturb the policy's action, (A,), by noise of ``std``; zero leaves it untouched."""
        if std == 0:
            return action
        if self._correlated:
            self._walk = (1 - PULL) * self._walk + std * self._rng.standard_normal(action.shape)
            return np.clip(action + self._walk, -1, 1).astype(np.float32)
        if self._rng.random() < RANDOM_SHARE:
            return self._rng.uniform(-1, 1, action.shape).astype(np.float32)
        return np.clip(action + std * self._rng.standard_normal(action.shape), -1, 1).astype(np.float32)


OVERDUE = 10
"""Cycles for which a subgoal on the way is still pursued when its time is over; then its planner is taken for dead."""


@dataclass(frozen=True)
class Aim:
    """A subgoal of the planner.

    Parameters
    ----------
    episode, start_cycle, steps_left : int
        ``steps_left`` [steps] applies at ``start_cycle`` and falls by one each cycle.
    goal : (G,) float32 [goal unit]
    planned : bool
        To be reached when the time is over: a deadline. Otherwise a policy that chooses its horizon does so freely.
    last : bool
        The goal itself, that is pursued until the episode ends.
    hold : str
        Why not to pursue anything, one of a few texts; "" to pursue the goal.
    """

    episode: int
    start_cycle: int
    steps_left: int
    goal: NDArray[np.float32]
    planned: bool = False
    last: bool = True
    hold: str = ""

    def left_at(self, cycle: int) -> int:
        """Steps left at ``cycle``; negative when the time is over."""
        return self.steps_left - max(cycle - self.start_cycle, 0)

    def problem_at(self, cycle: int) -> str:
        """Return why this cannot be pursued at ``cycle``, or "" if it can."""
        if self.hold:
            return f"the planner holds: {self.hold}"
        if not self.last and self.left_at(cycle) < -OVERDUE:
            return "the subgoal is overdue and no other came"
        return ""


@dataclass(frozen=True)
class Decision:
    """An action for one cycle, who decided it, and with which weights."""

    action: NDArray[np.float32]
    episode: int
    source: Source
    weights_version: int


class Decider:
    """Keeps what the policy was told and answers states.

    Parameters
    ----------
    task : TaskSpec
    exploration : Exploration
    """

    def __init__(self, task: TaskSpec, exploration: Exploration) -> None:
        self.task = task
        self._exploration = exploration
        self._timeline = Timeline()
        self._aims: list[Aim] = []
        self._actor: NumpyActor | None = None
        self._fresh: NumpyActor | None = None
        self._pursuit = Pursuit()
        self._cycle = 0
        self._distrusted = ""
        self.version = 0

    def hear(self, told: Announcement) -> None:
        """Take in what the supervisor announced."""
        self._timeline.announce(told, self._cycle)

    def aim(self, aim: Aim) -> None:
        """Take in a subgoal; the one of the running episode is kept beside one announced ahead."""
        self._aims = [*[old for old in self._aims if old.episode != aim.episode][-1:], aim]

    def forget_aims(self) -> None:
        """Pursue no subgoal until another comes."""
        self._aims = []

    def take(self, actor: NumpyActor, version: int) -> str:
        """Take new weights in, to be used from the next state on; return "" or why they cannot be used."""
        sizes = (self.task.observation.size, self.task.goal.size, self.task.action.size)
        if actor.sizes != sizes:
            return f"sizes {actor.sizes}, expected {sizes}"
        self._fresh, self.version, self._distrusted = actor, version, ""
        return ""

    def distrust(self, why: str) -> None:
        """The newest weights cannot be used: who sent them is not to be followed, until it sends better ones."""
        self._distrusted = f"the newest weights cannot be used: {why}"

    def decide(self, sample: ArmSample) -> tuple[Decision | None, str]:
        """Choose the action of the cycle that begins with ``sample``.

        Returns
        -------
        tuple
            The decision and ""; or None and why there is none, "" if none is wanted.
        """
        self._cycle = sample.cycle
        self._actor = self._fresh or self._actor
        told = self._timeline.at(sample.cycle)
        if told.state != State.RUNNING:
            return None, ""
        if self._distrusted:
            return None, self._distrusted
        if self._actor is None:
            if told.mode == Mode.EVALUATE:
                return None, "no weights to evaluate"
            return Decision(self._exploration.random(), told.episode, Source.RANDOM, 0), ""
        aim = next((a for a in self._aims if a.episode == told.episode), None)
        if aim is None:
            return None, "no subgoal for this episode"
        if problem := aim.problem_at(sample.cycle):
            return None, problem
        left = aim.left_at(sample.cycle)
        hand = sample.hand_m.astype(np.float32)
        seen = observe(sample.q_rad, sample.qd_rad_s, sample.hand_m)
        if self._actor.critic is not None and not (aim.planned and left >= 0):
            action = self._pursuit.act(self._actor, seen, hand, aim.goal)
        else:
            action = self._actor.act(seen, hand, aim.goal, max(left, 0))
        if not np.isfinite(action).all():
            return None, "action not finite"
        if told.mode == Mode.TRAIN:
            action = self._exploration.noisy(action, told.exploration)
        return Decision(action, told.episode, Source.POLICY, self.version), ""
