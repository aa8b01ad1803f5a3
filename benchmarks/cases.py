"""What is measured: the tasks with their length and targets, and what makes two runs the same run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

EVALUATION_SEED = 1000
"""Of the goals and starts that every agent and every seed is judged on; neither training nor tuning draws from them."""
GOALS = 50
"""How many of them, where the case does not say otherwise."""
_MANTISSAS = (1, 2, 3, 5)


@dataclass(frozen=True)
class Case:
    """One task of the tables.

    Parameters
    ----------
    steps : int
        Environment steps of a run.
    paper : str
        Name of its curves in paper_curves.json; "" where the paper has none.
    targets : dict of int to float
        Score to be reached at so many steps [unit of the score].
    goals : int
        Evaluation goals. More where few of them make most of the mean: of 50 half-cheetahs ten are asked for more than
        4.6 m/s, and one that falls adds 0.1 m/s.
    """

    steps: int
    paper: str = ""
    targets: dict[int, float] = field(default_factory=dict)
    goals: int = GOALS


CASES: dict[str, Case] = {
    "reacher": Case(20_000, "reacher_7dof", {10_000: 0.05, 20_000: 0.03}),
    "pusher": Case(20_000, "pusher_planar", {20_000: 0.2}),
    "cheetah": Case(20_000, "half_cheetah_velocity", {20_000: 0.5}, goals=200),
    "ant_position": Case(100_000, "ant_position", {100_000: 2.3}),
    "ant_position_velocity": Case(50_000, "ant_position_velocity", {50_000: 0.013}),
    "sawyer_reach": Case(5_000),
    "sawyer_reach_torque": Case(5_000),
    "sawyer_reach_torque_low_damping": Case(6_000, "", {6_000: 0.02}),
    "sawyer_push": Case(10_000),
    "fetch_push": Case(2_000),
}


def case_of(task: str) -> Case:
    """The case of a task; 10,000 steps and no target for one that is not listed."""
    return CASES.get(task, Case(10_000))


def marks(task: str, steps: int) -> tuple[int, ...]:
    """Steps at which a run is judged: 1, 2, 3, 5 times powers of ten from 1000 on, the targets', and the last.

    A run of fewer than 1000 steps is judged in quarters.
    """
    if steps < 1000:
        return tuple(sorted({steps * part // 4 for part in (1, 2, 3, 4)} - {0}))
    series = {m * 10**power for power in range(3, 8) for m in _MANTISSAS}
    return tuple(sorted(mark for mark in series | {*case_of(task).targets, steps} if mark <= steps))


@dataclass(frozen=True)
class Run:
    """One learner on one task with one seed, for so many steps.

    Parameters
    ----------
    task : str
        As `make_goal_env` takes it.
    agent : str
        As `benchmarks.agents.make_agent` takes it.
    seed, steps : int
    compiled : bool
        Whether a TDM's update is compiled (`TdmAgent`): faster, and the same but for rounding. Others take no notice.
    device : str
        Where a TDM learns (`TdmAgent`); the others learn on the CPU.
    """

    task: str
    agent: str
    seed: int
    steps: int
    compiled: bool = False
    device: str = "cpu"

    @property
    def label(self) -> str:
        """What the progress lines call it."""
        return f"{self.task} {self.agent} seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Where its files are; runs of another length are other runs, because schedules depend on it."""
        return out / table_name(self.task, self.steps) / self.agent / f"seed_{self.seed}"


def table_name(task: str, steps: int) -> str:
    """Name of the files of one table."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', task)}-{steps}"


def short(steps: int) -> str:
    """Write a number of steps: 20k for 20,000."""
    return f"{steps // 1000}k" if steps % 1000 == 0 else str(steps)


@cache
def paper_curves() -> dict[str, Any]:
    """The paper's curves by task: unit, metric and, for each method, x [steps] and y [unit]."""
    text = Path(__file__).with_name("paper_curves.json").read_text(encoding="utf-8")
    curves: dict[str, Any] = json.loads(text)["tasks"]
    return curves
