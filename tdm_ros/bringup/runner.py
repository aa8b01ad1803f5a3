"""Runner of a system without `ros2 launch`: starts, monitors, restarts and stops its nodes in one thread."""

from __future__ import annotations

import math
import selectors
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tdm_ros.bringup.process import Process, describe
from tdm_ros.bringup.table import STOP_S
from tdm_ros.bringup.terminal import Console
from tdm_ros.files import IN_USE_STATUS

RESTART_AFTER_S = 1.0
RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
TICK_S = 0.05  # maximum time until an end or a signal is noticed [s]


@dataclass
class Member:
    """Program of a system and its process. The others continue without an ``optional`` one.

    The end of a required member ends its ``group``; the end of the last group with a required member ends the run. A
    member is killed ``stop_s`` after SIGTERM [s].
    """

    name: str
    command: Sequence[str]
    required: bool
    optional: bool = False
    group: str = ""
    stop_s: float = STOP_S
    process: Process | None = None
    signals: deque[tuple[float, signal.Signals]] | None = None
    """Signals that will end the process, and their steady times [s]; None while it shall run."""
    start_at_s: float = 0.0
    deaths_s: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS + 1))

    def stop(self, after_s: float) -> None:
        """Send SIGTERM now and SIGKILL later; no SIGINT: a Python that is still starting would print a traceback."""
        now_s = time.monotonic()
        self.signals = deque([(now_s, signal.SIGTERM), (now_s + after_s, signal.SIGKILL)])


class Runner:
    """Run of a system until its end; ``env`` is the environment of the members, ``console`` shows their output."""

    def __init__(self, members: Sequence[Member], env: Mapping[str, str], console: Console) -> None:
        self._members = members
        self._env = env
        self._console = console
        self._selector = selectors.DefaultSelector()
        self._caught: list[int] = []
        self._suspended = 0
        self._status: int | None = None
        self._lasting = {member.group for member in members if member.required}
        self._failed = 0
        self._ending: set[str] = set()

    def run(self) -> int:
        """Run the system; return the exit status.

        It is 0 if a required member of each group ended with status 0; 1 if one failed, or another one died too often;
        128 + n after signal n.
        """
        # Signals that are ignored stay ignored: SIGINT in the background of a shell, SIGHUP under nohup.
        ignored = [number for number in _IGNORABLE if signal.getsignal(number) is signal.SIG_IGN]
        previous = {n: signal.signal(n, self._on_signal) for n in (*_IGNORABLE, signal.SIGTERM) if n not in ignored}
        previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._on_suspend)
        previous[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # output from the background
        try:
            while self._status is None:
                self._start_due()
                self._pump()
                self._handle_ends()
                self._end_groups()
                if self._caught and self._status is None:
                    name = signal.Signals(self._caught[0]).name
                    self._finish(128 + self._caught[0], f"interrupted ({name}): stopping")
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
        """Forward the output of the members, for at most one tick."""
        for key, _ in self._selector.select(TICK_S):
            self._show(key.data)
        if self._suspended:
            self._suspended = 0
            self._console.report(
                "not suspended, because the arm would continue. Ctrl-C stops the run, or fg and Ctrl-C where the shell "
                "shows its prompt"
            )

    def _show(self, process: Process) -> None:
        for line in process.lines():
            self._console.show(process.name, line)

    def _handle_ends(self) -> None:
        for member in self._members:
            process = member.process
            if process is not None and (status := process.status) is not None:
                self._show(process)
                self._selector.unregister(process.output)
                process.close()
                member.process = None
                self._after_end(member, status)

    def _after_end(self, member: Member, status: int) -> None:
        if self._status is not None or member.group in self._ending:
            return
        if member.required:
            end = "has finished" if status == 0 else f"has died ({describe(status)})"
            self._end(member.group, min(abs(status), 1), f"{member.name} {end}", silent=status == 0)
            return
        if status == IN_USE_STATUS:
            self._end(member.group, 1, f"{member.name} cannot write its folder, another run does")
            return
        now = time.monotonic()
        member.deaths_s.append(now)
        if len(member.deaths_s) > RESTARTS and now - member.deaths_s[0] < RESTARTS_WITHIN_S:
            often = f"for the {RESTARTS + 1}th time within {RESTARTS_WITHIN_S:.0f} s"
            reason = f"{member.name} has died {often} ({describe(status)})"
            if not member.optional:
                self._end(member.group, 1, reason)
                return
            member.start_at_s = math.inf
            self._console.report(f"{reason}: the others continue without it")
            return
        member.start_at_s = now + RESTART_AFTER_S
        self._console.report(f"{member.name} has died ({describe(status)}): starting it again in {RESTART_AFTER_S:g} s")

    def _end(self, group: str, status: int, reason: str, silent: bool = False) -> None:
        """End a group; a group without required members, or the last one with some, ends the run."""
        self._failed = max(self._failed, status)
        lasted = group in self._lasting
        self._lasting.discard(group)
        if not lasted or not self._lasting:
            self._finish(self._failed, reason if silent else f"{reason}: the run is over")
            return
        self._ending.add(group)
        others, ends = ", ".join(sorted(self._lasting)), "s" if len(self._lasting) == 1 else ""
        self._console.report(f"{reason}: {group} is over, {others} continue{ends}")

    def _end_groups(self) -> None:
        """Send the signals that are due to the members of ending groups."""
        for member in self._members:
            if member.process is not None and member.group in self._ending:
                if member.signals is None:
                    member.stop(member.stop_s)
                while member.signals and time.monotonic() >= member.signals[0][0]:
                    member.process.signal(member.signals.popleft()[1])

    def _finish(self, status: int, reason: str) -> None:
        self._status = status
        self._console.report(reason)

    def _stop(self) -> None:
        """End every member; a second signal of the operator kills them."""
        self._ending |= {member.group for member in self._members}
        caught, begin_s, announced = len(self._caught), time.monotonic(), False
        while running := [member for member in self._members if member.process is not None]:
            if len(self._caught) > max(caught, 1):
                for member in running:
                    member.stop(0.0)
                caught = len(self._caught)
            writing = [member for member in running if member.stop_s > STOP_S]
            if writing and not announced and time.monotonic() - begin_s > STOP_S:
                announced = True
                names, most_s = ", ".join(m.name for m in writing), max(m.stop_s for m in writing)
                self._console.report(f"up to {most_s:g} s for {names} to write files; Ctrl-C again kills them")
            self._end_groups()
            self._pump()
            self._handle_ends()
        self._selector.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._caught.append(number)

    def _on_suspend(self, number: int, frame: object) -> None:
        self._suspended += 1


_IGNORABLE = (signal.SIGINT, signal.SIGHUP)
