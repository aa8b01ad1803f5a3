"""Reaching, learned without ROS: every actuation, the TDM beside its one-step control, several seeds.

    python benchmarks/reach.py --out runs/benchmark_reach        # one to two hours on one core; resumes
    python benchmarks/reach.py --out runs/benchmark_reach --table

Each run is `tdm_ros train` and then `tdm_ros evaluate` on 100 goals of a seed that neither training nor tuning has
seen. Settings were tuned on the validation goals of seeds 100 to 103; these are seeds 0 to 4.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

EPISODES = 100
EVALUATION_SEED = 1000
CASES = {
    "velocity": ("sawyer_reach", 5000),
    "torque": ("sawyer_reach_torque", 5000),
    "torque, low damping": ("sawyer_reach_torque_low_damping", 6000),
}
HORIZONS = (10, 0)
SEEDS = range(5)
HEAD = """\
| actuation | horizon T | steps | seeds | median cm, mean over seeds | range | p95 cm | < 1 cm % | < 2 cm % |
|---|---|---|---|---|---|---|---|---|"""


def tdm_ros(*arguments: str) -> str:
    """Run a verb of the console program; return what it printed."""
    done = subprocess.run([sys.executable, "-m", "tdm_ros", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def measure(out: Path, case: str, horizon: int, seed: int) -> None:
    """Train and evaluate one run, unless it is there already."""
    task, steps = CASES[case]
    folder = out / f"{task}_T{horizon}_{seed}"
    result = folder / "evaluation.json"
    if result.exists():
        return
    settings = ("--steps", str(steps), "--seed", str(seed), "--horizon", str(horizon), "--validate-every", "0")
    tdm_ros("train", "--task", task, *settings, "--out", str(folder))
    evaluation = ("--episodes", str(EPISODES), "--seed", str(EVALUATION_SEED + seed), "--json")
    result.write_text(tdm_ros("evaluate", str(folder), *evaluation))


def row(out: Path, case: str, horizon: int) -> str:
    """One line of the table: over seeds, mean of the medians, their range, worst p95, success."""
    task, steps = CASES[case]
    files = [out / f"{task}_T{horizon}_{seed}" / "evaluation.json" for seed in SEEDS]
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    if not results:
        return f"| {case} | {horizon} | {steps} | 0 | - | - | - | - | - |"
    final = {key: 100 * np.array([r["final_distance_m"][key] for r in results]) for key in ("median", "p95")}
    success = {key: 100 * np.array([r["success"][key] for r in results]) for key in ("0.01", "0.02")}
    median, p95 = final["median"], final["p95"]
    columns = (
        case,
        str(horizon),
        str(steps),
        str(len(results)),
        f"{median.mean():.2f}",
        f"{median.min():.2f} - {median.max():.2f}",
        f"{p95.mean():.2f} (worst {p95.max():.2f})",
        f"{success['0.01'].mean():.1f}",
        f"{success['0.02'].mean():.1f}",
    )
    return f"| {' | '.join(columns)} |"


def main() -> int:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--horizons", type=int, nargs="+", default=HORIZONS, help="measure only these")
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    arguments = parser.parse_args()
    cases = [(case, horizon, seed) for horizon in arguments.horizons for case in CASES for seed in SEEDS]
    for number, case in enumerate(() if arguments.table else cases, 1):
        print(f"[{number}/{len(cases)}] {case}", file=sys.stderr)
        measure(arguments.out, *case)
    print(HEAD)
    for case in CASES:
        for horizon in HORIZONS:
            print(row(arguments.out, case, horizon))
    return 0


if __name__ == "__main__":
    sys.exit(main())
