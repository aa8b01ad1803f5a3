"""How well do planners lead to goals that lie farther than the horizon, or behind something?

    python -m benchmarks.planning --cases wall maze --methods none geometric graph cem --out docs/results/planning

Learns what is planned with, if need be, carries out attempts, and writes tables and pictures. What was measured is
kept; `--again` measures it anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cases import EVALUATION_SEED
from benchmarks.planning_attempts import attempt
from benchmarks.planning_cases import CASES, PlanningCase
from benchmarks.planning_methods import METHODS, make_guide
from benchmarks.planning_plots import draw_calibration, draw_wall
from benchmarks.planning_table import table
from benchmarks.trial import write_json
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.tdm.actor import NumpyActor

SCHEMA = 1
VALIDATION_SEED = 0
HEAD = """\
# Planning: results

Written by `python -m benchmarks.planning`. What the cases, methods and columns are: [planning](../../planning.md).

"""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planning",
        description=__doc__,
        epilog="methods:\n" + "\n".join(f"  {name}: {method.about}" for name, method in METHODS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, metavar="CASE")
    parser.add_argument("--methods", nargs="+", default=[], choices=METHODS, metavar="METHOD")
    parser.add_argument("--attempts", type=int, default=100, help="starts and goals (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of what is learned (default: 0)")
    parser.add_argument("--validate", action="store_true", help="goals for tuning instead of those that are reported")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--models", type=Path, default=Path("runs/planning"), help="folder of what was learned (default: %(default)s)"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="compile the update while learning: faster, needs a C++ compiler"
    )
    parser.add_argument("--again", action="store_true", help="measure anew what has been measured")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and report."""
    asked = parse(words)
    for name in asked.cases:
        _measure(name, CASES[name], asked)
    print(_report(asked.out))
    return 0


def _measure(name: str, case: PlanningCase, asked: argparse.Namespace) -> None:
    wanted = [
        method
        for method in asked.methods
        if _applies(method, case) and (asked.again or not _file(asked.out, name, method, asked.seed).exists())
    ]
    if not wanted:
        return
    learner = learned(case, asked.seed, asked.models, asked.compiled)
    actor = policy_of(learner)
    env, task = make_goal_env(case.task)
    purpose, seed = ("validate", VALIDATION_SEED) if asked.validate else ("evaluate", EVALUATION_SEED)
    for method in wanted:
        guide = make_guide(method, case, task, actor, learner.store, asked.seed)
        attempts = []
        for episode in range(asked.attempts):
            found = attempt(case, env, task, actor, guide, (purpose, seed, episode), keep_path=episode == 0)
            attempts.append(found.to_json())
            print(f"\r{name} {method}: {episode + 1} of {asked.attempts}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        result = {
            "schema": SCHEMA,
            "case": name,
            "method": method,
            "seed": asked.seed,
            "purpose": purpose,
            "fingerprint": task.fingerprint,
            "unit": task.goal.unit.split(", ")[-1],
            "versions": {package: version(package) for package in ("tdm_ros", "numpy", "scipy", "mujoco")},
            "attempts": attempts,
        }
        write_json(_file(asked.out, name, method, asked.seed), result)


def learned(case: PlanningCase, seed: int, models: Path, compiled: bool = False) -> Any:
    """The learner of a case's task after `PlanningCase.train_steps` steps: from disk, or learned now.

    Raises
    ------
    ValueError
        If what is on disk was learned for another description of the task.
    """
    from tdm_ros.tdm.config import TdmConfig
    from tdm_ros.training.checkpoint import INDEX, load_learner, save_checkpoint
    from tdm_ros.training.learner import Learner
    from tdm_ros.training.online import OnlineTrainer, TrainingSchedule

    folder = models / case.task / f"seed_{seed}"
    env, task = make_goal_env(case.task)
    if (folder / INDEX).exists():
        learner = load_learner(folder, task)
        if learner.transitions >= case.train_steps:
            return learner
    learner = Learner(task, TdmConfig(total_timesteps=case.train_steps), seed, compiled)

    def tell(row: Any) -> None:
        print(f"\r{case.task}: {learner.transitions} of {case.train_steps}", end="", file=sys.stderr, flush=True)

    OnlineTrainer(env, env, learner, TrainingSchedule(case.train_steps, 0), tell).run()
    print(file=sys.stderr)
    save_checkpoint(folder, learner)
    return learner


def policy_of(learner: Any) -> NumpyActor:
    """What it learned, to act and to plan with."""
    return NumpyActor.from_bytes(learner.actor_bytes())


def _applies(method: str, case: PlanningCase) -> bool:
    if method == "rule" or METHODS[method].staged:
        return bool(case.rule)
    return bool(case.walls) if METHODS[method].known_walls else True


def _file(out: Path, case: str, method: str, seed: int) -> Path:
    return out / case / method / f"seed_{seed}.json"


def read(out: Path, case: str) -> list[dict[str, Any]]:
    """What has been measured of a case, in the order of `METHODS`, then by seed.

    Raises
    ------
    ValueError
        If another version wrote it.
    """
    results = []
    for method in METHODS:
        for path in sorted((out / case / method).glob("seed_*.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["schema"] != SCHEMA:
                raise ValueError(f"{path} has schema {result['schema']}, this version reads {SCHEMA}; remove it")
            results.append(result)
    return results


def _report(out: Path) -> str:
    found = {name: results for name in CASES if (results := read(out, name))}
    text = "\n".join(table(name, CASES[name], results[0]["unit"], results) for name, results in found.items())
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.md").write_text(HEAD + text, encoding="utf-8")
    draw_calibration(found, out / "calibration.png")
    draw_wall(found.get("wall", []), out / "wall.png")
    return text


if __name__ == "__main__":
    sys.exit(main())
