"""What are ten demonstrations worth, and what a person who takes over now and then? Steps that `sawyer_push` needs.

    python -m benchmarks.demonstrations --seeds 5 --out docs/results/demonstrations

A person is played by a script that drives the hand through the arm's own teleoperation: hand velocity, damped least
squares, limiter, executed action. One run after the other, one thread; a finished run is kept, each is a JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import EVALUATION_SEED, GOALS
from benchmarks.demonstrations_report import draw, markdown
from benchmarks.teleoperated import Operator, TeleoperatedPush, demonstrations
from benchmarks.trial import write_json
from tdm_ros.envs.goal_env import GoalEnv, make_goal_env
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.evaluation import Policy, PolicyInput, actor_policy, evaluate
from tdm_ros.training.learner import Learner
from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

TARGET_M = 0.05
TASK = "sawyer_push"


@dataclass(frozen=True)
class Help:
    """What a person does for a learner.

    Parameters
    ----------
    demonstrations : int
        Before it begins.
    interventions : bool
        Whether the operator watches, and takes control when the learner makes no progress.
    """

    demonstrations: int = 0
    interventions: bool = False


CONDITIONS = {
    "none": Help(),
    "ten_demonstrations": Help(10),
    "interventions": Help(0, True),
    "both": Help(10, True),
}


EVERY = 100
"""A learner is judged after so many steps of its own, and again."""


class Watched(TeleoperatedPush):
    """Somebody sees every state before the learner acts, and may act in its place."""

    def __init__(self, help_given: Help) -> None:
        super().__init__()
        self._help, self._operator = help_given, Operator(self)
        self._seen: dict[str, Any] = {}

    @property
    def helped(self) -> int:
        """Steps in which the person acted."""
        return self._operator.helped

    def reset(self, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._seen, info = super().reset(**keywords)
        self._operator.begin()
        return self._seen, info

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        if self._help.interventions:
            seen = self._seen
            self._operator.watch(PolicyInput(seen["observation"], seen["achieved_goal"], seen["desired_goal"], 0, 0))
        result = super().step(action)
        self._seen = result[0]
        return result


class Enough(Exception):  # noqa: N818 - no error
    """There is nothing more to be seen."""


def judged(policy: Policy, env: GoalEnv, task: TaskSpec) -> list[float]:
    """Final distances on the evaluation's goals [m]; only the first ones if their mean cannot be within the target."""
    finals: list[float] = []

    def each(distance: float) -> None:
        finals.append(distance)
        if sum(finals) > GOALS * TARGET_M:
            raise Enough

    with suppress(Enough):
        evaluate(policy, env, task, GOALS, EVALUATION_SEED, "evaluate", each)
    return finals


def measure(condition: str, seed: int, steps: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Learn until two marks in a row are within the target, or ``steps`` are over.

    Returns
    -------
    dict
        ``rows`` with a score for each mark, ``reached`` (own steps at the first of those two marks, or None),
        ``demonstrated`` and ``helped`` (steps in which the person acted, before and meanwhile).
    """
    given = CONDITIONS[condition]
    env, judge_env = make_limited(Watched(given)), make_goal_env(TASK)[0]
    inner: Watched = env.unwrapped
    learner = Learner(inner.task, TdmConfig(**{**settings, "total_timesteps": steps}), seed)
    for step, last in demonstrations(TeleoperatedPush(), seed, given.demonstrations):
        learner.add(step, last, human=True)
    demonstrated, rows = learner.transitions, []

    def judge() -> None:
        own = learner.transitions - demonstrated
        if learner.agent is None or own % EVERY:
            return
        finals = np.asarray(judged(actor_policy(NumpyActor.from_bytes(learner.actor_bytes())), judge_env, inner.task))
        rows.append({"steps": own, "goals": len(finals), "mean": float(finals.mean())})
        rows[-1] |= {"success": float((finals <= TARGET_M).mean()), "helped": inner.helped, "updates": learner.updates}
        print(f"{condition} seed {seed}: {rows[-1]}", file=sys.stderr, flush=True)
        if len(rows) > 1 and all(row["goals"] == GOALS and row["mean"] <= TARGET_M for row in rows[-2:]):
            raise Enough

    reached = None
    try:
        OnlineTrainer(env, env, learner, TrainingSchedule(demonstrated + steps, 0), on_step=judge).run()
    except Enough:
        reached = rows[-2]["steps"]
    helped = next((row["helped"] for row in rows if row["steps"] == reached), inner.helped)
    return {
        "condition": condition,
        "seed": seed,
        "steps": steps,
        "settings": settings,
        "demonstrated": demonstrated,
        "helped": helped,
        "reached": reached,
        "rows": rows,
    }


def make_limited(env: TeleoperatedPush) -> Any:
    """The environment with the task's limit of time."""
    import gymnasium as gym

    return gym.wrappers.TimeLimit(env, env.task.episode_steps)


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demonstrations", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from --first-seed on (default 5)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000, help="longest run, and its schedule (default 3000)")
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument(
        "--operator-fraction", type=float, default=TdmConfig().operator_fraction, help="TdmConfig.operator_fraction"
    )
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    settings = {"operator_fraction": asked.operator_fraction}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for condition in asked.conditions:
            path = asked.out / f"{condition}-{seed}.json"
            if not path.exists():
                write_json(path, measure(condition, seed, asked.steps, settings))
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(asked.out.glob("*.json"))]
    table = markdown(results)
    (asked.out / "table.md").write_text(table, encoding="utf-8")
    draw(results, asked.out / "curves.png")
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
