"""Learning curves of one task: ours over seeds, the paper's behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import Run, case_of, paper_curves, short, table_name
from benchmarks.results import spread

_COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")
"""Without the grey one: grey is the paper's."""
_PAPER_STYLES = {"TDM": "-", "model_based": "--", "DDPG": "-.", "HER": ":"}


def draw(rows: Sequence[dict[str, Any]], runs: Sequence[Run], unit: str, out: Path) -> Path:
    """Draw interquartile means and their 95 % intervals over seeds against environment steps; return the PNG file.

    Parameters
    ----------
    rows : sequence of dict
        From `tidy`.
    runs : sequence of Run
        Of one task and length.
    unit : str
        Of the score.
    out : Path
        Folder.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    task, steps = runs[0].task, runs[0].steps
    marks = sorted({row["steps"] for row in rows})
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    left, right = (marks[0] if marks else 1000) / 1.1, steps * 1.1
    _draw_paper(axes, task, left, right)
    _draw_ours(axes, rows, list(dict.fromkeys(run.agent for run in runs)), marks)
    targets = {mark: target for mark, target in case_of(task).targets.items() if mark <= steps}
    if targets:
        axes.plot(list(targets), list(targets.values()), "k*", ms=10, zorder=4, label="target")
    axes.set(xscale="log", yscale="log", xlim=(left, right), xlabel="environment steps", title=task)
    axes.set_ylabel(f"mean final score [{unit}]")
    for axis in (axes.xaxis, axes.yaxis):
        plain(axis)
    axes.xaxis.set_major_formatter(lambda steps, _: short(round(steps)))
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path = out / f"{table_name(task, steps)}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def plain(axis: Any) -> None:
    """Mark a logarithmic axis at 1, 2 and 5 times powers of ten, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _draw_paper(axes: Any, task: str, left: float, right: float) -> None:
    for method, curve in paper_curves().get(case_of(task).paper, {"curves": {}})["curves"].items():
        points = [(x, y) for x, y in zip(curve["x"], curve["y"], strict=True) if left <= x <= right]
        if points:
            style = _PAPER_STYLES.get(method, "-")
            label = f"paper: {method.replace('_', ' ')}"
            axes.plot(*zip(*points, strict=True), color="0.6", linestyle=style, label=label, zorder=1)


def _draw_ours(axes: Any, rows: Sequence[dict[str, Any]], agents: Sequence[str], marks: Sequence[int]) -> None:
    for number, agent in enumerate(agents):
        found = {mark: s for mark in marks if (s := spread(rows, agent, mark))}
        if not found:
            continue
        x, colour = list(found), _COLOURS[number % len(_COLOURS)]
        axes.fill_between(x, [s.low for s in found.values()], [s.high for s in found.values()], color=colour, alpha=0.2)
        label = f"{agent} (n={max(s.seeds for s in found.values())}{_fewer_goals(rows, agent)})"
        style = "o-" if number < len(_COLOURS) else "s:"
        axes.plot(x, [s.iqm for s in found.values()], style, ms=3, color=colour, label=label, zorder=3)


def _fewer_goals(rows: Sequence[dict[str, Any]], agent: str) -> str:
    """How many goals an agent was judged on, where others were judged on more: its scores are means of others."""
    fewest = min(row["goals"] for row in rows if row["agent"] == agent)
    return f", {fewest} goals" if fewest < max(row["goals"] for row in rows) else ""
