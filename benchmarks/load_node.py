"""Node `arm` or `policy` at another control rate, as `benchmarks.load` starts it; the arm writes what it measured.

    python -m benchmarks.load_node arm RATE_HZ RESULT.json --ros-args ...

The physics of the simulated arm keep the rate: with the period of a cycle changes how many steps it has, of about 2 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trial import write_json
from tdm_ros.control.arm_control import ArmControl
from tdm_ros.control.arm_modes import ArmMode
from tdm_ros.control.live_task import LiveTask
from tdm_ros.nodes import arm, policy
from tdm_ros.nodes.node_runner import run
from tdm_ros.nodes.parameters import TaskParameters
from tdm_ros.robots.description import Robot
from tdm_ros.tasks import TaskSpec

WARM_S = 2.0
"""Time after the first announced cycle that is not counted [s]."""
SETTLED_S = 0.1
"""Time after the deadline of a command from which on the joints must not move either: before, they decelerate [s]."""
STILL_RAD = 1e-3
"""Largest motion of a joint in one cycle of an arm that stands [rad]."""


def substeps_of(rate_hz: float) -> int:
    """Steps of the physics in one cycle."""
    return max(1, round(1 / rate_hz / 0.002))


def at_rate(rate_hz: float) -> Callable[[TaskParameters], tuple[Robot, LiveTask, TaskSpec]]:
    """`TaskParameters.described` of a task with another rate."""
    described = TaskParameters.described

    def changed(given: TaskParameters) -> tuple[Robot, LiveTask, TaskSpec]:
        robot, live, spec = described(given)
        live.spec = replace(spec, rate_hz=rate_hz)
        return robot, live, live.spec

    return changed


class Record:
    """What each cycle did, from the calls of a node to its control.

    A cycle moved on a stale command if all of it is after the deadline of the newest executed one, ``timeout_s`` after
    it arrived and twice that after the state that it answers, and the drive still followed a command; or if,
    `SETTLED_S` later, a joint still moves.
    """

    def __init__(self, control: ArmControl, timeout_s: float, period_s: float) -> None:
        self._control, self._timeout_s, self._period_s = control, timeout_s, period_s
        self._receive, self._tick = control.receive, control.tick
        control.receive, control.tick = self.receive, self.tick  # type: ignore[method-assign]
        self._received_s, self._sent_s = -np.inf, -np.inf
        self._start_s, self._q_rad = time.monotonic(), control.reading().q_rad
        self._since_s = np.inf
        self._mode = control.mode
        self.rows: list[tuple[float, ...]] = []
        self.ages_s: list[float] = []
        self.rejected: dict[str, int] = {}

    def receive(self, command: Any, now_s: float) -> str:
        """Receive a command, and note when it was executed and how old it was."""
        problem = self._receive(command, now_s)
        if problem:
            self.rejected[problem] = self.rejected.get(problem, 0) + 1
        else:
            self._received_s, self._sent_s = now_s, now_s - command.age_s
            if now_s >= self._since_s + WARM_S:
                self.ages_s.append(command.age_s)
        return problem

    def tick(self, now_s: float) -> Any:
        """End a cycle, and add its row."""
        received_s, sent_s = self._received_s, self._sent_s
        report = self._tick(now_s)
        q_rad = self._control.reading().q_rad
        if report.expected:
            self._since_s = min(self._since_s, now_s)
        if report.expected and now_s >= self._since_s + WARM_S:
            deadline_s = received_s + self._timeout_s
            followed = bool(np.abs(report.executed.action).max() > 0)
            moved = float(np.abs(q_rad - self._q_rad).max())
            stale = self._start_s > deadline_s and followed
            stale |= followed and self._start_s - sent_s > 2 * self._timeout_s
            stale |= self._start_s > deadline_s + SETTLED_S and moved > STILL_RAD
            late = now_s - self._start_s > 1.5 * self._period_s
            held = self._control.mode is ArmMode.HELD or self._mode is ArmMode.HELD
            age_s = now_s - sent_s if followed else np.nan
            self.rows.append((now_s - self._start_s, report.answered, late, held, followed, stale, age_s))
        self._start_s, self._q_rad, self._mode = now_s, q_rad, self._control.mode
        return report

    def result(self) -> dict[str, Any]:
        """Counts, rate, and ages [s] of what was recorded."""
        rows = np.array(self.rows, float).reshape(-1, 7)
        period_s, answered, late, held, followed, stale, age_s = rows.T
        shares = {"answered": answered, "late": late, "held": held, "followed": followed}
        ages = {"age_at_arrival_s": np.array(self.ages_s), "age_in_execution_s": age_s[np.isfinite(age_s)]}
        return {
            "cycles": len(rows),
            "duration_s": float(period_s.sum()),
            **{name: int(values.sum()) for name, values in shares.items()},
            "stale": int(stale.sum()),
            **{name: spread(values) for name, values in ages.items()},
            "period_s": spread(period_s),
            "rejected": self.rejected,
        }


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, 99th percentile and largest; empty without values."""
    if not len(values):
        return {}
    names = {"median": 50, "p99": 99, "most": 100}
    return {name: float(np.percentile(values, percent)) for name, percent in names.items()}


class MeasuredArm(arm.ArmNode):
    """Node `arm` that records its cycles."""

    def configure(self) -> None:
        """Set up the node, the physics of its rate, and the record."""
        super().configure()
        period_s = 1 / self.task.rate_hz
        self._arm.model.opt.timestep = period_s / substeps_of(self.task.rate_hz)
        self.record = Record(self._control, self._given.command_timeout_s, period_s)


def main() -> int:
    """Run the node until a signal; the arm writes its result then."""
    name, rate_hz, out = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    del sys.argv[1:4]
    TaskParameters.described = at_rate(rate_hz)  # type: ignore[method-assign]
    if name == "policy":
        return run(policy.PolicyNode)
    arm.SUBSTEPS = substeps_of(rate_hz)
    made: list[MeasuredArm] = []

    def make() -> MeasuredArm:
        made.append(MeasuredArm())
        return made[0]

    status = run(make)
    if made and hasattr(made[0], "record"):
        write_json(out, made[0].record.result())
    return status


if __name__ == "__main__":
    sys.exit(main())
