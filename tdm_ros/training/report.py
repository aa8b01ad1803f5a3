"""Learning curves as pictures, drawn from the metrics file of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tdm_ros.training.metrics import EpisodeRow, read_metrics

CURVE = "curve.png"
WINDOW = 10
"""Episodes in the running median."""


def draw_curve(run_dir: Path, title: str = "") -> Path:
    """Draw ``curve.png`` into ``run_dir``: final distance of every episode over robot time.

    Parameters
    ----------
    run_dir : Path
        Has a metrics file.
    title : str

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
    rows = [row for row in read_metrics(run_dir) if row.end != "interrupted"]
    if not rows:
        raise ValueError(f"no finished episode in {run_dir}: nothing to draw yet")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    _draw_training(axes, [r for r in rows if r.mode == "train"])
    _draw_validation(axes, [r for r in rows if r.mode == "validate"])
    _draw_evaluation(axes, [r for r in rows if r.mode == "evaluate"], rows)
    _annotate(axes, rows)
    axes.set_title(title or run_dir.resolve().name)
    path = run_dir / CURVE
    figure.savefig(path)
    return path


def _cm(rows: Sequence[EpisodeRow]) -> np.ndarray:
    return 100 * np.array([row.final_distance for row in rows])


def _draw_training(axes, rows: Sequence[EpisodeRow]) -> None:  # type: ignore[no-untyped-def]
    if not rows:
        return
    time, distance = np.array([r.robot_time_s for r in rows]), _cm(rows)
    axes.plot(time, distance, ".", color="0.7", ms=5, label="training episodes, with exploration noise")
    median = [np.median(distance[max(0, i - WINDOW + 1) : i + 1]) for i in range(len(distance))]
    axes.plot(time, median, color="tab:blue", lw=1.5, label=f"median of the last {WINDOW} of them")


def _draw_validation(axes, rows: Sequence[EpisodeRow]) -> None:  # type: ignore[no-untyped-def]
    times = sorted({r.robot_time_s for r in rows})
    if not times:
        return
    groups = [_cm([r for r in rows if r.robot_time_s == t]) for t in times]
    low, middle, high = np.array([np.percentile(g, [25, 50, 75]) for g in groups]).T
    axes.fill_between(times, low, high, color="tab:orange", alpha=0.25, lw=0)
    label = f"validation goals, no noise: median and quartiles (n = {len(groups[-1])})"
    axes.plot(times, middle, "o-", color="tab:orange", ms=4, label=label)


def _draw_evaluation(axes, rows: Sequence[EpisodeRow], every: Sequence[EpisodeRow]) -> None:  # type: ignore[no-untyped-def]
    if not rows:
        return
    learned = max((r.robot_time_s for r in every if r.mode != "evaluate"), default=0.0)
    distance = _cm(rows)
    spread = learned * (1.02 + 0.06 * np.linspace(0, 1, len(rows)))
    label = f"{len(rows)} fresh goals, no noise: median {np.median(distance):.2f} cm"
    axes.plot(spread, distance, "x", color="tab:green", ms=5, label=label)


def _annotate(axes, rows: Sequence[EpisodeRow]) -> None:  # type: ignore[no-untyped-def]
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
    for radius in (1, 2):
        axes.axhline(radius, color="0.85", lw=0.8, zorder=0)
    axes.set(yscale="log", xlabel="robot time [s]", ylabel="final distance of the hand to the goal [cm]")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(left=0)
    axes.legend(loc="upper right", fontsize="small", framealpha=0.9)
