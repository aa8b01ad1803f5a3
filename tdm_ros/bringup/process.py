"""One child process: process group, output as lines, real-time scheduling, and a stop that reaches its children."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)


def prefix_of(priority: int) -> list[str]:
    """Return the prefix of a command for a scheduling priority; 0 is the normal scheduler, also below `chrt`.

    A process inherits its class: under `chrt -r 5 tdm_ros up` the trainer would have the priority of the arm.
    """
    if priority:
        return ["chrt", "--rr", str(priority)]
    return ["chrt", "--other", "0"] if os.sched_getscheduler(0) in REAL_TIME else []


def check_priority(priority: int) -> None:
    """Raise an OSError, with the remedy, if a process may not have a real-time priority."""
    if not priority:
        return
    ran = subprocess.run([*prefix_of(priority), "true"], capture_output=True, text=True)
    if ran.returncode:
        raise PermissionError(
            f"real_time:={priority} was rejected ({ran.stderr.strip()}): permit it by a line "
            f"`<user> - rtprio {priority}` in /etc/security/limits.conf and a new login, or give real_time:=0"
        )


_PR_SET_PDEATHSIG = 1  # Source: prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)
_READ_BYTES = 65536  # size of a pipe
_READS = 4


class Process:
    """Running program with non-blocking output.

    It leads a process group: Ctrl-C at the terminal does not reach it, and a signal of the runner also reaches its
    children. The kernel kills it at the end of the thread that made it, so that it has to be made in the main thread.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        parent = os.getpid()
        self._popen = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _die_with(parent),
        )
        assert self._popen.stdout is not None
        self.output = self._popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self._rest = b""

    @property
    def status(self) -> int | None:
        """Exit status, minus the signal's number if one killed it; None while it runs."""
        return self._popen.poll()

    def lines(self) -> Iterator[str]:
        """Yield the lines since the last call; a live line keeps its leading carriage return.

        After the end of the process the last line is complete without a line end.
        """
        ended = self.status is not None
        with suppress(BlockingIOError):
            for _ in range(_READS):  # a bound, so that one process cannot delay the others
                self._rest += os.read(self.output.fileno(), _READ_BYTES)
        # A live line may end with the carriage return of the next one.
        *whole, self._rest = self._rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n\r").split(b"\n")
        if ended:
            whole.append(self._rest)
            self._rest = b""
        yield from (line.decode(errors="replace") for line in whole if line.strip())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, as far as they run."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def close(self) -> None:
        """Kill the process group and close the output."""
        self.signal(signal.SIGKILL)
        self._popen.wait()
        self.output.close()


def describe(status: int) -> str:
    """Describe the end of a process: `exit status 1`, or `killed by SIGSEGV`."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


def _die_with(parent: int) -> None:
    """Let the kernel kill this process, a child, at the end of `parent`; end at once if `parent` has ended."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
