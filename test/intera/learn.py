"""Does the arm learn as well through Intera and ROS 1 as in the simulator alone? Same limits, same care, same seeds.

    .venv/bin/python test/intera/learn.py --minutes 3 --goals 40 --seeds 3 --out runs/intera

after `make ros1`. It plays a person who holds the deadman, and starts the arm again when something has stopped it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from operator_bench import Operator, through_worker  # noqa: E402
from ros1_bench import Ros1, make_messages  # noqa: E402

from tdm_ros.bringup.environment import free_domain  # noqa: E402

REAL = HERE.parents[1] / "config" / "sawyer_real.yaml"
PATHS = ("intera", "direct")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="of learning, robot time")
    parser.add_argument("--goals", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=PATHS)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def learn(path: str, seed: int, asked: argparse.Namespace) -> dict[str, object]:
    """One run; returns its summary, and how often it had to be started again."""
    folder = (asked.out / f"{path}_seed_{seed}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    domain = free_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    words = [f"seed:={seed}", f"duration_min:={asked.minutes}", f"evaluate_goals:={asked.goals}", "reset_every:=5"]
    given = {
        key.removeprefix("/**/"): value["ros__parameters"] for key, value in yaml.safe_load(REAL.read_text()).items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        messages = Path(scratch) / "messages"
        messages.mkdir()
        ros1 = robot = None
        if path == "intera":
            make_messages(messages)
            ros1 = Ros1(Path(scratch), messages)
            robot = ros1.robot()
            given["arm"] |= through_worker(ros1, messages)
        robot_word = "robot:=sawyer" if ros1 else "robot:=simulated"
        operator = Operator(folder, domain, [robot_word, "auto_start:=false", *words], given, {})
        try:
            stops = watch(operator, motors=robot is not None)
        finally:
            operator.close()
            if ros1:
                ros1.close()
    summary = json.loads((folder / "run" / "summary.json").read_text())
    return {"path": path, "seed": seed, "stops": stops, **summary}


def watch(operator: Operator, motors: bool) -> list[str]:
    """Start the arm, and again whenever it stopped, until all is done; returns why it had stopped."""
    why: list[str] = []
    while operator.up.poll() is None and operator.state != "DONE":
        if operator.arm is None or operator.state not in ("FAULT", "PAUSED", "DISABLED"):
            time.sleep(0.2)
            continue
        if operator.state != "DISABLED" and "enable them" not in operator.said:  # as it comes up
            why.append(operator.said)
            print(f"  {operator.state}: {operator.said}", flush=True)
        if operator.state == "FAULT":
            if motors:
                operator.ask("/arm/enable")
            operator.ask("/supervisor/clear_fault")
        operator.ask("/supervisor/start")
        time.sleep(1.5)
    operator.up.wait(60)
    return why


def main() -> int:
    """Learn, and print what came of it."""
    asked = parse()
    print("path    seed  goals  median cm  mean cm    p95 cm  stops")
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for path in asked.paths:
            result = learn(path, seed, asked)
            (asked.out / f"{path}_seed_{seed}.json").write_text(json.dumps(result, indent=1))
            far = result["final_distance_m"] or {}
            print(
                f"{path:7} {seed:4}  {result['evaluated']:5}  "
                + "  ".join(f"{100 * far.get(key, float('nan')):8.2f}" for key in ("median", "mean", "p95"))
                + f"  {len(result['stops']):5}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
