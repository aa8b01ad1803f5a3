"""Cuff, buttons, gripper and lights: calls of intera_interface that block, each on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S = 0.05
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


class Devices:
    """What is on the arm besides joints. What is absent is named in `missing`; nothing here is fatal.

    Cuff and navigator are looked for now. The gripper only when it is first used, since the SDK may move it then.

    Parameters
    ----------
    sdk : module
        intera_interface.
    gripper : str
        Its name on the robot.
    """

    def __init__(self, sdk: Any, gripper: str = "right_gripper") -> None:
        self._sdk, self._gripper_name = sdk, gripper
        self._gripper: Any = None
        self._lights: Any = None
        self.missing: list[str] = []
        self.trouble = ""
        """Why the cuff can not be asked any more, and nobody knows whether somebody holds it; or ""."""
        self.cuff = False
        self.buttons: dict[str, int] = {}
        self._found: dict[str, Any] = {}
        seekers = [
            threading.Thread(target=self._find, args=(name, build), daemon=True)
            for name, build in (("cuff", lambda: sdk.Cuff("right")), ("navigator", sdk.Navigator))
        ]
        for seeker in seekers:
            seeker.start()
        for seeker in seekers:
            seeker.join()
        threading.Thread(target=self._poll, name="buttons", daemon=True).start()

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
            self.missing.append(f"{name}: {error}")

    def _poll(self) -> None:
        while True:
            try:
                self._ask()
                self.trouble = ""
            except Exception as error:
                self.trouble = f"cuff and buttons can not be asked: {type(error).__name__}: {error}"
            time.sleep(POLL_S)

    def _ask(self) -> None:
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
