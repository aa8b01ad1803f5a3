"""Record of a live run: metrics as they arrive, summary and curve at the end."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

from tdm_ros.control.arm_sample import ArmSample
from tdm_ros.control.episodes import EpisodeMachine, EpisodeResult
from tdm_ros.control.identity import CycleRange, CycleSet
from tdm_ros.control.timeline import Mode, Source, State
from tdm_ros.folder_lock import FolderLock
from tdm_ros.replay.log import LOG_FOLDER, count_messages
from tdm_ros.tasks import SCENES, Scene, TaskSpec
from tdm_ros.training.kept_out import KeptOut
from tdm_ros.training.live_report import Now, clock_text, cycles_of, end_table, live_line, numbers_of, write_summary
from tdm_ros.training.metrics import UNSCORED, EpisodeRow, MetricsFile, summarise

SILENT_CYCLES = 20
"""Cycles of a running episode without a transition after which the collector is said to be silent."""


class RunRecord:
    """What happened so far.

    Parameters
    ----------
    run_dir : Path
    task : TaskSpec
    seed : int
    machine : EpisodeMachine
    scene : Scene
        Its regions are watched: who enters one is counted.
    """

    def __init__(
        self, run_dir: Path, task: TaskSpec, seed: int, machine: EpisodeMachine, scene: Scene = SCENES["open"]
    ) -> None:
        self._run_dir, self._task, self._seed, self._machine = run_dir, task, seed, machine
        self._kept_out = KeptOut(scene)
        self._lock = FolderLock(run_dir, "supervisor")
        self._metrics = MetricsFile(run_dir)
        self._unwritten = ""
        self._first_segment = ""
        """The file of the log that this run's collector began with."""
        self._last: deque[float] = deque(maxlen=10)
        self._evaluated: list[float] = []
        self._scored = self._interrupted = self._refused = self._published = self._unrecorded = 0
        self._silent = self._by_person = 0
        self._seen = CycleSet()
        self._cycles = self._cycles_before = 0
        self._line_s = time.monotonic()
        self._trainer = (0.0, 0, 0.0)
        self.updates = 0
        self.arm_values: dict[str, str] = {}
        self.planner_values: dict[str, str] = {}
        self._alarm = ""

    @property
    def robot_s(self) -> float:
        """Robot time of learning [s]."""
        return self._machine.robot_cycles / self._task.rate_hz

    def on_cycle(self, sample: ArmSample) -> None:
        """Count a state of the arm, and how long nobody has recorded any; look where the hand is."""
        self._cycles += 1
        self._by_person += sample.source == Source.HUMAN
        self._kept_out.on_cycle(sample.episode, sample.hand_m)
        running = self._machine.told.state == State.RUNNING
        self._silent = self._silent + 1 if running else 0
        if self._silent > SILENT_CYCLES:
            self._unrecorded += 1

    def on_transition(self, run: str, cycle: int) -> None:
        """Count a published transition once."""
        self._silent = 0
        self._published += self._seen.add(CycleRange(run, cycle, cycle + 1))

    def on_trainer(self, values: dict[str, str], now_s: float) -> None:
        """Take in how many updates the trainer has made."""
        text = values.get("updates", "0")
        updates = int(text) if text.isdecimal() and len(text) < 20 else 0
        before_s, before, _ = self._trainer
        rate = max(updates - before, 0) / (now_s - before_s) if before_s and now_s > before_s else 0.0
        self._trainer = (now_s, updates, rate)
        self.updates = max(self.updates, updates)

    def on_collector(self, values: dict[str, str]) -> None:
        """Take in where the collector began to write, and what an operator has to know of it."""
        self._first_segment = self._first_segment or values.get("first_segment", "")
        self._alarm = values.get("alarm", "")

    def on_episode(self, result: EpisodeResult) -> None:
        """Write an episode's row; those that were interrupted or discarded are not scored."""
        scored = result.end not in UNSCORED
        self._scored += scored
        self._refused += result.end == "refused"
        self._kept_out.on_episode(result)
        self._interrupted += not scored
        if result.mode == Mode.TRAIN:
            self._evaluated.clear()  # an evaluation that a person asked for meanwhile is not the one at the end
        if scored:
            self._last.append(result.final_distance_m)
            if result.mode == Mode.EVALUATE:
                self._evaluated.append(result.final_distance_m)
        goal = " ".join(f"{x:.4f}" for x in result.goal)
        row = EpisodeRow(
            result.robot_cycles / self._task.rate_hz,
            result.robot_cycles,
            result.episode,
            result.mode.name.lower(),
            result.final_distance_m,
            self.updates,
            result.end,
            goal,
        )
        try:
            self._metrics.append(row)
            self._unwritten = ""
        except OSError as error:  # the row waits for the next one
            self._unwritten = f"metrics are not written: {error.strerror or error}"

    @property
    def alarm(self) -> str:
        """Why something of the run is not recorded, or ""."""
        silent = "collector silent: NOT RECORDED" if self._silent > SILENT_CYCLES else ""
        return self._alarm or silent or self._unwritten

    def line(self, now_s: float) -> str:
        """The live line of this second."""
        machine = self._machine
        rate = (self._cycles - self._cycles_before) / max(now_s - self._line_s, 1e-3)
        self._cycles_before, self._line_s = self._cycles, now_s
        schedule, told = machine.schedule, machine.told
        state = told.state.name.lower() if told.state != State.RUNNING else told.mode.name.lower()
        cycles = cycles_of(self.arm_values)
        if told.mode == Mode.EVALUATE:
            left = f"{schedule.evaluations - len(self._evaluated)} of {schedule.evaluations} goals left"
        elif schedule.duration:
            left = f"{clock_text(max(schedule.duration - machine.robot_cycles, 0) / self._task.rate_hz)} left"
        else:
            left = "without end"
        return live_line(
            Now(
                self.robot_s,
                left,
                state,
                machine.episode,
                list(self._last),
                rate,
                cycles["missed"],
                self._trainer[2],
                self.alarm or (told.reason if told.state in (State.HOLD, State.PAUSED, State.FAULT) else ""),
            )
        )

    @property
    def failure(self) -> str:
        """Why a run that is over does not have what was asked for; empty if it has, or was ended from outside."""
        machine = self._machine
        if not machine.done:
            return ""
        if machine.evaluated < machine.schedule.evaluations:
            return f"the run is over without its evaluation: {machine.told.reason}"
        if machine.schedule.duration and not self.updates:
            return "nothing was learned: no update of a trainer was ever seen; look at what the trainer printed"
        return ""

    def summary(self) -> dict[str, Any]:
        """Everything that is known now."""
        machine = self._machine
        logged = count_messages(self._run_dir / LOG_FOLDER, since=self._first_segment) if self._first_segment else 0
        return {
            "finished": machine.done and machine.evaluated >= machine.schedule.evaluations,
            "reason": machine.told.reason,
            "seed": self._seed,
            "task": self._task.fingerprint,
            "robot_time_s": self.robot_s,
            "episodes": self._scored,
            "episodes_interrupted": self._interrupted,
            "goals_refused": self._refused,
            "evaluated": len(self._evaluated),
            "updates": self.updates,
            **summarise(self._evaluated),
            "kept_out": self._kept_out.summary(),
            "planning": numbers_of(self.planner_values),
            "cycles": cycles_of(self.arm_values),
            "transitions": {
                "published": self._published,
                "logged": logged,
                "cycles_unrecorded": self._unrecorded,
                "cycles_by_person": self._by_person,
            },
        }

    def finish(self) -> None:
        """Write the summary; print the table. The curve comes last: it may take a second."""
        summary = self.summary()
        try:
            write_summary(self._run_dir, summary)
            self._metrics.close()
        except OSError as error:
            print(f"\n{self._run_dir}: summary or metrics cannot be written: {error}", flush=True)
        self._lock.release()
        print("\n" + end_table(summary), flush=True)
        if summary["finished"] and self._scored:
            from tdm_ros.training.report import draw_curve

            draw_curve(self._run_dir, f"{self._task.name}, live, seed {self._seed}")
