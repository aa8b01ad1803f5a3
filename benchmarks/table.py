"""The Markdown table of one task: ours, the baselines and the paper, with what is missing in plain sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Run, case_of, paper_curves, short
from benchmarks.results import Spread, spread

PAPER_SEEDS = "3 to 5"


def markdown(rows: Sequence[dict[str, Any]], runs: Sequence[Run], steps_shown: Sequence[int], unit: str) -> str:
    """Write the table of one task.

    Parameters
    ----------
    rows : sequence of dict
        From `tidy`.
    runs : sequence of Run
        All that were asked for, of one task and length; what is missing is listed below the table.
    steps_shown : sequence of int
        Marks that get a column.
    unit : str
        Of the score.
    """
    task, agents = runs[0].task, list(dict.fromkeys(run.agent for run in runs))
    seeds = len({run.seed for run in runs})
    head = ["agent", "seeds", *(f"{short(mark)} steps" for mark in steps_shown)]
    head += ["goals", "updates", "wall min", "target met"]
    heading = f"{task}, runs of {short(runs[0].steps)} steps: mean final score [{unit}]"
    lines = [f"### {heading}, interquartile mean over seeds (95 % interval)", ""]
    lines += [_line(head), _line(["---"] * len(head))]
    lines += [_line(_measured(rows, agent, seeds, steps_shown, _targets(runs[0]))) for agent in agents]
    lines += _paper(task, steps_shown)
    targets = _targets(runs[0])
    if targets:
        cells = [f"<= {targets[mark]:g}" if mark in targets else "" for mark in steps_shown]
        lines.append(_line(["target", "", *cells, "", "", "", ""]))
    have = {(row["agent"], row["seed"]) for row in rows}
    missing = [f"{run.agent} seed {run.seed}" for run in runs if (run.agent, run.seed) not in have]
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    lines += [line for agent in agents for line in _acting(rows, agent)]
    return "\n".join(lines) + "\n"


def _measured(
    rows: Sequence[dict[str, Any]], agent: str, seeds: int, steps_shown: Sequence[int], targets: dict[int, float]
) -> list[str]:
    own = [row for row in rows if row["agent"] == agent]
    found = len({row["seed"] for row in own})
    cells = [agent, str(found) if found == seeds else f"{found} of {seeds}"]
    cells += [_score(spread(rows, agent, mark), found) for mark in steps_shown]
    if not own:
        return [*cells, "-", "-", "-", "-" if targets else ""]
    goals = "/".join(str(n) for n in sorted({row["goals"] for row in own}))
    last = max(row["steps"] for row in own)
    on_cpu = [row for row in own if row["device"] == "cpu"] or own  # minutes on a GPU are other minutes
    updates, wall_s = spread(rows, agent, last, "updates"), spread(on_cpu, agent, last, "wall_s")
    assert updates and wall_s
    return [*cells, goals, f"{updates.iqm:.0f}", f"{wall_s.iqm / 60:.1f}", _met(rows, agent, targets)]


def _acting(rows: Sequence[dict[str, Any]], agent: str) -> list[str]:
    """Modes that were selected at the end of the runs of an agent of earlier versions, which selected one."""
    last = max((row["steps"] for row in rows), default=0)
    own = [row for row in rows if row["agent"] == agent and row["steps"] == last]
    counts = Counter(row["selected_mode"] for row in own if row["selected_mode"])
    found = ", ".join(f"{mode} ({seeds})" for mode, seeds in counts.most_common())
    return ["", f"Selected mode at the end of {agent}, with the number of seeds: {found}."] if found else []


def _score(found: Spread | None, seeds: int) -> str:
    if found is None:
        return "-"
    partial = f" n={found.seeds}" if found.seeds != seeds else ""
    interval = f" ({found.low:.3g} - {found.high:.3g})" if found.seeds > 1 else ""
    return f"{found.iqm:.3g}{interval}{partial}"


def _targets(run: Run) -> dict[int, float]:
    """Those that a run of this length can meet."""
    return {mark: target for mark, target in case_of(run.task).targets.items() if mark <= run.steps}


def _met(rows: Sequence[dict[str, Any]], agent: str, targets: dict[int, float]) -> str:
    words = []
    for mark, target in targets.items():
        found = spread(rows, agent, mark)
        words.append(f"{short(mark)}: {'-' if found is None else 'yes' if found.iqm <= target else 'no'}")
    return ", ".join(words)


def _paper(task: str, steps_shown: Sequence[int]) -> list[str]:
    curves = paper_curves().get(case_of(task).paper, {"curves": {}})["curves"]
    lines = []
    for method, curve in curves.items():
        points = dict(zip(curve["x"], curve["y"], strict=True))
        if points.keys() & set(steps_shown):
            cells = [f"{points[mark]:g}" if mark in points else "-" for mark in steps_shown]
            lines.append(_line([f"paper: {method}", PAPER_SEEDS, *cells, "", "", "", ""]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
