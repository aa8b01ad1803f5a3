"""Real-time scheduling for the nodes that a table names, and for no other."""

from __future__ import annotations

import os
import subprocess

REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)


def prefix_of(priority: int) -> list[str]:
    """Return the words before a command that give it a scheduling priority; 0: none, whatever we have ourselves.

    A process inherits its class: under `chrt -r 5 tdm_ros up` the learner would take the processor from the arm.
    """
    if priority:
        return ["chrt", "--rr", str(priority)]
    return ["chrt", "--other", "0"] if os.sched_getscheduler(0) in REAL_TIME else []


def check_priority(priority: int) -> None:
    """Make sure that a process may have a real-time priority.

    Raises
    ------
    OSError
        If it may not; the text says what to do.
    """
    if not priority:
        return
    ran = subprocess.run([*prefix_of(priority), "true"], capture_output=True, text=True)
    if ran.returncode:
        raise PermissionError(
            f"real_time:={priority} was refused ({ran.stderr.strip()}): let your user have it, by a line "
            f"`<user> - rtprio {priority}` in /etc/security/limits.conf and a new login, or give real_time:=0"
        )
