"""Compare predicted with reached distances of a trained agent, per horizon.

Writes calibration.png and calibration.json to the run folder. `TDM.load(RUN).reachability(...)` then returns intervals
of nine of ten results. Goals and starts are drawn by --seed and differ from those of training.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=Path, help="run folder")
    add("--episodes", type=int, default=100, help="(default: %(default)s)")
    add("--seed", type=int, default=0, help="of goals and starts (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tdm_ros.training.library import TDM

    try:
        agent = TDM.load(arguments.run)
        with tqdm(total=arguments.episodes, unit="episode", leave=False, disable=None) as bar:
            result = agent.calibrate(arguments.episodes, arguments.seed, arguments.run, bar.update).to_json()
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        print(f"tdm_ros calibrate: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if arguments.json else _table(result))
    print(f"plot: {arguments.run / 'calibration.png'}", file=sys.stderr)
    return 0


def _table(result: dict[str, Any]) -> str:
    names = ("n", "predicted", "reached", "mae", "mae_staying", "bias", "correlation", "coverage", "width")
    lines = [
        f"{result['episodes']} episodes, goals of seed {result['seed']}; distances in {result['unit']}",
        " ".join(f"{name:>11}" for name in ("steps_left", *names)),
    ]
    for one in result["horizons"]:
        values = ("-" if one[name] is None else f"{one[name]:.4g}" for name in names)
        lines.append(" ".join(f"{value:>11}" for value in (str(one["steps_left"]), *values)))
    return "\n".join(lines)
