"""Pictures of plans: what they promised against what came of them, and one of them with the path that was taken."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.envs.view import Block, Marker, View
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.geometry import TABLE_NEAR_M
from tdm_ros.tasks import SCENES

WALL_VIEW = View((0.42, 0.0, 0.16), 2.0, 128.0, -22.0)
BINS = 6
RED_M = 0.06


SHOWN = ("graph_through", "cem_through")
"""Methods whose segments are carried out until the time is over for which their miss is predicted."""


def draw_calibration(results: dict[str, Sequence[dict[str, Any]]], path: Path) -> Path | None:
    """Draw predicted against reached misses of segments that were carried out, a panel for each case.

    Parameters
    ----------
    results : dict of str to sequence of dict
        By case; as `benchmarks.planning` keeps them.
    path : Path
        PNG to write.

    Returns
    -------
    Path or None
        None if no plan of `SHOWN` was carried out.
    """
    from matplotlib.figure import Figure

    kept = {
        name: {r["method"]: pairs for r in found if r["method"] in SHOWN and len(pairs := segments_of(r))}
        for name, found in results.items()
    }
    kept = {name: found for name, found in kept.items() if found}
    if not kept:
        return None
    count = len(kept)
    figure = Figure(figsize=(1 + 3.2 * count, 3.9), dpi=110, layout="constrained")
    for axes, (name, found) in zip(np.atleast_1d(figure.subplots(1, count)), kept.items(), strict=True):
        for method, pairs in found.items():
            axes.plot(*pairs.T, ".", ms=2.5, alpha=0.35, color=f"C{SHOWN.index(method)}", label=method)
        pairs = np.concatenate(list(found.values()))
        limit = 1.05 * float(np.percentile(pairs, 98))
        line = np.array([0, limit])
        axes.plot(line, line, "k-", lw=0.8)
        middle, low, high, at = binned(pairs)
        axes.errorbar(
            at, middle, [middle - low, high - middle], fmt="ks-", ms=4, lw=1, capsize=2, label="median, 10-90 %"
        )
        axes.set(xlim=(0, limit), ylim=(0, limit), title=name, xlabel="predicted miss")
        axes.grid(alpha=0.2)
        axes.legend(fontsize="x-small", loc="upper left", framealpha=0.9)
    figure.supylabel("reached miss [goal unit]", fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def segments_of(result: dict[str, Any]) -> NDArray[np.float64]:
    """Predicted and reached miss of every segment, (N, 2) [goal unit]."""
    segments = [s for a in result["attempts"] for s in a["guide"].get("segments", ())]
    pairs = [s[1:3] for s in segments if np.isfinite(s[1])]
    return np.array(pairs, np.float64).reshape(-1, 2)


def binned(pairs: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Median, 10 % and 90 % quantile of what was reached, and the median prediction, in bins of equal count."""
    order = np.argsort(pairs[:, 0])
    parts = np.array_split(pairs[order], min(BINS, len(pairs)))
    rows = np.array([[*np.percentile(p[:, 1], [50, 10, 90]), np.median(p[:, 0])] for p in parts])
    return tuple(rows.T)


def draw_wall(results: Sequence[dict[str, Any]], file: Path) -> Path | None:
    """Draw the first plan over the graph behind the wall, and the way that the hand then took.

    Returns
    -------
    Path or None
        None if there is no such plan, or no OpenGL library works here.
    """
    first = next((r["attempts"][0] for r in results if r["method"] == "graph"), None)
    if first is None or not first["path"] or not first["guide"]["plan"].get("knots"):
        return None
    plan = first["guide"]["plan"]
    try:
        return draw_path(first["path"], plan["knots"], plan["predicted_miss"], SCENES["wall"].keep_out_m, file)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return None


def draw_path(
    path_m: Sequence[Any], knots_m: Sequence[Any], misses_m: Sequence[float], boxes_m: Sequence[Any], file: Path
) -> Path:
    """Draw the arm in its neutral posture, the regions, a plan's knots and the way that the hand took.

    Parameters
    ----------
    path_m : (T, 3) [m]
        The hand's way: small dark balls.
    knots_m : (n, 3) [m]
        The last of them is the goal.
    misses_m : (n,) [m]
        Predicted for each knot: green means none, red 6 cm and more.
    boxes_m : sequence of (low, high)
    file : Path
        PNG to write.

    Raises
    ------
    RuntimeError
        If no OpenGL library can be used; the message names the remedy.
    """
    from matplotlib.image import imsave

    from tdm_ros.envs.render import Camera

    sim = ArmSim(ACTUATIONS["velocity"])
    shown: list[Marker | Block] = [Marker(point, 0.007, (0.1, 0.1, 0.15, 1.0)) for point in path_m]
    for number, (knot, miss) in enumerate(zip(knots_m, misses_m, strict=True)):
        share = float(np.clip(miss / RED_M, 0, 1))
        radius = 0.03 if number + 1 == len(knots_m) else 0.022
        shown.append(Marker(knot, radius, (0.15 + 0.8 * share, 0.8 - 0.65 * share, 0.2, 1.0)))
    for low, high in boxes_m:  # as far as it stands on the table
        shown.append(Block((max(low[0], TABLE_NEAR_M), low[1], max(low[2], 0.002)), high, (0.35, 0.45, 0.65, 0.4)))
    camera = Camera(sim.model, sim.data, 960, 720)
    try:
        image = camera.show(WALL_VIEW, shown)
    finally:
        camera.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    imsave(file, image)
    return file
