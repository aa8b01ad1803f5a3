"""The table and the picture of `benchmarks.demonstrations`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots import plain


def needed(results: Sequence[dict[str, Any]], condition: str, with_help: bool) -> list[float]:
    """Steps that each seed needed; infinite where it never got there. ``with_help`` counts the demonstrations, too."""
    return [
        np.inf if result["reached"] is None else result["reached"] + with_help * result["demonstrated"]
        for result in results
        if result["condition"] == condition
    ]


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """A row a condition: medians over seeds, and each seed."""
    names = list(dict.fromkeys(["none", *(result["condition"] for result in results)]))
    base = float(np.median(needed(results, "none", False) or [np.nan]))
    lines = [
        "| a person gives | seeds | own steps to 5 cm, median (each seed) | of those with no help | the same, "
        "demonstrations counted, too | of those with no help | steps by the person: before, meanwhile |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        own, everything = needed(results, name, False), needed(results, name, True)
        if not own:
            continue
        mine = [result for result in results if result["condition"] == name]
        before, meanwhile = (np.median([result[key] for result in mine]) for key in ("demonstrated", "helped"))
        each = ", ".join(f"{steps:g}" for steps in own)
        lines.append(
            f"| {name.replace('_', ' ')} | {len(own)} | **{np.median(own):g}** ({each}) | {np.median(own) / base:.0%} "
            f"| {np.median(everything):g} | {np.median(everything) / base:.0%} | {before:g}, {meanwhile:g} |"
        )
    return "\n".join(lines) + "\n"


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Mean final distance against own steps: a panel a condition, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(["none", *(result["condition"] for result in results)]))
    figure, panels = plt.subplots(
        1, len(names), figsize=(2.9 * len(names), 3.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, name in zip(panels[0], names, strict=True):
        for result in results:
            if result["condition"] == name:
                rows = result["rows"]
                steps, means = [row["steps"] for row in rows], [100 * row["mean"] for row in rows]
                axes.plot(steps, means, "o-", ms=2, lw=1, label=f"seed {result['seed']}")
        axes.axhline(5, color="k", lw=0.8, ls=":")
        axes.set(yscale="log", xlim=(0, None), xlabel="steps of the learner's own", title=name.replace("_", " "))
        plain(axes.yaxis)
        axes.grid(True, which="both", alpha=0.2)
    panels[0][0].set_ylabel("mean final distance of the puck [cm]")
    panels[0][-1].legend(fontsize=7)
    figure.suptitle("sawyer_push; a line ends when it stays within 5 cm", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)
