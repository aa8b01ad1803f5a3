"""Metrics in one CSV file, one row per episode, and learning curves as plots."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from tdm_ros.files import write_durably

FILE_NAME = "metrics.csv"
UNSCORED = ("interrupted", "discarded")
"""Ends of episodes that are left out of medians and curves."""
THRESHOLDS = (0.01, 0.02, 0.05)
"""Success radii of the reports [goal unit; m for reaching]."""


@dataclass(frozen=True)
class EpisodeRow:
    """Record of one episode."""

    robot_time_s: float  # of motion of the arm since the start of the run [s]
    step: int  # environment steps (cycles) so far
    episode: int
    mode: str  # "train" (with exploration), "validate" (without, while learning), "evaluate" (without, at the end);
    # live: "demonstration" (the operator moved the arm)
    final_distance: float  # to the goal in the last state [goal unit; m for reaching]
    updates: int  # gradient updates so far
    end: str  # "time_limit", "terminated", "interrupted"; live: "rejected" (no plan), "success", "failure", "discarded"
    goal: str  # coordinates [goal unit], separated by blanks


class MetricsFile:
    """File of one row per episode in a run folder; each row is flushed to the operating system.

    Rows are appended to an existing file. An incomplete last line and, if ``last_step`` is given, the rows after it are
    removed first: a killed run wrote them after its last checkpoint.
    """

    def __init__(self, directory: Path, last_step: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE_NAME
        if last_step is not None and path.exists():
            _cut(path, last_step)
        fresh = not path.exists() or path.stat().st_size == 0
        self._path = path
        self._open()
        if fresh:
            self._writer.writeheader()
            self._file.flush()

    def _open(self) -> None:
        self._file = self._path.open("a+", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, [f.name for f in fields(EpisodeRow)])

    def append(self, row: EpisodeRow) -> None:
        """Write one row; a file that was deleted is written again with all of its rows.

        Raises OSError if the file cannot be written. The row is then written with the next one.
        """
        self._writer.writerow(asdict(row))
        self._file.flush()
        if not self._path.exists():
            content = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, content)
            self._file.close()
            self._open()

    def close(self) -> None:
        self._file.close()


def read_metrics(directory: Path) -> Iterator[EpisodeRow]:
    """Read the rows of a run; an incomplete last line is left out.

    Raises FileNotFoundError if the run has no metrics file.
    """
    path = directory / FILE_NAME
    if not path.exists():
        raise FileNotFoundError(f"no {FILE_NAME} in {directory}; give the directory of a run")
    kinds = get_type_hints(EpisodeRow)
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            try:
                yield EpisodeRow(**{name: kind(line[name]) for name, kind in kinds.items()})
            except (TypeError, ValueError):
                continue


def _cut(path: Path, last_step: int) -> None:
    """Remove the rows after ``last_step``; atomic."""
    rows = [row for row in read_metrics(path.parent) if row.step <= last_step]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(EpisodeRow)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_durably(path, text.getvalue())


def summarise(final_distance: list[float]) -> dict[str, Any]:
    """Statistics and success rates of the final distances of a live run, which are in m."""
    if not final_distance:
        return {"final_distance_m": None, "success": None}
    return {"final_distance_m": statistics(final_distance), "success": success_rates(final_distance)}


def statistics(values: Sequence[float]) -> dict[str, float]:
    """Mean, median and 95th percentile."""
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
    }


def success_rates(distances_m: Sequence[float]) -> dict[str, float]:
    """Fraction within each of `THRESHOLDS`."""
    return {f"{radius:g}": float((np.asarray(distances_m) <= radius).mean()) for radius in THRESHOLDS}


if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = "curve.png"
WINDOW = 10
"""Episodes in the running median."""


def draw_curve(run_dir: Path, title: str = "", unit: str = "m") -> Path:
    """Draw ``curve.png`` into a run folder: final distance of every episode over robot time; return its path.

    Distances in metres are plotted as centimetres. Raises FileNotFoundError if there is no metrics file, ValueError if
    no episode has ended yet.
    """
    rows = [row for row in read_metrics(run_dir) if row.end not in UNSCORED]
    if not rows:
        raise ValueError(f"no finished episode in {run_dir}: nothing to plot yet")
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
    axes.plot(time, distance, ".", color="0.7", ms=5, label="training episodes, with exploration")
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
