"""How near does a live system come, arm by arm? Distances, cycles answered in time, and what was recorded.

    python -m benchmarks.live reach --robots sawyer ur5e panda xarm7 gen3 so101 --seeds 3 --out docs/results/live

Each run is the whole system as ROS 2 nodes, in real time, without the page: `tdm_ros up reach robot:=ur5e seed:=0`. The
machine should have nothing else to do. A finished run is kept; each is a JSON file, its run folder is below `--runs`.
With `--driver ros2_control` the arm is a process of its own, `tdm_ros robot simulate`, behind that driver.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots import plain
from benchmarks.trial import write_json
from tdm_ros.training.metrics import UNSCORED, read_metrics

WITHIN_M = (0.01, 0.02, 0.05)
DOMAINS = range(60, 100)
"""ROS_DOMAIN_ID of the runs that go on at the same time."""


TDM_ROS = [sys.executable, "-m", "tdm_ros"]
BEHIND_ROS2_CONTROL = ["driver:=ros2_control", "auto_start:=true", "params:=config/simulated_robot.yaml"]


@contextmanager
def simulated_robot(robot: str, task: str, env: dict[str, str]) -> Iterator[None]:
    """A simulated robot behind ros2_control, as a process, from when its controllers are there."""
    command = [*TDM_ROS, "robot", "simulate", robot, "--task", task]
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while "in MuJoCo" not in (line := process.stdout.readline()) and line:
                pass
            if not line:
                raise RuntimeError(f"{' '.join(command[2:])} ended before the robot was there")
            yield
        finally:
            process.send_signal(signal.SIGINT)


def start(name: str, folder: Path, words: Sequence[str], domain: int, robot: str = "") -> bool:
    """Run a live system to its end, its output into a file; return whether it ended well.

    ``robot`` is simulated by a process of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [*TDM_ROS, "up", *words, "console:=false", f"run_dir:={folder / 'run'}"]
    env = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    beside = simulated_robot(robot, words[0], env) if robot else nullcontext()
    with beside, (folder / "output.txt").open("wb") as output:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    print(f"{name}: {'done' if done.returncode == 0 else f'failed, see {output.name}'}", file=sys.stderr, flush=True)
    return done.returncode == 0


