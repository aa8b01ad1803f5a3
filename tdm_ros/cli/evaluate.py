"""Measure the final distances of a trained policy, without noise, on goals that were not used in training.

The goals are drawn by --seed. With --json, one JSON object is printed to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

SUCCESS = {"success_task": "success by the task", "success_env": "success by the environment"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=Path, help="run folder, or its checkpoint folder")
    add("--episodes", type=int, default=100, help="(default: %(default)s)")
    add("--seed", type=int, default=0, help="of goals and starts (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tdm_ros.training.evaluation import actor_policy, evaluate
    from tdm_ros.training.session import load_run

    try:
        env, task, actor = load_run(arguments.run)
        with tqdm(total=arguments.episodes, unit="episode", leave=False, disable=None) as bar:
            result = evaluate(
                actor_policy(actor),
                env,
                task,
                arguments.episodes,
                arguments.seed,
                on_episode=lambda distance: bar.update(),
            )
    except (ValueError, FileNotFoundError) as error:
        print(f"tdm_ros evaluate: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result.to_json()) if arguments.json else _table(result.to_json()))
    return 0


def _table(result: dict[str, Any]) -> str:
    final, steps, unit = result["final_distance"], result["steps_to_success"]["median"], result["unit"]
    lines = [
        f"{result['episodes']} episodes, goals of seed {result['seed']}",
        f"final distance [{unit}]   mean {final['mean']:.4f}   median {final['median']:.4f}   p95 {final['p95']:.4f}",
        *(f"within {radius} {unit}   {share:.0%}" for radius, share in result.get("success", {}).items()),
        *(f"{words}   {result[key]:.0%}" for key, words in SUCCESS.items() if key in result),
        f"steps to success by the task, median   {'never' if steps is None else f'{steps:g}'}",
    ]
    return "\n".join(lines)
