"""The table and the picture of `benchmarks.fleet`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots import plain

TARGETS_M = (0.02, 0.01)


def reached_s(rows: Sequence[dict[str, Any]], target_m: float) -> float | None:
    """Time of the first of two marks in a row at which the median goal is within the target [s], or None."""
    for before, row in pairwise(rows):
        if max(before["median_m"], row["median_m"]) <= target_m:
            return float(before["robot_s"])
    return None


def _groups(results: Sequence[dict[str, Any]]) -> list[tuple[bool, int]]:
    groups = {(result["compiled"], result["arms"]) for result in results}
    return sorted(groups, key=lambda group: (not group[0], group[1]))


def _name(compiled: bool, arms: int) -> str:
    return f"{arms} {'arm' if arms == 1 else 'arms'}" + ("" if compiled else ", updates not compiled")


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """A row for each number of arms: medians over seeds, each seed, and how many times as fast as one arm."""
    cells = ["", "seeds", "the trainer can make", "makes for each transition"]
    for target_m in TARGETS_M:
        cells += [f"seconds to {100 * target_m:g} cm, median (each seed)", "times as fast as one arm"]
    lines = [f"| {' | '.join(cells)} |", "|" + "---|" * len(cells)]
    for compiled, arms in _groups(results):
        mine = [r for r in results if (r["compiled"], r["arms"]) == (compiled, arms)]
        alone = [r for r in results if (r["compiled"], r["arms"]) == (compiled, 1)]
        ratio = np.median([r["rows"][-1]["updates"] / r["rows"][-1]["transitions"] for r in mine])
        cells = [_name(compiled, arms), str(len(mine)), f"{mine[0]['rate']:.0f} updates/s", f"{ratio:.1f} updates"]
        for target_m in TARGETS_M:
            times, base = (
                [np.inf if (reached := reached_s(r["rows"], target_m)) is None else reached for r in runs]
                for runs in (mine, alone)
            )
            each = ", ".join(f"{seconds:g}" for seconds in times)
            cells.append(f"**{np.median(times):g}** ({each})")
            cells.append(f"{np.median(base) / np.median(times):.2f}" if base else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Median final distance against seconds: a colour for each number of arms, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    for number, (compiled, arms) in enumerate(_groups(results)):
        label: str | None = _name(compiled, arms)
        for result in results:
            if (result["compiled"], result["arms"]) == (compiled, arms):
                seconds = [row["robot_s"] for row in result["rows"]]
                medians = [100 * row["median_m"] for row in result["rows"]]
                axes.plot(seconds, medians, "o-", ms=2, lw=1, color=f"C{number}", label=label)
                label = None
    for target_m in TARGETS_M:
        axes.axhline(100 * target_m, color="k", lw=0.8, ls=":")
    axes.set(yscale="log", xlim=(0, None), xlabel="seconds, of the clock and of each arm")
    axes.set_ylabel("median final distance [cm]")
    axes.set_title("sawyer_reach, one trainer; a line ends when it stays within 1 cm", fontsize=10)
    plain(axes.yaxis)
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