def result_of(folder: Path) -> dict[str, Any]:
    """Summary of a run folder, and the end of each of its episodes: robot time [s], mode, final distance [m]."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = [row for row in read_metrics(folder) if row.end not in UNSCORED]
    return {**summary, "episodes_ended": [(row.robot_time_s, row.mode, row.final_distance) for row in rows]}


def markdown(results: dict[str, list[dict[str, Any]]]) -> str:
    """A row for each arm: distances of the goals of all its runs, and of each run its median."""
    cells = ["arm", "runs, goals", "median of each run", "all goals: median, 95th percentile, farthest"]
    cells += [f"within {100 * limit:g} cm" for limit in WITHIN_M] + ["cycles answered in time", "transitions lost"]
    lines = [f"| {' | '.join(cells)} |", "|" + "---|" * len(cells)]
    for robot, runs in results.items():
        finals = [distances(run, "evaluate") for run in runs]
        every = np.concatenate(finals)
        cycles = [sum(run["cycles"][key] for run in runs) for key in ("answered", "total")]
        lost = sum(run["transitions"]["published"] - run["transitions"]["logged"] for run in runs)
        cells = [f"`{robot}`", f"{len(runs)}, {len(every)}", ", ".join(f"{100 * np.median(f):.2f}" for f in finals)]
        cells.append(f"{100 * np.median(every):.2f}, {100 * np.percentile(every, 95):.2f}, {100 * every.max():.2f} cm")
        cells += [f"{100 * np.mean(every <= limit):.1f} %" for limit in WITHIN_M]
        cells += [f"{100 * cycles[0] / cycles[1]:.2f} % of {cycles[1]}", str(lost)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def distances(result: dict[str, Any], mode: str) -> np.ndarray:
    """Final distances of the episodes of a mode [m]."""
    return np.array([metres for _, its_mode, metres in result["episodes_ended"] if its_mode == mode])


def draw(results: dict[str, list[dict[str, Any]]], title: str, path: Path) -> None:
    """Final distance of every training episode over robot time, a panel for each arm and a colour for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    size = (3.4 * columns + 0.6, 2.5 * rows + 0.5) if len(results) > 1 else (7.0, 3.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", sharey=True, squeeze=False)
    for axis in axes.flat[len(results) :]:
        axis.set_visible(False)
    for axis, (robot, runs) in zip(axes.flat, results.items(), strict=False):
        for run in runs:
            trained = [(s, metres) for s, mode, metres in run["episodes_ended"] if mode == "train"]
            seconds, metres = np.array(trained).T
            axis.plot(seconds, 100 * metres, ".-", ms=4, lw=0.7, label=f"seed {run['seed']}", color=f"C{run['seed']}")
        axis.axhline(1.0, color="k", lw=0.8, ls=":")
        axis.set(yscale="log", xlim=(0, None), title=robot)
        plain(axis.yaxis)
        axis.grid(True, which="major", alpha=0.3)
    longest = max(axes.flat, key=lambda axis: len(axis.get_legend_handles_labels()[1]))
    figure.legend(*longest.get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.supxlabel("robot time [s]", fontsize=10)
    figure.supylabel("final distance, with exploration [cm]", fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def label(live: str, minutes: float, driver: str, robot: str = "") -> str:
    """Name of the runs of one kind, or of one arm, such as ``reach-3min`` and ``reach-ur5e-3min-ros2_control``."""
    parts = [live, robot, f"{minutes:g}min", driver if driver != "mujoco" else ""]
    return "-".join(part for part in parts if part)


def gathered(
    out: Path, live: str, minutes: float, robots: Sequence[str], driver: str = "mujoco"
) -> dict[str, list[dict[str, Any]]]:
    """Results by arm, in the order of the seeds; arms without any are left out."""
    found = {robot: sorted(out.glob(f"{label(live, minutes, driver, robot)}-[0-9]*.json")) for robot in robots}
    return {
        robot: sorted((json.loads(path.read_text(encoding="utf-8")) for path in paths), key=lambda run: run["seed"])
        for robot, paths in found.items()
        if paths
    }


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write the table and the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("live", choices=["reach", "push"])
    parser.add_argument("--robots", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3], help="how many, from 0 on, or which (default 3)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of robot time, of learning (default 3)")
    parser.add_argument("--goals", type=int, default=20, help="new goals after learning (default 20)")
    parser.add_argument("--arguments", nargs="*", default=[], help="more of `tdm_ros up`")
    parser.add_argument("--driver", choices=["mujoco", "ros2_control"], default="mujoco")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; each needs a core (default 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/live"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    seeds = range(asked.seeds[0]) if len(asked.seeds) == 1 else asked.seeds
    behind = asked.driver == "ros2_control"
    arguments = [*BEHIND_ROS2_CONTROL * behind, *asked.arguments]

    def measure(number: int, robot: str, seed: int) -> bool:
        name = f"{label(asked.live, asked.minutes, asked.driver, robot)}-{seed}"
        path = asked.out / f"{name}.json"
        given = [f"robot:={robot}", f"seed:={seed}", f"duration_min:={asked.minutes}", f"evaluate_goals:={asked.goals}"]
        folder = asked.runs / name
        if not path.exists():
            if not (folder / "run" / "summary.json").exists() and not start(
                name, folder, [asked.live, *given, *arguments], DOMAINS[number % len(DOMAINS)], robot * behind
            ):
                return False
            write_json(path, result_of(folder / "run"))
        return True

    with ThreadPoolExecutor(asked.jobs) as pool:
        pairs = list(product(seeds, asked.robots))
        done = list(pool.map(lambda job: measure(job[0], job[1][1], job[1][0]), enumerate(pairs)))
    results = gathered(asked.out, asked.live, asked.minutes, asked.robots, asked.driver)
    table, kind = markdown(results), label(asked.live, asked.minutes, asked.driver)
    (asked.out / f"{kind}.md").write_text(table, encoding="utf-8")
    title = f"tdm_ros up {asked.live}, live, from nothing, {asked.minutes:g} min" + ", driver ros2_control" * behind
    draw(results, title, asked.out / f"{kind}.png")
    print(table)
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
