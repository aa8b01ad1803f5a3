"""One run: gives a learner its environments, judges it at the marks, keeps what was found."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.cases import EVALUATION_SEED, Run, case_of, marks
from tdm_ros.envs.goal_env import GoalEnv, make_goal_env
from tdm_ros.tasks import TaskSpec
from tdm_ros.training.evaluation import Policy, evaluate

SCHEMA = 1
RESULT, PARTIAL = "result.json", "partial.json"
PACKAGES = ("tdm_ros", "torch", "numpy", "mujoco", "gymnasium", "stable-baselines3")
"""Whose versions a result tells."""
_REPORT_EVERY_S = 0.5


class Agent(Protocol):
    """A learner that can be measured."""

    @property
    def horizon(self) -> int | None:
        """Longest ``steps_left`` [steps]; None: the task's own."""

    @property
    def sums_rewards(self) -> bool:
        """Whether it learns from rewards that add up over an episode."""

    @property
    def goals(self) -> int | None:
        """Evaluation goals, from the first on; None: all of the case. Fewer only where judging is slow."""

    def train(self, trial: Trial) -> None:
        """Learn for ``trial.run.steps`` environment steps and call `Trial.after_step` after each of them."""


def goals_of(task: str, agent: Agent) -> int:
    """How many evaluation goals an agent is judged on."""
    return agent.goals or case_of(task).goals


class Trial:
    """What an agent learns in and is judged by.

    Parameters
    ----------
    run : Run
    agent : Agent
    folder : Path
        Of this run alone; a checkpoint may be kept below it.
    report : callable
        Told how many steps are over, now and then.
    """

    def __init__(
        self, run: Run, agent: Agent, folder: Path, report: Callable[[int], None] = lambda steps: None
    ) -> None:
        self.run, self.folder = run, folder
        self.env: GoalEnv
        self.task: TaskSpec
        self.env, self.task = make_goal_env(run.task, agent.horizon)
        self._judge_env = make_goal_env(run.task, agent.horizon)[0]
        for env in (self.env.unwrapped, self._judge_env.unwrapped):
            if hasattr(env, "puck_stays"):  # see `tdm_ros.tasks.prompt`
                env.puck_stays = not agent.sums_rewards
        self._goals = goals_of(run.task, agent)
        self._report, self._told_s = report, 0.0
        self._versions = {name: version(name) for name in PACKAGES}  # a missing one ends the run before it begins
        self._marks = frozenset(marks(run.task, run.steps))
        self.rows: list[dict[str, Any]] = []
        self._wall_s, self._cpu_s = -time.perf_counter(), -time.process_time()

    def after_step(self, steps: int, updates: int, policy: Callable[[], Policy | None]) -> None:
        """Judge the learner if ``steps`` is a mark.

        Parameters
        ----------
        steps, updates : int
            Environment steps and gradient updates so far.
        policy : callable
            Makes the policy without noise, as it is now; None where there is none yet. Only called at a mark.
        """
        now = time.monotonic()
        if now - self._told_s > _REPORT_EVERY_S:
            self._told_s = now
            self._report(steps)
        if steps in self._marks:
            self._judge(steps, updates, policy)

    def _judge(self, steps: int, updates: int, make: Callable[[], Policy | None]) -> None:
        wall_s, cpu_s = self._wall_s + time.perf_counter(), self._cpu_s + time.process_time()
        policy = make()
        if policy is not None:
            result = evaluate(policy, self._judge_env, self.task, self._goals, EVALUATION_SEED, "evaluate")
            finals = np.asarray(result.final_distance, float)
            self.rows.append(
                {
                    "steps": steps,
                    "goals": len(finals),
                    "mean": float(finals.mean()),
                    "median": float(np.median(finals)),
                    "p95": float(np.percentile(finals, 95)),
                    "success": float((finals <= self.task.success).mean()),
                    "updates": updates,
                    "wall_s": wall_s,
                    "cpu_s": cpu_s,
                    "finals": [float(f"{distance:.6g}") for distance in finals],
                }
            )
        # Judging is not learning: it takes no time.
        self._wall_s, self._cpu_s = wall_s - time.perf_counter(), cpu_s - time.process_time()
        self.keep()

    def keep(self) -> None:
        """Write what was found so far, so that a run that is killed can go on."""
        wall_s, cpu_s = self._wall_s + time.perf_counter(), self._cpu_s + time.process_time()
        write_json(self.folder / PARTIAL, {"wall_s": wall_s, "cpu_s": cpu_s, "rows": self.rows})

    def go_on(self, steps: int) -> None:
        """Take up what `keep` wrote, as far as ``steps``, where the agent's checkpoint was made."""
        path = self.folder / PARTIAL
        if not path.exists():
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        self.rows = [row for row in found["rows"] if row["steps"] <= steps]
        self._wall_s += found["wall_s"]
        self._cpu_s += found["cpu_s"]

    def result(self) -> dict[str, Any]:
        """Everything that is kept of the run, plain data."""
        return {
            "schema": SCHEMA,
            **asdict(self.run),
            "fingerprint": self.task.fingerprint,
            "task_spec": self.task.to_json(),
            "unit": "weighted" if len(self.task.score) > 1 else self.task.goal.unit,
            "evaluation_seed": EVALUATION_SEED,
            "rows": self.rows,
            "versions": self._versions,
        }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)


def measure(run: Run, folder: Path, report: Callable[[int], None] = lambda steps: None) -> dict[str, Any]:
    """Train and judge one run; its result is returned and left in ``folder``."""
    import torch

    from benchmarks.agents import make_agent

    torch.set_num_threads(1)
    agent = make_agent(run.agent)
    trial = Trial(run, agent, folder, report)
    agent.train(trial)
    result = trial.result()
    write_json(folder / RESULT, result)
    (folder / PARTIAL).unlink(missing_ok=True)
    return result
