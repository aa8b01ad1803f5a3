"""Record of a live run: metrics as they arrive, live line, table, summary and curve."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.episodes import EpisodeMachine, EpisodeResult
from tdm_ros.control.teleop import SUCCESS
from tdm_ros.control.timeline import DEMONSTRATION, Mode, Source, State
from tdm_ros.data.log import LOG_FOLDER, count_messages
from tdm_ros.files import FolderLock, write_durably
from tdm_ros.tasks import SCENES, Scene, TaskSpec
from tdm_ros.training.metrics import UNSCORED, EpisodeRow, MetricsFile, read_metrics, summarise
from tdm_ros.types import CycleRange, CycleSet

NEAR_M = 0.03  # final distance that counts as reached in a scene with keep-outs [m]
POINTS = np.linspace(0.0, 1.0, 5)  # points that are checked between two states, as fractions


class KeepOutStatistics:
    """Counts of episodes in which the hand entered a keep-out of the scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._before: NDArray[np.float64] | None = None
        self._entered = False
        self._trained = self._trained_entered = 0
        self._distances: list[float] = []
        self._evaluated_entered: list[bool] = []

    def on_cycle(self, episode: int, hand_m: ArrayLike) -> None:
        """Record the position of the hand after a cycle, (3,) [m], and the episode of the cycle (0: none)."""
        hand = np.asarray(hand_m, np.float64)
        before = hand if self._before is None else self._before
        if episode:
            points = before + POINTS[:, None] * (hand - before)
            self._entered = self._entered or bool(self._scene.inside(points).any())
        self._before = hand

    def on_episode(self, result: EpisodeResult) -> None:
        """Count an episode that ended with the last state of `on_cycle`."""
        entered, self._entered = self._entered, False
        if result.mode == Mode.TRAIN:
            self._trained += 1
            self._trained_entered += entered
        elif result.end not in UNSCORED:
            self._evaluated_entered.append(entered)
            self._distances.append(result.final_distance_m)

    def summary(self) -> dict[str, float] | None:
        """Counts of episodes; None for a scene without keep-outs."""
        if not len(self._scene.boxes_m):
            return None
        near = [distance <= NEAR_M for distance in self._distances]
        return {
            "evaluated": len(near),
            "evaluated_entered": sum(self._evaluated_entered),
            "evaluated_reached": sum(a and not b for a, b in zip(near, self._evaluated_entered, strict=True)),
            "within_m": NEAR_M,
            "trained": self._trained,
            "trained_entered": self._trained_entered,
        }


SUMMARY = "summary.json"
PERCENTILES = ("p50", "p99", "worst")


