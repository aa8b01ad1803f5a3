"""Learning curves as plots, drawn from the metrics file of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tdm_ros.training.metrics import UNSCORED, EpisodeRow, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = "curve.png"
WINDOW = 10
"""Episodes in the running median."""


def draw_curve(run_dir: Path, title: str = "", unit: str = "m") -> Path:
    """Draw ``curve.png`` into ``run_dir``: final distance of every episode over robot time.

    Parameters
    ----------
    run_dir : Path
        Has a metrics file.
    title : str
    unit : str
        Of the distances; metres are drawn as centimetres.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    FileNotFoundError
        If there is no metrics file.
    ValueError
        If no episode has ended yet.
    """
    rows = [row for row in read_metrics(run_dir) if row.end not in UNSCORED]
    if not rows:
        raise ValueError(f"no finished episode in {run_dir}: nothing to draw yet")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if unit == "m":
        rows, unit = [replace(row, final_distance=100 * row.final_distance) for row in rows], "cm"
    _draw_training(axes, [r for r in rows if r.mode == "train"])
    _draw_validation(axes, [r for r in rows if r.mode == "validate"])
    _draw_evaluation(axes, [r for r in rows if r.mode == "evaluate"], rows, unit)
    _annotate(axes, rows, unit)
    axes.set_title(title or run_dir.resolve().name)
    path = run_dir / CURVE
    figure.savefig(path)
    return path


def _distances(rows: Sequence[EpisodeRow]) -> NDArray[np.float64]:
    return np.array([row.final_distance for row in rows])


def _draw_training(axes: Axes, rows: Sequence[EpisodeRow]) -> None:
    if not rows:
        return
    time, distance = np.array([r.robot_time_s for r in rows]), _distances(rows)
    axes.plot(time, distance, ".", color="0.7", ms=5, label="training episodes, as they explore")
    median = [np.median(distance[max(0, i - WINDOW + 1) : i + 1]) for i in range(len(distance))]
    axes.plot(time, median, color="tab:blue", lw=1.5, label=f"median of the last {WINDOW} of them")


def _draw_validation(axes: Axes, rows: Sequence[EpisodeRow]) -> None:
    times = sorted({r.robot_time_s for r in rows})
    if not times:
        return
    groups = [_distances([r for r in rows if r.robot_time_s == t]) for t in times]
    low, middle, high = np.array([np.percentile(g, [25, 50, 75]) for g in groups]).T
    axes.fill_between(times, low, high, color="tab:orange", alpha=0.25, lw=0)
    label = f"validation goals, no noise: median and quartiles (n = {len(groups[-1])})"
    axes.plot(times, middle, "o-", color="tab:orange", ms=4, label=label)


def _draw_evaluation(axes: Axes, rows: Sequence[EpisodeRow], every: Sequence[EpisodeRow], unit: str) -> None:
    if not rows:
        return
    learned = max((r.robot_time_s for r in every if r.mode != "evaluate"), default=0.0)
    distance = _distances(rows)
    spread = learned * (1.02 + 0.06 * np.linspace(0, 1, len(rows)))
    label = f"{len(rows)} fresh goals, no noise: median {np.median(distance):.2f} {unit}"
    axes.plot(spread, distance, "x", color="tab:green", ms=5, label=label)


def _annotate(axes: Axes, rows: Sequence[EpisodeRow], unit: str) -> None:
    if max(r.robot_time_s for r in rows) > 60:
        axes.axvline(60, color="0.4", lw=1, ls=":")
        axes.annotate(
            "one minute",
            (60, 1),
            (4, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
        )
    for radius in (1, 2) if unit == "cm" else ():
        axes.axhline(radius, color="0.85", lw=0.8, zorder=0)
    axes.set(yscale="log", xlabel="robot time [s]", ylabel=f"final distance to the goal [{unit}]")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=0)
    axes.legend(loc="upper right", fontsize="small", framealpha=0.9)
