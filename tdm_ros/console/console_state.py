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

from tdm_ros.robots.description import Robot
from tdm_ros.robots.sawyer import SAWYER

Point = tuple[float, float, float]
ZERO: Point = (0.0, 0.0, 0.0)
TRIGGERS = ("start", "pause", "stop", "reset", "clear_fault")
SWITCHES = ("evaluate", "keep_goal")
EVENTS = ("success", "failure", "discard")
"""Requests of the operator besides goals and driving: services without and with a value, and events."""

QUEUED = 64  # largest number of pending requests


@dataclass(frozen=True)
class Snapshot:
    """State of the system, replaced by ROS, read by the page."""

    received_s: float = -math.inf  # steady time of the last state of the arm
    q_rad: tuple[float, ...] = ()
    hand_m: Point = ZERO
    object_m: tuple[float, ...] = ()  # x and y of the object that is pushed; empty: none
    trail_m: tuple[Point, ...] = ()  # past positions of the hand
    source: str = "NONE"  # of the last cycle's command
    hold_reason: str = ""
    limiter: str = ""
    fault: str = ""
    state: str = "DISABLED"  # of the supervisor, as mode and reason
    mode: str = "TRAIN"
    reason: str = "no message of the supervisor received"
    episode: int = 0
    progress: float = 0.0  # of learning, in 0..1
    goal_m: Point | None = None
    knots_m: tuple[Point, ...] = ()  # plan
    knot_colours: tuple[str, ...] = ()
    boxes_m: tuple[tuple[Point, Point], ...] = ()  # lower and upper corners of the keep-outs
    values: dict[str, dict[str, str]] = field(default_factory=dict)  # diagnostics of each node
    curve: tuple[tuple[float, float, str], ...] = ()  # robot time [min], final distance [cm], mode
    executed: dict[str, int] = field(default_factory=dict)  # number of recorded transitions per source
    log: tuple[tuple[str, int], ...] = ()  # file name, bytes


class OperatorRequest(NamedTuple):
    """Request of the operator: one of the names above, "goal", or "lost" (the driving page disconnected)."""

    name: str
    on: bool = True
    point_m: Point = ZERO


class DriveCommand(NamedTuple):
    """Command of a driving page: velocity of the hand in frame base [m/s], control taken or not, steady time [s]."""

    velocity_m_s: Point
    engaged: bool
    received_s: float


class ConsoleState:
    """State shared by the page's thread and ROS; goals are in the box from ``goal_low_m`` to ``goal_high_m``."""

    def __init__(self, goal_low_m: Point, goal_high_m: Point, robot: Robot = SAWYER, pushes: bool = False) -> None:
        self.goal_low_m, self.goal_high_m = goal_low_m, goal_high_m
        self.robot, self.snapshot = robot, Snapshot(q_rad=tuple(robot.home_rad.tolist()))
        self.pushes = pushes  # whether the task is to push an object, with a tool at the hand
        self.keep_goal = False  # whether the operator's goal stays, episode after episode
        self.requested_goal_m: Point | None = None
        self.pages = 0  # number of open pages
        self.notes: deque[str] = deque(maxlen=6)  # results of the last requests
        self.wake: Callable[[], Any] = lambda: None  # notifies ROS of a request
        self._requests: queue.Queue[OperatorRequest] = queue.Queue(QUEUED)
        self._drive: DriveCommand | None = None
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def show(self, **changes: Any) -> None:
        self.snapshot = replace(self.snapshot, **changes)

    def note(self, text: str) -> None:
        self.notes.append(f"{time.strftime('%H:%M:%S')}  {text}")

    def request(self, name: str, on: bool = True) -> None:
        self._put(OperatorRequest(name, on))

    def request_goal(self, x: float, y: float, z: float) -> None:
        """Request a goal [m], clipped to the box of goals, that stays; a ValueError says that it is not finite."""
        if not all(map(math.isfinite, (x, y, z))):
            raise ValueError(f"a goal must be three finite numbers, got {x}, {y}, {z}")
        box = zip((x, y, z), self.goal_low_m, self.goal_high_m, strict=True)
        point = tuple(min(max(float(v), low), high) for v, low, high in box)
        self.requested_goal_m = (point[0], point[1], point[2])
        self._put(OperatorRequest("goal", True, self.requested_goal_m))

    def drive(self, velocity_m_s: Point, engaged: bool) -> None:
        """Drive, or release the control: the newest command replaces older ones."""
        self._drive = DriveCommand(velocity_m_s, engaged, time.monotonic())
        self.wake()

    def reject(self, why: str, detail: str = "") -> None:
        with self._lock:
            self._rejected[why, detail] += 1
            if len(self._rejected) > QUEUED:  # many different details: keep the count, drop the detail
                del self._rejected[why, detail]
                self._rejected[why, "and others"] += 1

    def take_requests(self) -> list[OperatorRequest]:
        """Return and clear the pending requests."""
        taken = []
        while True:
            try:
                taken.append(self._requests.get_nowait())
            except queue.Empty:
                return taken

    def take_drive(self) -> DriveCommand | None:
        """Return and clear the newest drive command."""
        drive, self._drive = self._drive, None
        return drive

    def take_rejections(self) -> list[tuple[str, str, int]]:
        """Return and clear the rejections: reason, detail, count."""
        with self._lock:
            taken = [(why, detail, count) for (why, detail), count in self._rejected.items()]
            self._rejected.clear()
        return taken

    def _put(self, request: OperatorRequest) -> None:
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            self.reject("page: too many requests of the operator", request.name)
        self.wake()


