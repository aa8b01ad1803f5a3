"""The tables and the picture of `benchmarks.load`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARM_HZ = 20.0


def results(out: Path, pattern: str = "load-*.json") -> list[dict[str, Any]]:
    """Points of a folder, by arms and rate."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob(pattern)]
    return sorted(found, key=lambda one: (one.get("arms", one.get("size")), one.get("rate_hz", 0.0)))


def achieved_hz(one: dict[str, Any]) -> float:
    """Cycles per second and arm that were answered in time [Hz]."""
    duration_s = sum(each["duration_s"] for each in one["each"])
    return float(one["answered"] / duration_s) if duration_s else 0.0


def _largest(one: dict[str, Any], name: str, key: str) -> float:
    """Largest value over the arms [ms]."""
    return 1000 * max((each[name][key] for each in one["each"] if each[name]), default=float("nan"))


def markdown(out: Path) -> str:
    """A row for each number of arms and rate."""
    heads = ["arms", "rate", "answered in time", "timely commands per second", "cycles held"]
    heads += ["age at arrival: median, 99 %", "longest in execution", "deadline", "cycles moved on a stale command"]
    heads += ["processors: arms, policies", "machine busy"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for one in results(out):
        cycles = max(one["cycles"], 1)
        used = one["used_processors"]
        cells = [str(one["arms"]), f"{one['rate_hz']:g} Hz", f"{100 * one['answered'] / cycles:.1f} %"]
        cells += [f"{achieved_hz(one):.1f}", f"{100 * one['held'] / cycles:.1f} %"]
        ages = [f"{_largest(one, 'age_at_arrival_s', key):.1f}" for key in ("median", "p99")]
        cells += [f"{', '.join(ages)} ms", f"{_largest(one, 'age_in_execution_s', 'most'):.0f} ms"]
        cells += [f"{1000 * one['timeout_s']:.0f} ms", f"**{one['stale']}** of {one['cycles']}"]
        cells += [f"{used['arm']:.2f}, {used['policy']:.2f}", f"{100 * one['machine_busy']:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sizes_markdown(out: Path) -> str:
    """A row for each size of a transition, and how many arms at 20 Hz one processor keeps up with."""
    heads = ["numbers in an observation", "bytes of a message", "logged per second", "stored per second"]
    heads += ["relative to 17 numbers", "arms of 20 Hz: logged, stored", "lost"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    found = results(out, "size-*.json")
    for one in found:
        cells = [f"{one['size']}", str(one["bytes"])]
        rates = [one[key] for key in ("written_per_s", "stored_per_s")]
        cells += [f"{value:.0f}" for value in rates]
        cells.append(", ".join(f"{one[key] / found[0][key]:.2f}" for key in ("written_per_s", "stored_per_s")))
        cells += [", ".join(f"{value / ARM_HZ:.0f}" for value in rates), str(one["lost"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(out: Path, path: Path) -> None:
    """Share of cycles answered in time, and share held, against the rate: a colour for each number of arms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = results(out)
    figure, axes = plt.subplots(1, 3, figsize=(11.0, 3.6), layout="constrained")
    for number, arms in enumerate(sorted({one["arms"] for one in found})):
        mine = [one for one in found if one["arms"] == arms]
        rates = [one["rate_hz"] for one in mine]
        curves: Sequence[list[float]] = [
            [100 * one["answered"] / max(one["cycles"], 1) for one in mine],
            [100 * one["held"] / max(one["cycles"], 1) for one in mine],
            [achieved_hz(one) for one in mine],
        ]
        for axis, values in zip(axes, curves, strict=True):
            axis.plot(rates, values, "o-", ms=4, color=f"C{number}", label=f"{arms} arm{'s' * (arms > 1)}")
    labels = ["cycles answered in time [%]", "cycles held [%]", "timely commands per second and arm [1/s]"]
    for axis, label in zip(axes, labels, strict=True):
        axis.set(xscale="log", xlabel="control rate [Hz]", ylabel=label)
        axis.set_xticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
        axis.minorticks_off()
        axis.grid(True, alpha=0.3)
    axes[0].legend(fontsize=8)
    stale = sum(one["stale"] for one in found)
    figure.suptitle(f"genuine nodes in real time; cycles moved on a stale command: {stale}", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)