def clock_text(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def end_table(summary: dict[str, Any]) -> str:
    lines = [f"Run of {clock_text(summary['robot_time_s'])} robot time, {summary['episodes']} episodes"]
    distance, success = summary["final_distance_m"], summary["success"]
    if distance:
        finals = ", ".join(f"{key} {100 * distance[key]:.2f} cm" for key in ("median", "mean", "p95"))
        reached = ", ".join(f"{100 * share:.1f} % within {100 * float(r):g} cm" for r, share in success.items())
        lines += [
            f"  evaluation        {summary['evaluated']} fresh goals, without noise",
            f"  final distance    {finals}",
            f"  reached           {reached}",
        ]
    else:
        lines.append("  evaluation        none")
    if kept := summary.get("kept_out"):
        lines.append(
            f"  kept out          {kept['evaluated'] - kept['evaluated_entered']} of {kept['evaluated']} times, "
            f"{kept['evaluated_reached']} of them within {100 * kept['within_m']:g} cm of the goal; "
            f"entered in {kept['trained_entered']} of {kept['trained']} episodes of learning"
        )
    if (plans := summary.get("planning") or {}).get("plan_cpu_ms.worst"):
        spread = ", ".join(f"{key} {plans[f'plan_cpu_ms.{key}']:.1f}" for key in PERCENTILES)
        lines.append(f"  plans             {plans['plans']:.0f}, CPU time of one {spread} ms")
        lines.append(
            f"  segments          {plans['segments']:.0f}, missed by {100 * plans['reached_m']:.1f} cm, "
            f"{100 * plans['predicted_m']:.1f} cm expected"
        )
    cycles = summary["cycles"]
    lines += [
        f"  cycles            {cycles['total']}, {100 * cycles['answered_fraction']:.2f} % answered "
        f"in their own 50 ms, {cycles['overruns']} overruns of the arm",
        f"  period            {_spread(cycles['period_ms'])}",
        f"  state to command  {_spread(cycles['latency_ms'])}",
        f"  taken by the host {100 * cycles['steal_fraction']:.1f} % of the processor time",
        f"  transitions       {summary['transitions']['published']} published, "
        f"{summary['transitions']['logged']} logged",
        f"  updates           {summary['updates']}",
    ]
    return "\n".join(lines)


def _spread(durations: dict[str, float]) -> str:
    return ", ".join(f"{key} {durations[key]:.1f}" for key in PERCENTILES) + " ms"


def numbers_of(values: dict[str, str]) -> dict[str, float]:
    """Finite numbers among a node's diagnostics."""
    found = {}
    for key, text in values.items():
        with suppress(ValueError):
            found[key] = float(text)
    return {key: number for key, number in found.items() if math.isfinite(number)}


def cycles_of(values: dict[str, str]) -> dict[str, Any]:
    """The ``cycles`` part of the summary from the arm's diagnostics; missing or invalid values are zero."""
    found = defaultdict(float, numbers_of(values))
    counts = {key: int(found[key]) for key in ("total", "answered", "missed", "overruns")}
    fractions = {key: found[key] for key in ("answered_fraction", "steal_fraction")}
    spreads = {name: {part: found[f"{name}.{part}"] for part in PERCENTILES} for name in ("period_ms", "latency_ms")}
    return {**counts, **fractions, **spreads}


def count_demonstrations(run_dir: Path) -> int:
    """Number of demonstrations in the metrics of a run folder, which may not exist yet."""
    with suppress(FileNotFoundError):
        return sum(row.mode == DEMONSTRATION and row.end == SUCCESS for row in read_metrics(run_dir))
    return 0


SILENT_CYCLES = 20
"""Cycles of an episode or of the operator without a transition after which the collector is reported as silent."""


class RunRecord:
    """Record of a live run: metrics, live line, summary."""

    def __init__(
        self, run_dir: Path, task: TaskSpec, seed: int, machine: EpisodeMachine, scene: Scene = SCENES["open"]
    ) -> None:
        self._run_dir, self._task, self._seed, self._machine = run_dir, task, seed, machine
        self._kept_out = KeepOutStatistics(scene)
        self._lock = FolderLock(run_dir, "supervisor")
        try:
            self._metrics = MetricsFile(run_dir)
        except BaseException:
            self._lock.release()
            raise
        self._unwritten = ""
        self._first_segment = ""  # first file of the log of this run's collector
        self._last: deque[float] = deque(maxlen=10)
        self._evaluated: list[float] = []
        self._scored = self._interrupted = self._rejected = self._published = self._unrecorded = 0
        self._cycles_silent = self._by_operator = 0
        self._seen = CycleSet()
        self._cycles = self._cycles_before = 0
        self._line_s = time.monotonic()
        self._trainer = (0.0, 0, 0.0)
        self.updates = 0
        self._values: defaultdict[str, dict[str, str]] = defaultdict(dict)  # newest diagnostics of each node

    @property
    def robot_s(self) -> float:
        """Robot time of learning [s]."""
        return self._machine.robot_cycles / self._task.rate_hz

    def on_cycle(self, sample: ArmSample) -> None:
        """Count a state of the arm, and cycles without a recorded transition; record the position of the hand."""
        self._cycles += 1
        self._by_operator += sample.source == Source.HUMAN
        self._kept_out.on_cycle(sample.episode, sample.hand_m)
        running = self._machine.announced.state == State.RUNNING or sample.source == Source.HUMAN
        self._cycles_silent = self._cycles_silent + 1 if running else 0
        if self._cycles_silent > SILENT_CYCLES:
            self._unrecorded += 1

    def on_transition(self, run: str, cycle: int) -> None:
        """Count a published transition once."""
        self._cycles_silent = 0
        self._published += self._seen.add(CycleRange(run, cycle, cycle + 1))

    def on_trainer(self, values: dict[str, str], now_s: float) -> None:
        """Record the number of updates of the trainer, and what it could not save."""
        self._values["trainer"] = values
        text = values.get("updates", "0")
        updates = int(text) if text.isdecimal() and len(text) < 20 else 0
        before_s, before, _ = self._trainer
        rate = max(updates - before, 0) / (now_s - before_s) if before_s and now_s > before_s else 0.0
        self._trainer = (now_s, updates, rate)
        self.updates = max(self.updates, updates)

    def on_values(self, name: str, values: dict[str, str]) -> None:
        """Record the diagnostics of a node, and the first file of the collector."""
        self._values[name] = values
        self._first_segment = self._first_segment or values.get("first_segment", "")

    def on_episode(self, result: EpisodeResult) -> None:
        """Write an episode's row; those that were interrupted or discarded are not scored."""
        scored = result.end not in UNSCORED
        self._scored += scored
        self._rejected += result.end == "rejected"
        self._kept_out.on_episode(result)
        self._interrupted += not scored
        if result.mode == Mode.TRAIN:
            self._evaluated.clear()  # an evaluation that the operator requested is not the one at the end
        if scored:
            self._last.append(result.final_distance_m)
            if result.mode == Mode.EVALUATE:
                self._evaluated.append(result.final_distance_m)
        goal = " ".join(f"{x:.4f}" for x in result.goal)
        row = EpisodeRow(
            result.robot_cycles / self._task.rate_hz,
            result.robot_cycles,
            result.episode,
            DEMONSTRATION if result.demonstration else result.mode.name.lower(),
            result.final_distance_m,
            self.updates,
            result.end,
            goal,
        )
        try:
            self._metrics.append(row)
            self._unwritten = ""
        except OSError as error:  # the row is written with the next one
            self._unwritten = f"metrics are not written: {error.strerror or error}"

    @property
    def alarm(self) -> str:
        """Reason why a part of the run is not recorded, or ""."""
        silent = "collector silent: NOT RECORDED" if self._cycles_silent > SILENT_CYCLES else ""
        unsaved = self._values["trainer"].get("alarm", "")
        return self._values["collector"].get("alarm", "") or silent or self._unwritten or unsaved

    def line(self, now_s: float) -> str:
        """Live line of this second, which begins with a carriage return."""
        machine = self._machine
        rate = (self._cycles - self._cycles_before) / max(now_s - self._line_s, 1e-3)
        self._cycles_before, self._line_s = self._cycles, now_s
        schedule, announced = machine.schedule, machine.announced
        state = announced.state.name.lower() if announced.state != State.RUNNING else announced.mode.name.lower()
        cycles = cycles_of(self._values["arm"])
        if announced.mode == Mode.EVALUATE:
            left = f"{schedule.evaluations - len(self._evaluated)} of {schedule.evaluations} goals left"
        elif schedule.duration:
            left = f"{clock_text(max(schedule.duration - machine.robot_cycles, 0) / self._task.rate_hz)} left"
        else:
            left = "without end"
        last = " ".join(f"{100 * distance:.1f}" for distance in self._last) or "-"
        parts = [
            f"{clock_text(self.robot_s)} robot time",
            f"{state} {machine.episode}",
            f"last {last} cm",
            f"{rate:.1f} Hz, {cycles['missed']} missed",
            f"{self._trainer[2]:.0f} updates/s",
            left,
            self.alarm or (announced.reason if announced.state in (State.HOLD, State.PAUSED, State.FAULT) else ""),
        ]
        return "\r" + " | ".join(filter(None, parts)) + "\x1b[K"

    @property
    def never_moved(self) -> str:
        """Sentence for a run in which nothing ever moved: what happened and what to do; "" for any other run."""
        machine = self._machine
        if machine.robot_cycles or self._scored or self._interrupted or self._by_operator:
            return ""
        outputs, reason, state = self._run_dir / "log", machine.announced.reason, machine.announced.state
        begun = "The arm never moved, and there is nothing to evaluate"
        if not self._cycles:
            return f"{begun}: no state of an arm was received; the output of the node arm in {outputs} says why"
        if state == State.FAULT:
            again = "remove the cause and start again (after clear_fault, where the system still runs)"
            return f"{begun}: {reason}; {again}; what each node said is in {outputs}"
        if reason in ("", "starting"):
            return f"{begun}: the run was ended before its first episode; what each node said is in {outputs}"
        remedy = "" if state == State.HOLD else "; start it, with Start on the page or the service supervisor/start"
        return f"{begun}: {state.name}, {reason}{remedy}; what each node said is in {outputs}"

    @property
    def failure(self) -> str:
        """Reason why a completed run lacks its evaluation or its updates, or ""."""
        machine = self._machine
        if not machine.done:
            return ""
        if machine.evaluated < machine.schedule.evaluations:
            return f"the run ended without its evaluation: {machine.announced.reason}"
        if machine.schedule.duration and not self.updates:
            return "nothing was learned: no update of a trainer was received; see the output of the trainer"
        return ""

    def summary(self) -> dict[str, Any]:
        machine = self._machine
        logged = count_messages(self._run_dir / LOG_FOLDER, since=self._first_segment) if self._first_segment else 0
        return {
            "finished": machine.done and machine.evaluated >= machine.schedule.evaluations,
            "reason": machine.announced.reason,
            "seed": self._seed,
            "task": self._task.fingerprint,
            "robot_time_s": self.robot_s,
            "episodes": self._scored,
            "episodes_interrupted": self._interrupted,
            "goals_rejected": self._rejected,
            "demonstrations": machine.demonstrated,
            "evaluated": len(self._evaluated),
            "updates": self.updates,
            **summarise(self._evaluated),
            "kept_out": self._kept_out.summary(),
            "planning": numbers_of(self._values["planner"]),
            "cycles": cycles_of(self._values["arm"]),
            "transitions": {
                "published": self._published,
                "logged": logged,
                "cycles_unrecorded": self._unrecorded,
                "cycles_by_operator": self._by_operator,
            },
        }

    def finish(self) -> None:
        """Write the summary, print the table, and draw the curve last, since that may take a second."""
        summary = self.summary()
        try:
            write_durably(self._run_dir / SUMMARY, json.dumps(summary, indent=1) + "\n")
            self._metrics.close()
        except OSError as error:
            print(f"\n{self._run_dir}: summary or metrics cannot be written: {error}", flush=True)
        self._lock.release()
        print("\n" + (self.never_moved or end_table(summary)), flush=True)
        if summary["finished"] and self._scored:
            from tdm_ros.training.metrics import draw_curve

            draw_curve(self._run_dir, f"{self._task.name}, live, seed {self._seed}")