SHOWN = 600  # largest number of episodes in the curve, the newest
VALUES, TEXT = 256, 200  # largest number of values per node, and of characters per value
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
"""Remedies by words of the fault, besides clearing it; docs/real_robot.md has all of them."""
SERIES = (("train", "#1565c0"), ("validate", "#00796b"), ("evaluate", "#ef6c00"), ("demonstration", "#6a1b9a"))


class NodeValues:
    """Newest diagnostics of each of the named nodes, bounded in size."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self.by_node: dict[str, dict[str, str]] = {}

    def take(self, name: str, values: Iterable[tuple[str, str]]) -> None:
        """Store the values of a known node."""
        if name in self._names:
            self.by_node[name] = {key[:TEXT]: value[:TEXT] for key, value in itertools.islice(values, VALUES)}


def curve_options(curve: tuple[tuple[float, float, str], ...]) -> dict[str, Any]:
    """ECharts options of the final distance per episode over robot time."""
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


def cycle_rows(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Rows on timing and learning, from the nodes' diagnostics."""
    arm, trainer, planner = (snapshot.values.get(name, {}) for name in ("arm", "trainer", "planner"))
    rows = [("commands in time", f"{_number(arm, 'rate_hz', 1)} Hz")]
    rows.append(("cycles, missed", f"{_number(arm, 'total')}, {_number(arm, 'missed')}"))
    for title, key in (("period", "period_ms"), ("state to command", "latency_ms")):
        rows.append((f"{title} p50 / p99 / worst", f"{_spread(arm, key)} ms"))
    rows.append(("updates, weights", f"{_number(trainer, 'updates')}, version {_number(trainer, 'weights_version')}"))
    if planner.get("plans", "0") not in ("", "0"):
        rows.append(("plans", _number(planner, "plans")))
    counts = [pair for node in snapshot.values.values() for pair in node.items()]
    rejected = sum(_count(value) for key, value in counts if key.startswith("rejected: "))
    return [*rows, ("inputs rejected, all nodes", str(rejected))]


def recorded_rows(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Rows on recorded transitions per source, and on the log files."""
    rows = [(f"transitions by {source.lower()}", str(count)) for source, count in sorted(snapshot.executed.items())]
    return [*rows, *((name, f"{size / 1e6:.2f} MB") for name, size in snapshot.log[-4:])]


def hex_of(parts: Iterable[float]) -> str:
    """Colour #rrggbb of three components in 0..1; one that is not a number counts as zero."""
    finite = (float(part) if math.isfinite(part) else 0.0 for part in parts)
    return "#" + "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in finite)


def _number(values: dict[str, str], key: str, digits: int = 0) -> str:
    try:
        return f"{float(values[key]):.{digits}f}"
    except (KeyError, ValueError):
        return "-"


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _spread(values: dict[str, str], key: str) -> str:
    return " / ".join(_number(values, f"{key}.{part}", 1) for part in ("p50", "p99", "worst"))


def fault_of(snapshot: Snapshot) -> str:
    """Fault that stops the arm until an operator clears it, or ""."""
    return snapshot.fault or (snapshot.state == "FAULT" and snapshot.reason) or ""


def alarm_of(snapshot: Snapshot) -> str:
    """What is not recorded or not saved now, from the diagnostics of collector and trainer; "" without it."""
    alarms = (snapshot.values.get(node, {}).get("alarm", "") for node in ("collector", "trainer"))
    return " · ".join(filter(None, alarms))


def why_of(snapshot: Snapshot, silent: bool) -> str:
    """Reason of a stop, hold or limit, or the present activity; with what is not recorded."""
    fault, alarm = fault_of(snapshot), alarm_of(snapshot)
    if silent:
        return " · ".join(filter(None, (fault, "no state of the arm was received for a second", alarm)))
    reasons = (fault, snapshot.hold_reason, snapshot.reason)
    slowed = f"limited: {snapshot.limiter}" if snapshot.limiter else ""
    parts = (next(filter(None, reasons), ""), alarm, slowed)
    return " · ".join(filter(None, parts)) or f"episode {snapshot.episode}"


def remedy_of(fault: str) -> str:
    """Remedy of a fault, in one sentence."""
    first = next((todo for words, todo in REMEDIES if words in fault), "remove the cause")
    return f"What to do: {first}; then Clear fault, then Start."
