"""Settings of the supervisor, and the source of goals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.timeline import LONGEST_ID
from tdm_ros.tasks import SCENES, Scene, TaskSpec
from tdm_ros.tasks.seeds import generator


@dataclass(frozen=True)
class Schedule:
    """The plan of a run; times are in cycles of the arm.

    Parameters
    ----------
    duration : int
        Cycles of learning; 0: without end.
    evaluations : int
        Goals of the evaluation after learning.
    reset_every : int
        Episodes between two drives home.
    evaluate_reset_every : int
        The same during the evaluation.
    exploration : float
        Standard deviation of the exploration noise at the beginning, in action units; it fades to zero.
    episode_steps, evaluate_steps : int
        Cycles of an episode, of learning and of the evaluation.
    auto_start, auto_resume : bool
        Start, and go on after an interruption, without a person.
    pause : int
        Cycles to wait before an interrupted run is resumed, and after a refused goal.
    reset_timeout : int
        Cycles in which the arm must get home.
    weights_timeout_s : float
        Longest wait for the trainer's last weights before the evaluation [s].
    """

    duration: int = 3600
    evaluations: int = 40
    reset_every: int = 10
    evaluate_reset_every: int = 1
    exploration: float = 0.2
    episode_steps: int = 50
    evaluate_steps: int = 50
    auto_start: bool = True
    auto_resume: bool = True
    pause: int = 10
    reset_timeout: int = 300
    weights_timeout_s: float = 20.0

    def progress(self, robot_cycles: int) -> float:
        """Part of the learning time that is over, in [0, 1]; 0 in a run without end."""
        return min(robot_cycles / self.duration, 1.0) if self.duration else 0.0


class Goals:
    """Goals of training and of evaluation, from streams of random numbers that have nothing in common.

    Parameters
    ----------
    task : TaskSpec
    seed : int
    scene : Scene
        No goal is drawn in one of its regions.
    low, high : (G,) sequence of float, optional
        Corners of a box that all goals are to lie in, beside the task's [goal unit].

    Raises
    ------
    ValueError
        If hardly any goal lies there.
    """

    def __init__(
        self,
        task: TaskSpec,
        seed: int,
        scene: Scene = SCENES["open"],
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
    ) -> None:
        self._task, self._seed, self._scene = task, seed, scene
        self._low = np.maximum(task.goal.low, task.goal.low if low is None else low).astype(np.float32)
        self._high = np.minimum(task.goal.high, task.goal.high if high is None else high).astype(np.float32)
        self._drawn = 0
        self._asked: NDArray[np.float32] | None = None
        self._keeps = False
        self.asked_id = ""
        """Identifier of the goal that somebody asked for; "" if nobody did."""
        self._numbered = 0
        for evaluation in (False, True):
            self._draw(np.random.default_rng(0), evaluation)

    def ask(self, goal: ArrayLike, goal_id: str = "") -> str:
        """Take somebody's goal, (G,), for the next episode; return "" or why it cannot be used.

        Without an identifier it gets a number, or that of such a goal which still stands and which it repeats.
        """
        if len(goal_id) > LONGEST_ID:
            return f"goal_id must have at most {LONGEST_ID} characters, got {len(goal_id)}"
        try:
            asked = self._task.goal.checked(goal, "goal")
        except ValueError as error:
            return str(error)
        if not self._within(asked):
            return f"goal must be within {self._box}, got {asked.tolist()}"
        if not goal_id:
            repeats = self.asked_id == f"{self._numbered}" and np.array_equal(asked, self._asked)  # type: ignore[arg-type]
            self._numbered += not repeats
        self._asked, self.asked_id = asked, goal_id or f"{self._numbered}"
        return ""

    def withdraw(self, goal_id: str) -> None:
        """Let no further episode begin for a goal."""
        if goal_id == self.asked_id:
            self._asked, self.asked_id = None, ""

    def keep(self, on: bool) -> None:
        """Let a person's goal stay for one episode after the other, or go back to drawn ones."""
        self._keeps = on
        if not on:
            self.withdraw(self.asked_id)

    @property
    def asked(self) -> bool:
        """Whether a person asked for the next goal."""
        return self._asked is not None

    @property
    def kept(self) -> NDArray[np.float32] | None:
        """The goal of a person that stays, (G,) float32; None if there is none."""
        return self._asked if self._keeps else None

    def training(self) -> NDArray[np.float32]:
        """The next training goal, (G,) float32: what a person asked for, else a drawn one."""
        if self._asked is not None:
            asked = self._asked
            if not self._keeps:
                self.withdraw(self.asked_id)
            return asked
        self._drawn += 1
        return self._draw(generator("train", self._seed, self._drawn - 1), False)

    def evaluation(self, index: int) -> NDArray[np.float32]:
        """Evaluation goal number ``index``, (G,) float32: the same however often a run is interrupted."""
        return self._draw(generator("evaluate", self._seed, index), True)

    def _draw(self, rng: np.random.Generator, evaluation: bool) -> NDArray[np.float32]:
        for _ in range(1000):
            goal = self._scene.sample_goal(self._task, rng, evaluation)
            if self._within(goal):
                return goal
        raise ValueError(f"hardly any goal of the scene lies within {self._box}: choose a larger box")

    def _within(self, goal: NDArray[np.float32]) -> bool:
        return bool((goal >= self._low).all() and (goal <= self._high).all())

    @property
    def _box(self) -> str:
        return f"{self._low.tolist()} and {self._high.tolist()} {self._task.goal.unit}"
