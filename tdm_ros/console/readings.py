"""Numbers that the page shows: learning curve, timing of the loop, recorded transitions."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from typing import Any

from tdm_ros.console.desk import Picture

SHOWN = 600
"""Episodes in the curve; of more, the last."""
VALUES, TEXT = 256, 200
"""Kept of one node: so many values, of so many characters."""
REMEDIES = (
    ("could not be moved meanwhile", "look what is in brackets, and who enabled the robot"),
    ("the e-stop is pressed", "release it, call arm/reset, then arm/enable"),
    ("the robot is stopped", "call arm/reset, then arm/enable"),
    (
        "the robot reports an error",
        "read it on the robot's screen, remove its cause, call arm/stop, arm/reset, then arm/enable",
    ),
    ("the robot's joints are not homed", "home them: docs/real_robot.md"),
    ("the robot reports a collision", "look what the arm hit"),
    ("the motors are off", "call arm/enable"),
    ("so it is unknown whether", "see why cuff or navigator do not answer: docs/real_robot.md"),
    ("the worker", "read the log of arm, start again"),
)
"""What to do about a fault besides clearing it, by what it says; docs/real_robot.md has all of them."""
SERIES = (("train", "#1565c0"), ("validate", "#00796b"), ("evaluate", "#ef6c00"))


class NodeValues:
    """Newest diagnostics of each node, bounded whatever is published.

    Parameters
    ----------
    names : collection of str
        Nodes whose values are kept.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self.by_node: dict[str, dict[str, str]] = {}

    def take(self, name: str, values: Iterable[tuple[str, str]]) -> None:
        """Keep the newest values of a node; of another one, nothing."""
        if name in self._names:
            self.by_node[name] = {key[:TEXT]: value[:TEXT] for key, value in itertools.islice(values, VALUES)}


def curve_options(curve: tuple[tuple[float, float, str], ...]) -> dict[str, Any]:
    """Distance to the goal at the end of each episode, over robot time, as options of ECharts."""
    series = [
        {
            "name": mode,
            "type": "scatter",
            "symbolSize": 5,
            "itemStyle": {"color": colour},
            "data": [[round(minutes, 3), round(cm, 3)] for minutes, cm, kind in curve[-SHOWN:] if kind == mode],
        }
        for mode, colour in SERIES
    ]
    name = {"nameLocation": "middle", "nameTextStyle": {"fontSize": 10}, "axisLabel": {"fontSize": 10}}
    return {
        "animation": False,
        "grid": {"left": 44, "right": 8, "top": 22, "bottom": 32},
        "legend": {"top": 0, "itemHeight": 8, "textStyle": {"fontSize": 10}},
        "xAxis": {"type": "value", "name": "robot time [min]", "nameGap": 18, "min": 0, **name},
        "yAxis": {"type": "log", "name": "final distance [cm]", "nameGap": 30, "min": 0.1, **name},
        "series": series,
    }


def cycle_rows(picture: Picture) -> list[tuple[str, str]]:
    """How well the loop runs and learning goes, from the nodes' diagnostics."""
    arm, trainer, planner = (picture.values.get(name, {}) for name in ("arm", "trainer", "planner"))
    rows = [("commands in time", f"{_number(arm, 'rate_hz', 1)} Hz")]
    rows.append(("cycles, missed", f"{_number(arm, 'total')}, {_number(arm, 'missed')}"))
    for title, key in (("period", "period_ms"), ("state to command", "latency_ms")):
        rows.append((f"{title} p50 / p99 / worst", f"{_spread(arm, key)} ms"))
    rows.append(("updates, weights", f"{_number(trainer, 'updates')}, version {_number(trainer, 'weights_version')}"))
    if planner.get("plans", "0") not in ("", "0"):
        rows.append(("plans", _number(planner, "plans")))
    refused = sum(_count(v) for node in picture.values.values() for k, v in node.items() if k.startswith("refused: "))
    return [*rows, ("inputs rejected, all nodes", str(refused))]


def recorded_rows(picture: Picture) -> list[tuple[str, str]]:
    """Transitions by who acted, and the files that they are in."""
    rows = [(f"transitions by {source.lower()}", str(count)) for source, count in sorted(picture.executed.items())]
    return [*rows, *((name, f"{size / 1e6:.2f} MB") for name, size in picture.log[-4:])]


def _number(values: dict[str, str], key: str, digits: int = 0) -> str:
    try:
        return f"{float(values[key]):.{digits}f}"
    except (KeyError, ValueError):
        return "-"


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _spread(values: dict[str, str], key: str) -> str:
    return " / ".join(_number(values, f"{key}.{part}", 1) for part in ("p50", "p99", "worst"))


def fault_of(picture: Picture) -> str:
    """Why the arm is stopped until an operator clears it; "" if it is not."""
    return picture.fault or (picture.state == "FAULT" and picture.reason) or ""


def remedy_of(fault: str) -> str:
    """What an operator does about a fault, in one sentence."""
    first = next((todo for words, todo in REMEDIES if words in fault), "remove the cause")
    return f"What to do: {first}; then Clear fault, then Start."
