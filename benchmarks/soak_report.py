"""Table and picture of `benchmarks.soak`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

AGE_S = 60
"""Age from which a process counts as started [s]; its memory is compared at that age and later."""
LEAST_S = 120
"""Time after that from which a process has a slope [s]."""
ALWAYS = ("arm", "supervisor")


def lives_of(samples: list[dict[str, Any]], node: str) -> list[np.ndarray]:
    """Rows of each process of a node: second, age [s], memory [MB], descriptors, threads."""
    lives: dict[int, list[list[float]]] = {}
    for one in samples:
        if node in one["nodes"]:
            rows = lives.setdefault(one["processes"][node], [])
            rows.append([one["s"], len(rows), *one["nodes"][node]])
    return [np.array(rows, np.float64) for rows in lives.values()]


def slope_of(lives: list[np.ndarray], column: int) -> tuple[float, float, float] | None:
    """Median, smallest and largest slope per hour of one column within a process (Theil and Sen); None: too few.

    Processes of at least two minutes after their start count. A slope over several would hide what ends with each.
    """
    from scipy.stats import theilslopes

    started = [life[life[:, 1] >= AGE_S] for life in lives]
    taken = [rows[np.linspace(0, len(rows) - 1, 200).astype(int)] for rows in started if len(rows) >= LEAST_S]
    slopes = [float(theilslopes(rows[:, column], rows[:, 0] / 3600)[0]) for rows in taken]
    return (float(np.median(slopes)), min(slopes), max(slopes)) if slopes else None


def node_rows(samples: list[dict[str, Any]]) -> list[str]:
    """A row for each node: processes, memory, descriptors and threads, and the slope of each per hour."""
    lines = ["| node | processes | memory [MB] | slope [MB/h] | descriptors | slope [1/h] | threads | slope [1/h] |"]
    lines.append("|" + "---|" * 8)
    for node in sorted({name for one in samples for name in one["nodes"]}):
        lives = lives_of(samples, node)
        started = [life[life[:, 1] >= AGE_S] for life in lives]
        rows = np.concatenate(started)
        if not len(rows):
            continue
        cells = [f"`{node}`", str(len(lives))]
        for column, form in ((2, "{:.1f}"), (3, "{:.0f}"), (4, "{:.0f}")):
            cells.append(f"{form.format(rows[:, column].min())} to {form.format(rows[:, column].max())}")
            slope = slope_of(lives, column)
            cells.append("" if slope is None else f"{slope[0]:.2f} ({slope[1]:.2f} to {slope[2]:.2f})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def summary_rows(result: dict[str, Any]) -> list[str]:
    """What was injected, found again and lost, and how cycles went."""
    faults = result["faults"]
    kinds = {kind: sum(one["kind"] == kind for one in faults) for kind in ("kill", "freeze", "restart")}
    stood = [one["standstill_s"] for one in faults if "standstill_s" in one]
    seconds = np.array(result["seconds"])
    due = seconds[seconds[:, 1] >= 0, 1]
    minutes = [float(np.mean(part)) for part in np.array_split(seconds[:, 0], max(1, len(seconds) // 600))]
    rows = [
        ("faults injected", f"{len(faults)} ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})"),
        ("transitions acknowledged", f"{result['acknowledged']}"),
        ("in the log", f"{result['logged']}, twice: {result['twice']}"),
        ("lost", f"{result['lost']}"),
        ("violations", f"{sum(one.get('violation', False) for one in faults)}"),
    ]
    if stood:
        rows.append(("time to standstill without a policy", f"{np.median(stood):.2f} s, at most {max(stood):.2f} s"))
    rows += [
        ("states per second, each ten minutes", ", ".join(f"{value:.2f}" for value in minutes)),
        ("cycles of policy and random phase answered in time", f"{100 * due.mean():.2f} %"),
        ("seconds with a gap of more than 0.1 s between states", f"{int((seconds[:, 2] > 0.1).sum())}"),
        ("log per transition", _growth(result)),
        ("exit status of the system", f"{result['exit_status']}"),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _growth(result: dict[str, Any]) -> str:
    """Bytes of the log per transition in the first and in the second half."""
    marks = [(one["acknowledged"], one["log_bytes"]) for one in result["samples"]]
    first, middle, last = marks[min(60, len(marks) - 1)], marks[len(marks) // 2], marks[-1]
    halves = [(b[1] - a[1]) / max(b[0] - a[0], 1) for a, b in ((first, middle), (middle, last))]
    return f"{halves[0]:.0f} bytes in the first half, {halves[1]:.0f} in the second"


def draw(result: dict[str, Any], path: Path) -> None:
    """Memory, states per second and largest gap over time; faults are marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    samples, seconds = result["samples"], np.array(result["seconds"])
    minutes = np.arange(len(seconds)) / 60
    figure, (memory, rate, gap) = plt.subplots(
        3, 1, figsize=(9, 8), layout="constrained", sharex=True, height_ratios=(2, 1, 1)
    )
    for number, node in enumerate(sorted({name for one in samples for name in one["nodes"]})):
        for index, life in enumerate(lives_of(samples, node)):
            memory.plot(life[:, 0] / 60, life[:, 2], color=f"C{number}", lw=1.2, label=None if index else node)
    memory.set(ylabel="memory (RSS) [MB]", ylim=(0, None))
    memory.legend(fontsize=8, ncols=4, loc="lower left")
    rate.plot(minutes, seconds[:, 0], lw=0.8, color="k")
    rate.set(ylabel="states per second", ylim=(0, 25))
    gap.plot(minutes, seconds[:, 2], lw=0.8, color="k")
    gap.set(ylabel="largest gap between\nstates [s]", yscale="log", xlabel="time [min]", xlim=(0, minutes[-1]))
    for fault in result["faults"]:
        colour = {"kill": "#c62828", "freeze": "#1565c0", "restart": "#2e7d32"}[fault["kind"]]
        rate.axvline(fault["at_s"] / 60, color=colour, lw=0.6, alpha=0.6)
    title = f"tdm_ros up sawyer_reach, {result['minutes']:g} minutes, {len(result['faults'])} faults"
    figure.suptitle(f"{title}: kills red, freezes blue, restarts green (seed {result['seed']})", fontsize=11)
    for axis in (memory, rate, gap):
        axis.grid(True, alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_report(result: dict[str, Any], out: Path) -> str:
    """Write picture and tables; return the tables."""
    draw(result, out / "soak.png")
    text = "\n".join([*summary_rows(result), "", *node_rows(result["samples"])]) + "\n"
    (out / "soak.md").write_text(text, encoding="utf-8")
    return text
