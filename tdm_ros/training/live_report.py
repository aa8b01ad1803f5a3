"""Report of a live run: the line of each second, the table and the summary at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdm_ros.durable import write_durably

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Now:
    """What the live line shows."""

    robot_s: float
    left: str
    state: str
    episode: int
    last_m: Sequence[float]
    rate_hz: float
    missed: int
    updates_s: float
    note: str = ""


def clock_text(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def live_line(now: Now) -> str:
    """One line, beginning with a carriage return."""
    last = " ".join(f"{100 * d:.1f}" for d in now.last_m) or "-"
    parts = [
        f"{clock_text(now.robot_s)} robot time",
        f"{now.state} {now.episode}",
        f"last {last} cm",
        f"{now.rate_hz:.1f} Hz, {now.missed} missed",
        f"{now.updates_s:.0f} updates/s",
        now.left,
        now.note,
    ]
    return "\r" + " | ".join(filter(None, parts)) + "\x1b[K"


def end_table(summary: dict[str, Any]) -> str:
    """The results of a run for a person to read."""
    lines = [f"Run of {clock_text(summary['robot_time_s'])} robot time, {summary['episodes']} episodes"]
    distance, success = summary["final_distance_m"], summary["success"]
    if distance:
        lines.append(f"  evaluation        {summary['evaluated']} fresh goals, without noise")
        lines.append(
            "  final distance    "
            + ", ".join(f"{key} {100 * distance[key]:.2f} cm" for key in ("median", "mean", "p95"))
        )
        reached = ", ".join(f"{100 * share:.1f} % within {100 * float(r):g} cm" for r, share in success.items())
        lines.append(f"  reached           {reached}")
    else:
        lines.append("  evaluation        none")
    if kept := summary.get("kept_out"):
        lines.append(
            f"  kept out          {kept['evaluated'] - kept['evaluated_entered']} of {kept['evaluated']} times, "
            f"{kept['evaluated_reached']} of them within {100 * kept['within_m']:g} cm of the goal; "
            f"entered in {kept['trained_entered']} of {kept['trained']} episodes of learning"
        )
    if (plans := summary.get("planning") or {}).get("plan_cpu_ms.worst"):
        spread = ", ".join(f"{key} {plans[f'plan_cpu_ms.{key}']:.1f}" for key in ("p50", "p99", "worst"))
        lines.append(f"  plans             {plans['plans']:.0f}, CPU time of one {spread} ms")
        lines.append(
            f"  segments          {plans['segments']:.0f}, missed by {100 * plans['reached_m']:.1f} cm, "
            f"{100 * plans['predicted_m']:.1f} cm expected"
        )
    cycles = summary["cycles"]
    lines += [
        f"  cycles            {cycles['total']}, {100 * cycles['answered_fraction']:.2f} % answered "
        f"in their own 50 ms, {cycles['overruns']} overruns of the arm",
        f"  period            {_spread(cycles['period_ms'])}",
        f"  state to command  {_spread(cycles['latency_ms'])}",
        f"  taken by the host {100 * cycles['steal_fraction']:.1f} % of the processor time",
        f"  transitions       {summary['transitions']['published']} published, "
        f"{summary['transitions']['logged']} logged",
        f"  updates           {summary['updates']}",
    ]
    return "\n".join(lines)


def _spread(durations: dict[str, float]) -> str:
    return ", ".join(f"{key} {durations[key]:.1f}" for key in ("p50", "p99", "worst")) + " ms"


def cycles_of(values: dict[str, str]) -> dict[str, Any]:
    """The ``cycles`` part of the summary from the arm's diagnostics; what is missing or garbled is zero."""

    def number(key: str) -> float:
        try:
            found = float(values.get(key, 0))
        except ValueError:
            return 0.0
        return found if math.isfinite(found) else 0.0

    durations = {
        name: {part: number(f"{name}.{part}") for part in ("p50", "p99", "worst")}
        for name in ("period_ms", "latency_ms")
    }
    counts = {key: int(number(key)) for key in ("total", "answered", "missed", "overruns")}
    fractions = {key: number(key) for key in ("answered_fraction", "steal_fraction")}
    return counts | fractions | durations


def numbers_of(values: dict[str, str]) -> dict[str, float]:
    """The finite numbers among a node's diagnostics."""
    found = {}
    for key, text in values.items():
        try:
            number = float(text)
        except ValueError:
            continue
        if math.isfinite(number):
            found[key] = number
    return found


def write_summary(run_dir: Path, summary: dict[str, Any]) -> None:
    """Write summary.json, so that a crash leaves the old file or the new one."""
    write_durably(run_dir / SUMMARY, json.dumps(summary, indent=1) + "\n")
