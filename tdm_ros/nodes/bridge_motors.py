"""Enable, reset and stop of intera_interface through bridged topics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from std_msgs.msg import Bool, Empty

from tdm_ros.drivers.intera.sdk import ERROR_PERSISTS, reset_problem

CHANGED_S = 5.0
"""How long the robot may take to do what it is told."""


class BridgedMotors:
    """Enable, reset and stop, each on explicit request; they return "" or why it was not done, after 5 s at most.

    Parameters
    ----------
    supers : dict of str to publisher
        Of "enable", "reset" and "stop".
    state : callable
        The newest RobotAssemblyState, and when it came [s].
    """

    def __init__(self, supers: dict[str, Any], state: Callable[[], tuple[Any, float]]) -> None:
        self._supers, self._state = supers, state
        self._lock = threading.Lock()
        self._stops = 0

    def enable(self) -> str:
        """Switch the motors on, unless the robot is stopped."""
        with self._lock:
            if self._state()[0].stopped:
                return "the robot is stopped: ask for a reset first"
            return self._until("enable", Bool(data=True), lambda state: state.enabled)

    def reset(self) -> str:
        """Clear a stop; the motors stay off."""
        with self._lock:
            if why := reset_problem(self._state()[0]):
                return why
            why = self._until("reset", Empty(), lambda state: not state.stopped and not state.error)
            state, _ = self._state()
            return ERROR_PERSISTS if why and state.error and not state.stopped else why

    def stop(self) -> str:
        """Switch the motors off and apply the brakes: a software e-stop. It ends the others, and waits for none."""
        self._stops += 1
        return self._until("stop", Empty(), lambda state: state.stopped)

    def _until(self, name: str, message: Any, done: Callable[[Any], bool]) -> str:
        """Say it, at least once, until the robot says, afterwards, that it is so."""
        begin_s, stops = time.monotonic(), self._stops
        while time.monotonic() < begin_s + CHANGED_S:
            if self._stops != stops:
                return "the robot was stopped meanwhile: ask for a reset first"
            self._supers[name].publish(message)
            time.sleep(0.01)
            state, heard_s = self._state()
            if heard_s > begin_s and done(state):
                return ""
            if name == "enable" and heard_s > begin_s and state.stopped:
                self._stops += 1  # somebody else's
        return f"the robot did not {name} within {CHANGED_S:g} s"


class NoDevices:
    """Cuff, buttons, lights and gripper are not bridged.

    Parameters
    ----------
    missing : str
        What to tell the operator about it.
    """

    cuff = False

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.buttons: dict[str, int] = {}

    def problem(self, now_s: float) -> str:
        """Return nothing: who holds the cuff is not asked here."""
        return ""

    def move_gripper(self, position_m: float) -> str:
        """Say why not."""
        return "the gripper is not reached through topics"

    def switch_light(self, name: str, on: bool) -> str:
        """Say why not."""
        return "lights are not reached through topics"
