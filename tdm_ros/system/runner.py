"""Start the nodes of a system, watch them, and leave none behind: what `ros2 launch` does where it exists.

One thread, one loop: it waits for output, notices ends, restarts what may be restarted, and stops all.
"""

from __future__ import annotations

import math
import selectors
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tdm_ros.system.console import Console
from tdm_ros.system.process import Process, describe

RESTART_AFTER_S = 1.0
RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
TICK_S = 0.05
"""Longest time in which an end or an interruption goes unnoticed."""

STOP = ((0.0, signal.SIGINT), (1.2, signal.SIGTERM), (2.2, signal.SIGKILL))
"""How a system is stopped: seconds after the decision, and what is then sent to all that still run."""


@dataclass
class Member:
    """One program of a system, and what has happened to it; without an ``optional`` one the others go on."""

    name: str
    command: Sequence[str]
    required: bool
    optional: bool = False
    process: Process | None = None
    start_at_s: float = 0.0
    deaths_s: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS + 1))


class Runner:
    """Runs the members of a system until it is over.

    Parameters
    ----------
    members : sequence of Member
    env : mapping of str to str
        Their environment.
    console : Console
        Gets their output, and what we have to say.
    """

    def __init__(self, members: Sequence[Member], env: Mapping[str, str], console: Console) -> None:
        self._members = members
        self._env = env
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._caught: list[int] = []
        self._status: int | None = None

    def run(self) -> int:
        """Run the system; return the exit status.

        Returns
        -------
        int
            0 when a required member ended with status 0; 1 when one failed, or another could not be kept
            alive; 128 + n after signal n.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        try:
            while self._status is None:
                self._start_due()
                self._pump()
                self._look_for_ends()
                self._look_for_signals()
            return self._status
        finally:
            self._stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start_due(self) -> None:
        for member in self._members:
            if self._caught or self._status is not None:
                return
            if member.process is None and time.monotonic() >= member.start_at_s:
                self._start(member)

    def _start(self, member: Member) -> None:
        try:
            member.process = Process(member.name, member.command, self._env)
        except OSError as error:
            self._finish(1, f"{member.name} could not be started: {error}")
            return
        self._selector.register(member.process.output, selectors.EVENT_READ, member.process)

    def _pump(self) -> None:
        """Pass on what the members print, for at most one tick."""
        for key, _ in self._selector.select(TICK_S):
            self._show(key.data)

    def _show(self, process: Process) -> None:
        for line in process.lines():
            self._console.show(process.name, line)

    def _look_for_ends(self) -> None:
        for member in self._members:
            process = member.process
            if process is not None and (status := process.status) is not None:
                self._let_go(member, process)
                self._after_end(member, status)

    def _let_go(self, member: Member, process: Process) -> None:
        self._show(process)
        self._selector.unregister(process.output)
        process.close()
        member.process = None

    def _after_end(self, member: Member, status: int) -> None:
        """Decide what the end of a member means."""
        if self._status is not None:
            return
        if member.required:
            end = "has finished" if status == 0 else f"has died ({describe(status)}): the run is over"
            self._finish(min(abs(status), 1), f"{member.name} {end}")
            return
        now = time.monotonic()
        member.deaths_s.append(now)
        if len(member.deaths_s) > RESTARTS and now - member.deaths_s[0] < RESTARTS_WITHIN_S:
            often = f"for the {RESTARTS + 1}th time within {RESTARTS_WITHIN_S:.0f} s"
            if member.optional:
                member.start_at_s = math.inf
                self._console.say(f"{member.name} has died {often} ({describe(status)}): the others go on without it")
                return
            self._finish(1, f"{member.name} has died {often} ({describe(status)}): the run is over")
            return
        member.start_at_s = now + RESTART_AFTER_S
        self._console.say(f"{member.name} has died ({describe(status)}): starting it again in {RESTART_AFTER_S:g} s")

    def _look_for_signals(self) -> None:
        if self._caught and self._status is None:
            name = signal.Signals(self._caught[0]).name
            self._finish(128 + self._caught[0], f"interrupted ({name}): stopping")

    def _finish(self, status: int, reason: str) -> None:
        self._status = status
        self._console.say(reason)

    def _stop(self) -> None:
        """End every member, whatever it takes; a further signal from a person skips the patience."""
        begin = time.monotonic()
        steps = deque(STOP)
        patience = len(self._caught)
        while running := [member.process for member in self._members if member.process is not None]:
            if len(self._caught) > max(patience, 1):
                steps = deque([(0.0, signal.SIGKILL)])
                patience = len(self._caught)
            while steps and time.monotonic() - begin >= steps[0][0]:
                _, number = steps.popleft()
                for process in running:
                    process.signal(number)
            self._pump()
            self._look_for_ends()
        self._selector.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._caught.append(number)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
