"""State that the page and ROS share: values to show, and requests of the operator. Thread-safe."""

from __future__ import annotations

import itertools
import math
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tdm_ros.robots.sawyer import NEUTRAL_RAD

Point = tuple[float, float, float]
ZERO: Point = (0.0, 0.0, 0.0)
TRIGGERS = ("start", "pause", "stop", "reset", "clear_fault")
SWITCHES = ("evaluate", "keep_goal")
EVENTS = ("success", "failure", "discard")
"""What a person may ask for besides a goal and driving: services without and with a value, and events."""

QUEUED = 64
"""Orders that may wait; more than a person can give."""


@dataclass(frozen=True)
class Picture:
    """What is known of the system. ROS replaces it, the page reads it.

    Parameters
    ----------
    heard_s : float
        Steady time at which the arm was last heard [s].
    q_rad, hand_m, trail_m
        Joints [rad], hand and where it has been [m].
    source, hold_reason, limiter, fault : str
        Who was in control of the last cycle, and why the arm holds, slows or stopped.
    state, mode, reason : str
        What the supervisor says.
    episode, progress, goal_m
        The episode, how much of learning is over in 0..1, the goal [m] or None.
    knots_m, knot_colours, boxes_m
        The plan [m], its colours, and lower and upper corners of the keep-outs [m].
    values : dict of str to dict of str to str
        Diagnostics of each node.
    curve : tuple of (robot time [min], distance at the end [cm], mode)
    executed : dict of str to int
        Recorded transitions by source.
    log : tuple of (file name, bytes)
    """

    heard_s: float = -math.inf
    q_rad: tuple[float, ...] = tuple(map(float, NEUTRAL_RAD))
    hand_m: Point = ZERO
    trail_m: tuple[Point, ...] = ()
    source: str = "NONE"
    hold_reason: str = ""
    limiter: str = ""
    fault: str = ""
    state: str = "DISABLED"
    mode: str = "TRAIN"
    reason: str = "no supervisor heard"
    episode: int = 0
    progress: float = 0.0
    goal_m: Point | None = None
    knots_m: tuple[Point, ...] = ()
    knot_colours: tuple[str, ...] = ()
    boxes_m: tuple[tuple[Point, Point], ...] = ()
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    curve: tuple[tuple[float, float, str], ...] = ()
    executed: dict[str, int] = field(default_factory=dict)
    log: tuple[tuple[str, int], ...] = ()


class Order(NamedTuple):
    """Something that a person asked for: one of the names above, or "goal"; or "lost": who drove is gone."""

    name: str
    on: bool = True
    point_m: Point = ZERO


class Drive(NamedTuple):
    """How a person drives the hand: velocity in frame base [m/s], whether they hold on, and since when [s]."""

    velocity_m_s: Point
    engaged: bool
    said_s: float


class Desk:
    """Between the page's thread and ROS.

    Parameters
    ----------
    goal_low_m, goal_high_m : (3,) [m]
        Box that goals lie in.
    """

    def __init__(self, goal_low_m: Point, goal_high_m: Point) -> None:
        self.goal_low_m, self.goal_high_m = goal_low_m, goal_high_m
        self.picture = Picture()
        self.keeps = False
        """The goal stays where a person puts it, episode after episode."""
        self.wanted_m: Point | None = None
        self.pages = 0
        """Pages that are open."""
        self.notes: deque[str] = deque(maxlen=6)
        """What became of the last orders."""
        self.wake: Callable[[], Any] = lambda: None
        """Tells ROS that there is something to do."""
        self._orders: queue.Queue[Order] = queue.Queue(QUEUED)
        self._drive: Drive | None = None
        self._refused: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def show(self, **changes: Any) -> None:
        """Replace parts of the picture."""
        self.picture = replace(self.picture, **changes)

    def note(self, text: str) -> None:
        """Tell the person something."""
        self.notes.append(f"{time.strftime('%H:%M:%S')}  {text}")

    def ask(self, name: str, on: bool = True) -> None:
        """Ask for a service or an event."""
        self._put(Order(name, on))

    def ask_goal(self, x: float, y: float, z: float) -> None:
        """Ask for a goal [m], brought into the box of goals, and for it to stay.

        Raises
        ------
        ValueError
            If it is not finite.
        """
        if not all(map(math.isfinite, (x, y, z))):
            raise ValueError(f"a goal must be three finite numbers, got {x}, {y}, {z}")
        box = zip((x, y, z), self.goal_low_m, self.goal_high_m, strict=True)
        point = tuple(min(max(float(v), low), high) for v, low, high in box)
        self.wanted_m = (point[0], point[1], point[2])
        self._put(Order("goal", True, self.wanted_m))

    def drive(self, velocity_m_s: Point, engaged: bool) -> None:
        """Drive, or let go: only the last word counts."""
        self._drive = Drive(velocity_m_s, engaged, time.monotonic())
        self.wake()

    def refuse(self, why: str, detail: str = "") -> None:
        """Count something that was refused."""
        with self._lock:
            self._refused[why, detail] += 1
            if len(self._refused) > QUEUED:  # each with a detail of its own: keep the count, drop the detail
                del self._refused[why, detail]
                self._refused[why, "and others"] += 1

    def orders(self) -> list[Order]:
        """Take what a person has asked for."""
        taken = []
        while True:
            try:
                taken.append(self._orders.get_nowait())
            except queue.Empty:
                return taken

    def driven(self) -> Drive | None:
        """Take how a person drives, if they said something new."""
        drive, self._drive = self._drive, None
        return drive

    def refused(self) -> list[tuple[str, str, int]]:
        """Take what was refused: why, a detail, how often."""
        with self._lock:
            taken = [(why, detail, count) for (why, detail), count in self._refused.items()]
            self._refused.clear()
        return taken

    def _put(self, order: Order) -> None:
        try:
            self._orders.put_nowait(order)
        except queue.Full:
            self.refuse("page: more orders than can be carried out", order.name)
        self.wake()


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
