"""Plot of a calibration: predicted against reached distance, one panel per horizon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tdm_ros.training.calibration import Calibration, HorizonCalibration
from tdm_ros.training.outcomes import Outcome
from tdm_ros.training.reachability import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "calibration.png"


def draw_calibration(directory: Path, result: Calibration, found: list[Outcome], title: str = "") -> Path:
    """Draw ``calibration.png`` into ``directory``.

    Parameters
    ----------
    directory : Path
    result : Calibration
    found : list of Outcome
        What it was made from.
    title : str

    Returns
    -------
    Path
        The picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    count = len(result.horizons)
    figure = Figure(figsize=(1 + 3.2 * count, 4.6), dpi=110, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, count))
    for panel, one in zip(axes, result.horizons, strict=True):
        _draw(panel, result, one, [outcome for outcome in found if outcome.steps_left == one.steps_left])
        panel.set_xlabel(f"predicted [{result.unit}]")
    axes[0].set_ylabel(f"reached: distance left [{result.unit}]")
    axes[0].legend(loc="upper left", fontsize="x-small", framealpha=0.9)
    if title:
        figure.suptitle(title)
    path = directory / PICTURE
    figure.savefig(path)
    return path


def _draw(axes: Axes, result: Calibration, one: HorizonCalibration, found: list[Outcome]) -> None:
    predicted, reached, std = (np.array([getattr(o, name) for o in found]) for name in ("predicted", "reached", "std"))
    limit = 1.05 * max(predicted.max(), reached.max(), 1e-9)
    line = np.linspace(0, limit, 50)
    low, _, high = result.bounds.around(line, np.full(50, np.median(std)), np.full(50, float(one.steps_left)))
    axes.fill_between(line, low, high, color="tab:orange", alpha=0.2, lw=0, label=f"{LEVEL:.0%} interval, median std")
    axes.plot([0, limit], [0, limit], color="0.4", lw=1, label="as predicted")
    axes.plot(predicted, reached, ".", color="tab:blue", ms=4, alpha=0.5, label="a goal")
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    steps = one.steps_left + 1
    correlation = "-" if one.correlation is None else f"{one.correlation:.2f}"
    coverage = "-" if one.coverage is None else f"{one.coverage:.0%}"
    axes.set_title(
        f"{steps} step{'s' if steps > 1 else ''} (steps_left {one.steps_left}), n = {one.n}\n"
        f"MAE {one.mae:.2g}, bias {one.bias:+.2g}, r {correlation}\n{coverage} in the interval",
        fontsize="small",
    )
