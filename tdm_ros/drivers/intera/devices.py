"""Cuff, buttons, gripper and lights: blocking calls of intera_interface, each in its own thread."""

from __future__ import annotations

import functools
import math
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POLL_S = 0.05
ASKED_S = 0.5
"""A call of intera_interface that takes longer than this hides who holds the arm [s]."""

SILENT_S = 1.0
"""A topic that used to repeat itself is missed when it was silent for this long [s]."""

REPEATS = 5
"""So many unchanged messages, each within `SILENT_S` of the one before, make a topic one that repeats itself."""

UNKNOWN = {
    "cuff": "it is unknown whether somebody holds the arm",
    "navigator": "it is unknown whether its pause button is pressed",
}
ERRANDS = 4
"""How many requests may wait."""


class Errands:
    """A thread that does one thing after the other, so that nobody else has to wait.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: queue.Queue[tuple[Callable[[], str], Callable[[str], None]]] = queue.Queue(ERRANDS)
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def give(self, errand: Callable[[], str], done: Callable[[str], None]) -> None:
        """Do an errand, which returns why it failed or "", and tell `done`; at once where too many wait."""
        try:
            self._queue.put_nowait((errand, done))
        except queue.Full:
            done(f"{ERRANDS} requests wait for the {self.name} already")

    def _work(self) -> None:
        while True:
            errand, done = self._queue.get()
            try:
                reason = errand()
            except (Exception, SystemExit) as error:
                reason = f"{type(error).__name__}: {error}"
            done(reason)


class Heartbeat:
    """Tells a topic that has fallen silent from one that speaks only when something changes.

    Robots differ in this: the configuration of cuff and navigator names 5 messages per second, but in a recording of a
    robot's own controller each has one in 8 s, latched and 13 minutes old, while that of their node repeats itself 5
    times per second. So a topic is missed only if it was seen to repeat itself unchanged.

    Source: robot_io.bag of RethinkRobotics/sawyer_simulator.
    """

    def __init__(self) -> None:
        self._arrived_s = -math.inf
        self._content: object = None
        self._repeats = 0
        self._regular = False

    def note(self, now_s: float, content: object = None) -> None:
        """A message came; `content` is what it says, without its time."""
        again = content == self._content and now_s - self._arrived_s <= SILENT_S
        self._repeats = self._repeats + 1 if again else 0
        self._regular = self._regular or self._repeats >= REPEATS
        self._arrived_s, self._content = now_s, content

    def silent_s(self, now_s: float) -> float:
        """Return how long ago the last message came [s]; 0 if none is missed."""
        silent_s = now_s - self._arrived_s
        return silent_s if self._regular and silent_s > SILENT_S else 0.0


class Devices:
    """What is on the arm besides joints. What was not found is named in `missing`, for the operator.

    Cuff and navigator are looked for from now on. The gripper only when it is first used, since the SDK may move it
    then. intera_interface reads a cuff that never spoke, or is not there, as one that nobody holds. Whether somebody
    does is unknown then, which `problem` says.

    Parameters
    ----------
    sdk : module
        intera_interface.
    hear : callable
        Subscribes to the state of a device, or to the configuration of the node that all belong to, "io": name, and
        what is called with each message. What it returns counts the publishers: `get_num_connections()`.
    gripper : str
        Its name on the robot.
    without : sequence of str
        Of "cuff" and "navigator": what this robot does not have.
    clock : callable returning float [s]
        Steady.
    """

    def __init__(
        self,
        sdk: Any,
        hear: Callable[[str, Callable[[Any], None]], Any],
        gripper: str = "right_gripper",
        without: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sdk, self._gripper_name, self._without, self._clock = sdk, gripper, without, clock
        self._gripper: Any = None
        self._lights: Any = None
        self.missing: list[str] = [f"{name}: not looked for, as asked" for name in without]
        self.cuff = False
        self.buttons: dict[str, int] = {}
        self._found: dict[str, Any] = {}
        self._absent: dict[str, str] = {}
        self._states: dict[str, Any] = {}
        self._heartbeats = {name: Heartbeat() for name in ("io", *UNKNOWN)}
        self._failed = ""
        self._asked_s = -math.inf
        self._seekers = [
            threading.Thread(target=self._find, args=(name, build), daemon=True)
            for name, build in (("cuff", lambda: sdk.Cuff("right")), ("navigator", lambda: sdk.Navigator()))
            if name not in without
        ]
        self._subscriptions = {name: hear(name, functools.partial(self._hear, name)) for name in self._heartbeats}
        for seeker in self._seekers:
            seeker.start()

    def wait(self) -> None:
        """Wait until all have been found or given up: the SDK takes 15 s at most."""
        for seeker in self._seekers:
            seeker.join()
        self.missing += [f"{name}: {reason}" for name, reason in sorted(self._absent.items())]
        self._ask()
        threading.Thread(target=self._poll, name="buttons", daemon=True).start()

    def problem(self, now_s: float) -> str:
        """Return why it is unknown whether somebody holds the arm or asks it to pause; empty if it is known."""
        if self._failed:
            return self._failed
        if now_s - self._asked_s > ASKED_S:
            return f"cuff and buttons have not been asked for {now_s - self._asked_s:.1f} s"
        if "cuff" in self._absent:
            return (
                f"no cuff was found ({self._absent['cuff']}), so {UNKNOWN['cuff']}: "
                "start the worker with --without cuff if this robot has none"
            )
        return self._silence("cuff", now_s) or self._silence("navigator", now_s)

    def _silence(self, name: str, now_s: float) -> str:
        """Return why the last state of a device that was found is not to be relied on, or ""."""
        if name not in self._found:
            return ""
        state, unknown = self._states.get(name), UNKNOWN[name]
        if state is None:
            return f"the {name} is there and has never sent its state, so {unknown}"
        if not self._subscriptions[name].get_num_connections():
            return f"nobody publishes the state of the {name} any more, so {unknown}"
        for heartbeat, what in ((name, name), ("io", f"{name}'s node /io/robot")):
            if silent_s := self._heartbeats[heartbeat].silent_s(now_s):
                return f"the {what} has been silent for {silent_s:.1f} s, so {unknown}"
        if state.device.status.tag in ("down", "error"):
            return f'the {name} reports "{state.device.status.tag}", so {unknown}'
        signals = [signal.name for signal in state.signals]
        if name == "cuff" and "right_cuff" not in signals:
            return f"the cuff has no signal right_cuff, only {', '.join(signals) or 'none'}"
        return ""

    def move_gripper(self, position_m: float) -> str:
        """Open or close the gripper to a width [m]; takes at least 0.1 s."""
        if self._gripper is None:
            self._gripper = self._sdk.Gripper(self._gripper_name, calibrate=False)
        if not self._gripper.is_calibrated():
            return f"{self._gripper_name} is not calibrated"
        widest_m = self._gripper.MAX_POSITION
        if not 0 <= position_m <= widest_m:
            return f"the gripper's position must be in [0, {widest_m:g}] m, got {position_m:g}"
        self._gripper.set_position(position_m)
        return ""

    def switch_light(self, name: str, on: bool) -> str:
        """Switch a light on or off; takes at least 0.1 s."""
        if self._lights is None:
            self._lights = self._sdk.Lights()
        names = self._lights.list_all_lights()
        if name not in names:
            return f"the robot's lights are {', '.join(sorted(names)) or 'none'}, got {name!r}"
        self._lights.set_light_state(name, on)
        return ""

    def _find(self, name: str, build: Callable[[], Any]) -> None:
        try:
            self._found[name] = build()
        except (Exception, SystemExit) as error:
            self._absent[name] = str(error)

    def _hear(self, name: str, message: Any) -> None:
        if name == "io":
            return self._heartbeats[name].note(self._clock())
        self._states[name] = message
        content = message.device.status.tag, [(signal.name, signal.data) for signal in message.signals]
        return self._heartbeats[name].note(self._clock(), content)

    def _poll(self) -> None:
        while True:
            self._ask()
            time.sleep(POLL_S)

    def _ask(self) -> None:
        try:
            self._read()
            self._failed = ""
        except Exception as error:
            self._failed = f"cuff and buttons cannot be asked: {type(error).__name__}: {error}"
        self._asked_s = self._clock()

    def _read(self) -> None:
        cuff, navigator = self._found.get("cuff"), self._found.get("navigator")
        buttons: dict[str, int] = {}
        if cuff is not None:
            self.cuff = bool(cuff.cuff_button())
            buttons["right_button_lower"] = int(cuff.lower_button())
            buttons["right_button_upper"] = int(cuff.upper_button())
        if navigator is not None:
            for name in navigator.list_all_items():
                if "button" in name or "wheel" in name:
                    buttons[name] = int(navigator.get_button_state(name) or 0)
        self.buttons = buttons
