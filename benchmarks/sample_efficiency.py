"""How well does each learner do after so many steps? Measures what is missing, then writes tables and plots.

    python -m benchmarks.sample_efficiency --tasks reacher cheetah --agents tdm tdm_T0 sac_her td3_her mpc \\
        --seeds 5 --out runs/sample_efficiency

A finished run is kept, unless its task is judged on more goals now; a TDM that was killed goes on from its checkpoint,
other learners begin anew. Tables and plots hold all that was ever measured in the folder, beside what was asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.agents import NAMES, make_agent
from benchmarks.cases import CASES, Run, case_of, marks
from benchmarks.fan_out import run_locally, run_on_ray
from benchmarks.plots import draw
from benchmarks.progress import Progress
from benchmarks.results import measured, read_result, tidy, write_csv
from benchmarks.table import markdown
from benchmarks.trial import goals_of

HEAD = """\
# Results

Written by `python -m benchmarks.sample_efficiency --table`; the CSV files are its tidy rows, the pictures its curves.

"""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sample_efficiency",
        description=__doc__,
        epilog=f"agents:\n{NAMES}\n\ntasks: {', '.join(CASES)}, reach:ROBOT, push:ROBOT, gym:ID or module:factory",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", nargs="+", required=True, metavar="TASK")
    parser.add_argument("--agents", nargs="+", required=True, metavar="AGENT")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from --first-seed on (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="environment steps of a run (default: the task's)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: all cores)")
    parser.add_argument(
        "--compiled", action="store_true", help="compile the update of a TDM: faster, needs a C++ compiler"
    )
    parser.add_argument("--device", default="cpu", help="where a TDM learns: cpu, or cuda, cuda:1 for a GPU")
    parser.add_argument("--ray", metavar="ADDRESS", help='run on a Ray cluster; "local" starts one on this machine')
    parser.add_argument("--table", action="store_true", help="measure nothing, only write tables and plots")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and report; return 1 if a run failed, 130 after Ctrl-C, 2 if something asked for does not exist."""
    asked = parse(words)
    try:
        for agent in asked.agents:
            make_agent(agent)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    tables = [
        [
            Run(task, agent, seed, asked.steps or case_of(task).steps, asked.compiled, asked.device)
            for seed in seeds
            for agent in asked.agents
        ]
        for task in asked.tasks
    ]
    status = 0
    if not asked.table:
        # Seed by seed, so that a benchmark that is stopped early has some of everything.
        runs = sorted((run for table in tables for run in table), key=lambda run: run.seed)
        status = _measure([run for run in runs if _missing(run, asked.out)], asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(_report(table, asked.out) for table in _with_measured(tables, asked.out))
    (asked.out / "tables.md").write_text(HEAD + text, encoding="utf-8")
    print(text)
    return status


def _missing(run: Run, out: Path) -> bool:
    """Whether a run never was measured, or on fewer goals than it is to be now."""
    result = read_result(run, out)
    return result is None or any(row["goals"] < goals_of(run.task, make_agent(run.agent)) for row in result["rows"])


def _with_measured(tables: Sequence[Sequence[Run]], out: Path) -> list[list[Run]]:
    """Add what was measured before to what was asked for: one table for each task and length."""
    merged: dict[tuple[str, int], dict[tuple[str, int], Run]] = {}
    for run in (*(run for table in tables for run in table), *measured(out)):
        merged.setdefault((run.task, run.steps), {}).setdefault((run.agent, run.seed), run)
    order = list(CASES)
    keys = sorted(merged, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key))
    return [list(merged[key].values()) for key in keys]


def _measure(runs: Sequence[Run], asked: argparse.Namespace) -> int:
    failed = 0
    events = (
        run_on_ray(runs, asked.out, asked.ray, asked.jobs) if asked.ray else run_locally(runs, asked.out, asked.jobs)
    )
    progress = Progress(runs)
    try:
        for event in events:
            progress.hear(event)
            failed += bool(event.error)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there", file=sys.stderr)
        return 130
    finally:
        events.close()  # type: ignore[attr-defined]
    return 1 if failed else 0


def _report(runs: Sequence[Run], out: Path) -> str:
    task, steps = runs[0].task, runs[0].steps
    rows = tidy(runs, out)
    results = [result for run in runs if (result := read_result(run, out))]
    versions = {result["fingerprint"] for result in results}
    if len(versions) > 1:
        raise ValueError(f"{out} holds results of {len(versions)} versions of {task}; remove those of the older one")
    unit = results[0]["unit"] if results else "-"
    write_csv(rows, out, task, steps)
    draw(rows, runs, unit, out)
    return markdown(rows, runs, marks(task, steps), unit)


if __name__ == "__main__":
    sys.exit(main())
