"""Goals, schedule and attempts of a run, which the episode machine uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import LONGEST_ID, Source
from tdm_ros.tasks import SCENES, Scene, TaskSpec
from tdm_ros.tasks.seeds import generator
from tdm_ros.types import CycleRange

MORE_CYCLES = 5
"""Cycles for which the arm may continue a discarded attempt; no other begins meanwhile."""

KEPT = 100
"""Number of newest discarded ranges that are announced; the log has all of them."""


class Attempts:
    """Determines from the states of the arm when the newest attempt began and ended.

    An attempt is an episode, or consecutive cycles of the operator between two episodes.
    """

    def __init__(self) -> None:
        self._newest: tuple[int, CycleRange] | None = None
        """Episode, and cycles of the first states of its transitions."""
        self._before: tuple[str, int] | None = None
        self.discarded: tuple[CycleRange, ...] = ()
        """Newest ranges that were discarded, `KEPT` at most."""

    @property
    def newest_episode(self) -> int:
        """Episode of the newest attempt; 0 if it was between two, or was discarded."""
        return self._newest[0] if self._newest else 0

    def on_sample(self, sample: ArmSample) -> None:
        """Take in a state; its source and episode are those of the cycle that has just ended."""
        ended = sample.cycle - 1
        known, self._before = self._before == (sample.run, ended), (sample.run, sample.cycle)
        acted = sample.source == Source.HUMAN or (sample.episode > 0 and sample.source != Source.NONE)
        if not known or not acted:
            return
        episode, cycles = self._newest or (0, CycleRange("", 0, 0))
        # Cycles of the operator just before an episode, or in the cycle in which one is cut, are a separate attempt.
        goes_on = (cycles.run, episode) == (sample.run, sample.episode) and (episode > 0 or cycles.end == ended)
        self._newest = sample.episode, CycleRange(sample.run, cycles.begin if goes_on else ended, sample.cycle)

    def discard(self, running: bool) -> str:
        """Discard the newest attempt, which may still be ``running``; return "" or why there is none."""
        newest, self._newest = self._newest, None
        if newest is None:
            return "nothing was done since the last attempt was discarded"
        run, begin, end = newest[1]
        cycles = CycleRange(run, begin, end + (MORE_CYCLES if running else 0))
        self.discarded = (*self.discarded, cycles)[-KEPT:]
        return ""


@dataclass(frozen=True)
class Schedule:
    """Schedule of a run, from the parameters of `supervisor`; times are in cycles of the arm."""

    duration: int = 3600
    """Of learning; 0: unlimited."""
    evaluations: int = 40
    demonstrations: int = 0
    """Of the operator, before learning."""
    reset_every: int = 10
    evaluate_reset_every: int = 1
    exploration: float = 0.2
    episode_steps: int = 50
    evaluate_steps: int = 50
    auto_start: bool = True
    auto_resume: bool = True
    pause: int = 10
    """Before an interrupted run is resumed, and after a goal that was given up."""
    reset_timeout: int = 300
    weights_timeout_s: float = 20.0

    def progress(self, robot_cycles: int) -> float:
        """Elapsed part of the learning time, in [0, 1]; 0 if learning is unlimited."""
        return min(robot_cycles / self.duration, 1.0) if self.duration else 0.0


class Goals:
    """Goals of training and of evaluation, from separate streams of random numbers, outside the scene's keep-outs.

    ``low`` and ``high``, (G,), are corners of the goal box, which is intersected with that of the task [goal unit].
    Raises ValueError if hardly any goal of the scene lies within it.
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
        self._requested: NDArray[np.float32] | None = None
        self._standing = False
        self.keeps = False
        """Whether a requested goal is kept for further episodes."""
        self.requested_id = ""
        """Identifier of the requested goal; "" if there is none."""
        self._numbered = 0
        for evaluation in (False, True):
            self._draw(np.random.default_rng(0), evaluation)

    def check(self, goal: ArrayLike) -> str:
        """Return "" if ``goal``, (G,), can be requested, or why not."""
        try:
            checked = self._task.goal.checked(goal, "goal")
        except ValueError as error:
            return str(error)
        return "" if self._within(checked) else f"goal must be within {self._box}, got {checked.tolist()}"

    def request(self, goal: ArrayLike, goal_id: str = "") -> str:
        """Replace the requested goal by ``goal``, (G,); return "" or why it cannot be used.

        A goal with an identifier stands until it is withdrawn or replaced. One without is numbered and applies to one
        episode, unless `keep` is on; a repeated message of the requested goal does not get another number.
        """
        if len(goal_id) > LONGEST_ID:
            return f"goal_id must have at most {LONGEST_ID} characters, got {len(goal_id)}"
        if problem := self.check(goal):
            return problem
        requested = np.array(goal, np.float32)
        if not goal_id:
            numbered = self._requested is not None and not self._standing
            self._numbered += not (numbered and np.array_equal(requested, self._requested))  # type: ignore[arg-type]
        self._requested, self._standing = requested, bool(goal_id)
        self.requested_id = goal_id or f"{self._numbered}"
        return ""

    def withdraw(self, goal_id: str) -> None:
        """Let no further episode begin for a goal."""
        if goal_id == self.requested_id:
            self._requested, self._standing, self.requested_id = None, False, ""

    def keep(self, on: bool) -> None:
        """Keep the requested goal for further episodes, or return to drawn goals; a standing goal stays."""
        self.keeps = on
        if not on and not self._standing:
            self.withdraw(self.requested_id)

    @property
    def requested(self) -> bool:
        """Whether the next training goal was requested."""
        return self._requested is not None

    @property
    def kept(self) -> bool:
        """Whether `keep` is on and a goal was requested."""
        return self.keeps and self.requested

    def training(self) -> NDArray[np.float32]:
        """The next training goal, (G,) float32: the requested one, else a drawn one."""
        if self._requested is not None:
            requested = self._requested
            if not (self.keeps or self._standing):
                self.withdraw(self.requested_id)
            return requested
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
