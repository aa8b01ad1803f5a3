"""Cuff and buttons, through blocking calls of intera_interface in their own threads, and queues of requests."""

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
"""Longest duration of a call of intera_interface before the state of the cuff counts as unknown [s]."""

SILENT_S = 1.0
"""Time without a message after which a periodic topic is reported as silent [s]."""

REPEATS = 5
"""Number of unchanged messages, each within `SILENT_S` of the previous one, that make a topic periodic."""

UNKNOWN = {
    "cuff": "it is unknown whether the arm is held by hand",
    "navigator": "it is unknown whether its pause button is pressed",
}
QUEUE_LENGTH = 4
"""Largest number of waiting requests."""


class RequestQueue:
    """A thread that carries out requests one after the other, so that no other thread waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: queue.Queue[tuple[Callable[[], str], Callable[[str], None]]] = queue.Queue(QUEUE_LENGTH)
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, request: Callable[[], str], done: Callable[[str], None]) -> None:
        """Queue a request, and pass its result, "" or the reason of a failure, to `done`; reject one too many."""
        try:
            self._queue.put_nowait((request, done))
        except queue.Full:
            done(f"{QUEUE_LENGTH} requests for the {self.name} wait already")

    def _work(self) -> None:
        while True:
            request, done = self._queue.get()
            try:
                reason = request()
            except (Exception, SystemExit) as error:
                reason = f"{type(error).__name__}: {error}"
            done(reason)


class Heartbeat:
    """Distinguishes a periodic topic that has become silent from one that is published on changes only.

    Robots differ: the configuration of cuff and navigator names 5 messages per second, but in a recording of a robot's
    own controller each has one in 8 s, latched and 13 minutes old. So only a topic that was observed to be periodic is
    reported as silent.

    Source: robot_io.bag of RethinkRobotics/sawyer_simulator.
    """

    def __init__(self) -> None:
        self._arrived_s = -math.inf
        self._content: object = None
        self._repeats = 0
        self._regular = False

    def note(self, now_s: float, content: object = None) -> None:
        """Store that a message arrived; `content` is the message without its time."""
        again = content == self._content and now_s - self._arrived_s <= SILENT_S
        self._repeats = self._repeats + 1 if again else 0
        self._regular = self._regular or self._repeats >= REPEATS
        self._arrived_s, self._content = now_s, content

    def silent_s(self, now_s: float) -> float:
        """Return the time since the last message of a silent topic [s]; 0 if the topic is not silent."""
        silent_s = now_s - self._arrived_s
        return silent_s if self._regular and silent_s > SILENT_S else 0.0


class Devices:
    """Cuff and navigator, looked for from now on. One that is not found is in `missing`, for the operator.

    intera_interface (``sdk``) reads a cuff without messages, or an absent one, as not held. Whether it is held is
    unknown then, which `problem` reports. ``without`` names devices that this robot lacks. ``subscribe``, with a name
    and a callback, subscribes to the state of a device, or to the configuration of the node that all belong to, "io";
    the returned object counts the publishers: `get_num_connections()`.
    """

    def __init__(
        self,
        sdk: Any,
        subscribe: Callable[[str, Callable[[Any], None]], Any],
        without: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
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
        self._subscriptions = {
            name: subscribe(name, functools.partial(self._on_message, name)) for name in self._heartbeats
        }
        for seeker in self._seekers:
            seeker.start()

    def wait(self) -> None:
        """Wait until each was found or not: the SDK takes 15 s at most."""
        for seeker in self._seekers:
            seeker.join()
        self.missing += [f"{name}: {reason}" for name, reason in sorted(self._absent.items())]
        self._ask()
        threading.Thread(target=self._poll, name="buttons", daemon=True).start()

    def problem(self, now_s: float) -> str:
        """Return why the state of cuff or pause button is unknown; empty if it is known."""
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
        """Return why the last state of a device that was found cannot be relied on, or ""."""
        if name not in self._found:
            return ""
        state, unknown = self._states.get(name), UNKNOWN[name]
        if state is None:
            return f"the {name} is there and has never sent its state, so {unknown}"
        if not self._subscriptions[name].get_num_connections():
            return f"the state of the {name} has no publisher any more, so {unknown}"
        for heartbeat, what in ((name, name), ("io", f"{name}'s node /io/robot")):
            if silent_s := self._heartbeats[heartbeat].silent_s(now_s):
                return f"the {what} has been silent for {silent_s:.1f} s, so {unknown}"
        if state.device.status.tag in ("down", "error"):
            return f'the {name} reports "{state.device.status.tag}", so {unknown}'
        signals = [signal.name for signal in state.signals]
        if name == "cuff" and "right_cuff" not in signals:
            return f"the cuff has no signal right_cuff, only {', '.join(signals) or 'none'}"
        return ""

    def _find(self, name: str, build: Callable[[], Any]) -> None:
        try:
            self._found[name] = build()
        except (Exception, SystemExit) as error:
            self._absent[name] = str(error)

    def _on_message(self, name: str, message: Any) -> None:
        content = None
        if name != "io":
            self._states[name] = message
            content = message.device.status.tag, [(signal.name, signal.data) for signal in message.signals]
        self._heartbeats[name].note(self._clock(), content)

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
