"""The Markdown table of `benchmarks.speed`."""

from __future__ import annotations

from typing import Any

AIM_FLOOR, AIM_SAMPLE_US, AIM_INFERENCE_US = 3.0, 100.0, 100.0


def table(result: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    us, deciding = result["us"], result["inference"]
    baselines = sorted({name.split()[0] for name in us} - {"tdm", "floor"}, reverse=True)
    head = ["", "tdm", *(f"SB3 {name.upper()}" for name in baselines)]
    head += [f"tdm / {name.upper()}" for name in baselines] + ["floor", "tdm / floor", "aim", "met"]
    lines = [
        f"{result['task']}, 2x{result['hidden_size']}, batch {result['batch_size']}, {result['device']}"
        + (", compiled" if result["compiled"] else "")
        + f"; matrix products run at {result['floor_gflop_s']:.0f} GFLOP/s",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]

    def line(label: str, own: float, others: list[float], floor: float | None, aim: str, met: bool | None) -> None:
        cells = [
            label,
            f"{own:.0f}",
            *(f"{other:.0f}" for other in others),
            *(f"{own / other:.2f}" for other in others),
        ]
        cells += ["", ""] if floor is None else [f"{floor:.0f}", f"{own / floor:.1f}"]
        cells += [aim, "" if met is None else "yes" if met else "no"]
        lines.append(f"| {' | '.join(cells)} |")

    floor, update, sample = us["floor"], us["tdm update"], us["tdm sample"]
    for label, own, key, aim, met in (
        ("gradient update, us", update, "update", f"<= {AIM_FLOOR:g} x floor", update <= AIM_FLOOR * floor),
        ("sample and relabel a batch, us", sample, "sample", f"<= {AIM_SAMPLE_US:g} us", sample <= AIM_SAMPLE_US),
        ("both, us", us["tdm both"], "both", "", None),
    ):
        line(label, own, [us[f"{n} {key}"] for n in baselines], None if key == "sample" else floor, aim, met)
    for quantile in ("p50_us", "p99_us"):
        own = deciding["tdm"][quantile]
        first = quantile == "p50_us"
        aim, met = (f"<= {AIM_INFERENCE_US:g} us", own <= AIM_INFERENCE_US) if first else ("", None)
        line(f"one decision, {quantile[:3]}, us", own, [deciding[n][quantile] for n in baselines], None, aim, met)
    return "\n".join(lines) + "\n"
