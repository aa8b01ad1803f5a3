"""Plot of a recording: sources of commands, ends of episodes, trajectory of the hand, commands."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import Source
from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.summary import Summary, distances, modes_of
from tdm_ros.data.table import SOURCES, Table, commanded_pieces, episodes, is_commanded, known_tasks
from tdm_ros.tasks import TaskSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "policy": "tab:blue",
    "human": "tab:orange",
    "random": "tab:green",
    "reset": "0.7",
    "safety": "tab:red",
    "none": "0.9",
}
OTHER = "tab:purple"


def draw(path: Path, recording: Recording, table: Table, summary: Summary) -> Path:
    """Draw a PNG. Raises DataError if there is no transition to draw, or the suffix of the name is no image format."""
    if not len(table):
        raise DataError(f"{recording.name} has no transition of tdm_ros: there is nothing to draw")
    from matplotlib.figure import Figure

    columns = table.columns
    time_s = (columns["stamp_ns"] - columns["stamp_ns"].min()) / 1e9
    figure = Figure(figsize=(12, 9.5), dpi=110, layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=(0.9, 2.2, 2.4))
    strip = figure.add_subplot(grid[0, :])
    ends = figure.add_subplot(grid[1, :], sharex=strip)
    _draw_strip(strip, table, time_s)
    task = known_tasks().get(str(columns["task"][0]))
    _draw_ends(ends, table, time_s, modes_of(recording), task)
    names = task.goal.names if task else tuple(f"goal {i}" for i in range(columns["next_achieved_goal"].shape[1]))
    for place, pair in enumerate(((0, 1), (0, 2))):
        _draw_path(figure.add_subplot(grid[2, place]), table, pair, names, summary.unit)
    _draw_actions(figure.add_subplot(grid[2, 2]), table, task)
    title = f"{recording.name}: {summary.transitions} transitions of {', '.join(summary.tasks)}, {summary.start}"
    figure.suptitle(textwrap.shorten(title, 130), fontsize="medium")
    try:
        figure.savefig(path)
    except ValueError as error:
        raise DataError(f"{path} cannot be drawn: {error}; give a name that ends in .png") from error
    return path


def _draw_strip(axes: Axes, table: Table, time_s: NDArray[np.float64]) -> None:
    """Sources of commands over time, one row each; the limiter's interventions and missing cycles below."""
    columns, source = table.columns, table.columns["source"]
    width = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.05
    rows = [(name, source == number, COLOURS.get(name, OTHER)) for number, name in SOURCES.items() if number in source]
    rows.append(("limited", columns["limited"].astype(bool), "0.25"))
    missing = _gaps(table)
    if missing.any():
        rows.append(("gaps", missing, "tab:red"))
    for height, (_, mask, colour) in enumerate(reversed(rows)):
        axes.broken_barh(_runs(time_s, mask, width), (height - 0.4, 0.8), color=colour)
    labels = [f"{name}: {mask.sum()}" for name, mask, _ in reversed(rows)]
    axes.set_yticks(range(len(rows)), labels, fontsize="small")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_title("source of the command (number of transitions)", fontsize="small", loc="left")
    axes.tick_params(labelbottom=False)


def _gaps(table: Table) -> NDArray[np.bool_]:
    """Transitions after which a cycle of their episode is missing."""
    found = np.zeros(len(table), bool)
    for rows in episodes(table):
        found[rows[:-1]] = np.diff(table.columns["cycle"][rows].astype(np.int64)) > 1
    return found


def _runs(time_s: NDArray[np.float64], mask: NDArray[np.bool_], width: float) -> list[tuple[float, float]]:
    """Start and length of each run of neighbouring transitions in a mask [s]."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return []
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(time_s[rows]) > 3 * width)) + 1
    return [(float(time_s[run[0]]), float(time_s[run[-1]] - time_s[run[0]]) + width) for run in np.split(rows, breaks)]


def _draw_ends(
    axes: Axes, table: Table, time_s: NDArray[np.float64], modes: dict[int, str], task: TaskSpec | None
) -> None:
    """Distance to the goal during each episode, and final distance."""
    columns = table.columns
    scale, shown = (
        (100, "cm") if task and task.goal.unit == "m" else (1, task.goal.unit if task else "unit of the goal")
    )
    distance = scale * distances(columns)
    labelled = set()
    for rows in episodes(table):
        if not np.isfinite(distance[rows]).any():
            continue
        axes.plot(time_s[rows], distance[rows], color="0.75", lw=0.6, zorder=1)
        human = (columns["source"][rows] == Source.HUMAN).any()
        mode = modes.get(int(columns["episode"][rows[0]]), "train")
        kind = "operator" if human else {"train": "training", "evaluate": "evaluation"}[mode]
        colour = {"training": "tab:blue", "evaluation": "tab:green", "operator": "tab:orange"}[kind]
        label = None if kind in labelled else f"end of an episode: {kind}"
        labelled.add(kind)
        axes.plot(time_s[rows[-1]], distance[rows[-1]], "o", ms=4, color=colour, label=label, zorder=2)
    if task is not None:
        axes.axhline(
            scale * task.success, color="0.3", lw=0.8, ls="--", label=f"reached: {scale * task.success:g} {shown}"
        )
    if labelled:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="upper right", fontsize="small", ncols=4, framealpha=0.9)
    axes.set(xlabel="time [s]", ylabel=f"distance to the goal [{shown}]")
    axes.set_xlim(0, 1.01 * max(float(time_s.max()), 1e-3))


def _draw_path(axes: Axes, table: Table, pair: tuple[int, int], names: tuple[str, ...], unit: str) -> None:
    """Two dimensions of the goal space: the positions, by source of the command, and the goals."""
    columns = table.columns
    reached, goals = columns["next_achieved_goal"], columns["desired_goal"]
    if reached.shape[1] <= max(pair):
        axes.set_axis_off()
        return
    a, b = pair
    for number, name in SOURCES.items():
        rows = columns["source"] == number
        if rows.any():
            axes.plot(reached[rows, a], reached[rows, b], ".", ms=1.5, color=COLOURS.get(name, OTHER), rasterized=True)
    ends = [rows[-1] for rows in episodes(table)]
    if goals.shape == reached.shape and ends:
        axes.plot(goals[ends, a], goals[ends, b], "x", ms=5, color="black", label=f"{len(ends)} goals")
        axes.legend(loc="upper right", fontsize="small")
    axes.set(xlabel=f"{names[a]} [{unit}]", ylabel=f"{names[b]} [{unit}]", aspect="equal")
    axes.set_title("positions by source, coloured as above", fontsize="small", loc="left")


def _draw_actions(axes: Axes, table: Table, task: TaskSpec | None) -> None:
    """Distribution of the executed actions of each dimension."""
    columns = table.columns
    rows = is_commanded(columns["source"])
    action = columns["action"][rows]
    names = task.action.names if task and task.action.size == action.shape[1] else range(action.shape[1])
    pieces = len(commanded_pieces(table))
    if len(action):
        axes.violinplot(list(action.T), orientation="horizontal", showextrema=False, widths=0.9)
        axes.set_yticks(range(1, action.shape[1] + 1), [str(name).removeprefix("right_") for name in names])
    axes.set(xlabel="executed action [1]", xlim=(-1.05, 1.05))
    axes.set_title(f"actions of {rows.sum()} commanded transitions in {pieces} pieces", fontsize="small", loc="left")
