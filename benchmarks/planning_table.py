"""Tables of `benchmarks.planning`, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.planning_cases import PlanningCase
from benchmarks.planning_methods import METHODS

HEAD = (
    "who says where to go",
    "success",
    "no violation",
    "final distance, median (mean)",
    "way",
    "steps to get there",
    "plans an attempt",
    "CPU ms a plan, median (95 %)",
)


def table(name: str, case: PlanningCase, unit: str, results: Sequence[dict[str, Any]]) -> str:
    """Write the table of one case.

    Parameters
    ----------
    name : str
    case : PlanningCase
    unit : str
        Of distances.
    results : sequence of dict
        As `benchmarks.planning` keeps them.
    """
    lines = [
        f"### {name}: {case.task}, {case.steps} steps, success within {case.success:g} {unit}",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *(f"| {' | '.join(_cells(case, result))} |" for result in results),
        "",
    ]
    return "\n".join(lines)


def succeeded(case: PlanningCase, attempts: Iterable[dict[str, Any]]) -> list[bool]:
    """Which attempts ended within the case's distance without a violation."""
    return [a["distance"] <= case.success and not a["violated"] for a in attempts]


def _cells(case: PlanningCase, result: dict[str, Any]) -> list[str]:
    attempts = result["attempts"]
    good = succeeded(case, attempts)
    distance = np.array([a["distance"] for a in attempts])
    first = [a["first"] for a, ok in zip(attempts, good, strict=True) if ok and a["first"] is not None]
    ways = [a["length"] for a, ok in zip(attempts, good, strict=True) if ok]
    cpu_ms = [ms for a in attempts for ms in a["guide"].get("plan_cpu_ms", ())]
    plans = [len(a["guide"].get("plan_cpu_ms", ())) for a in attempts]
    if ways and attempts[0]["shortest"] is not None:
        way = np.array(
            [a["length"] / max(a["shortest"], case.success) for a, ok in zip(attempts, good, strict=True) if ok]
        )
        length = f"{np.median(way):.2f} times the shortest"
    else:
        length = f"{np.median(ways):.2f}" if ways else "-"
    return [
        METHODS[result["method"]].about,
        f"{np.mean(good):.0%} of {len(good)}",
        f"{np.mean([not a['violated'] for a in attempts]):.0%}" if case.keep_out else "",
        f"{np.median(distance):.3g} ({distance.mean():.3g})",
        length,
        f"{np.median(first):.0f}" if first else "-",
        f"{np.mean(plans):.1f}" if cpu_ms else "-",
        f"{np.median(cpu_ms):.1f} ({np.percentile(cpu_ms, 95):.1f})" if cpu_ms else "-",
    ]
