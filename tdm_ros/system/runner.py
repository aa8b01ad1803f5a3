"""Start the nodes of a system, watch them, and leave none behind: what `ros2 launch` does where it exists.

One thread, one loop: it waits for output, notices ends, restarts what may be restarted, and stops all.
"""

from __future__ import annotations

import math
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tdm_ros.folder_lock import IN_USE_STATUS
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
    """One program of a system, and what has happened to it; without an ``optional`` one the others go on.

    Members of a ``group`` end together, when a required one of them ends; with the last group that has one, the run.
    """

    name: str
    command: Sequence[str]
    required: bool
    optional: bool = False
    group: str = ""
    process: Process | None = None
    start_at_s: float = 0.0
    deaths_s: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS + 1))


class _End:
    """Which signals are due, the longer something takes to end."""

    def __init__(self, steps: Sequence[tuple[float, signal.Signals]] = STOP) -> None:
        self._begin_s = time.monotonic()
        self._steps = deque(steps)

    def due(self) -> Iterator[signal.Signals]:
        """Yield each signal once, when it is time for it."""
        while self._steps and time.monotonic() - self._begin_s >= self._steps[0][0]:
            yield self._steps.popleft()[1]


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
        self._lasting = {member.group for member in members if member.required}
        self._failed = 0
        self._ending: dict[str, _End] = {}

    def run(self) -> int:
        """Run the system; return the exit status.

        Returns
        -------
        int
            0 when a required member of each group ended with status 0; 1 when one failed, or another could not be
            kept alive; 128 + n after signal n.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        try:
            while self._status is None:
                self._start_due()
                self._pump()
                self._look_for_ends()
                self._end_groups()
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
            due = member.process is None and time.monotonic() >= member.start_at_s
            if due and member.group not in self._ending:
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
        if self._status is not None or member.group in self._ending:
            return
        if member.required:
            end = "has finished" if status == 0 else f"has died ({describe(status)})"
            self._end(member.group, min(abs(status), 1), f"{member.name} {end}", silent=status == 0)
            return
        if status == IN_USE_STATUS:
            self._end(member.group, 1, f"{member.name} can not write its folder, another run does")
            return
        now = time.monotonic()
        member.deaths_s.append(now)
        if len(member.deaths_s) > RESTARTS and now - member.deaths_s[0] < RESTARTS_WITHIN_S:
            often = f"for the {RESTARTS + 1}th time within {RESTARTS_WITHIN_S:.0f} s"
            if member.optional:
                member.start_at_s = math.inf
                self._console.say(f"{member.name} has died {often} ({describe(status)}): the others go on without it")
                return
            self._end(member.group, 1, f"{member.name} has died {often} ({describe(status)})")
            return
        member.start_at_s = now + RESTART_AFTER_S
        self._console.say(f"{member.name} has died ({describe(status)}): starting it again in {RESTART_AFTER_S:g} s")

    def _end(self, group: str, status: int, reason: str, silent: bool = False) -> None:
        """End a group; the run is over with a group that nobody can do without, or with the last one that lasts."""
        self._failed = max(self._failed, status)
        lasted = group in self._lasting
        self._lasting.discard(group)
        if not lasted or not self._lasting:
            self._finish(self._failed, reason if silent else f"{reason}: the run is over")
            return
        self._ending[group] = _End()
        others = ", ".join(sorted(self._lasting))
        self._console.say(f"{reason}: {group} is over, {others} {'goes' if len(self._lasting) == 1 else 'go'} on")

    def _end_groups(self) -> None:
        """Send what is due to the members of groups that end."""
        for group, end in self._ending.items():
            for number in end.due():
                for process in self._running(group):
                    process.signal(number)

    def _running(self, group: str) -> list[Process]:
        return [m.process for m in self._members if m.process is not None and m.group == group]

    def _look_for_signals(self) -> None:
        if self._caught and self._status is None:
            name = signal.Signals(self._caught[0]).name
            self._finish(128 + self._caught[0], f"interrupted ({name}): stopping")

    def _finish(self, status: int, reason: str) -> None:
        self._status = status
        self._console.say(reason)

    def _stop(self) -> None:
        """End every member, whatever it takes; a further signal from a person skips the patience."""
        for group in {member.group for member in self._members}:
            self._ending.setdefault(group, _End())
        patience = len(self._caught)
        while any(member.process is not None for member in self._members):
            if len(self._caught) > max(patience, 1):
                self._ending = {group: _End(((0.0, signal.SIGKILL),)) for group in self._ending}
                patience = len(self._caught)
            self._end_groups()
            self._pump()
            self._look_for_ends()
        self._selector.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._caught.append(number)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
