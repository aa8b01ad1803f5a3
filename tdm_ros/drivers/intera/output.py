"""Standard output and error that never block a program: output without a reader is dropped and counted."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
from contextlib import suppress


class _Unwaiting(io.RawIOBase):
    """Writes to a file descriptor as much as it accepts at once, and drops the rest."""

    def __init__(self, number: int) -> None:
        self._number, self._left_out = number, 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: object) -> int:
        given = bytes(data)  # type: ignore[call-overload]
        try:
            if self._left_out:
                os.write(self._number, b"\n[%d bytes of output without a reader were dropped]\n" % self._left_out)
                self._left_out = 0
            return os.write(self._number, given)
        except BlockingIOError:
            self._left_out += len(given)
        except OSError:  # the reader has ended
            pass
        return len(given)


def never_wait() -> None:
    """Make standard output and error non-blocking, for Python and for C libraries.

    Without this, a pipe without a reader or a terminal that was stopped (Ctrl-S) stops the whole process, its signals
    included. Other processes that have the same pipe or terminal are not affected. Where one is closed, it becomes the
    null device: the number would be that of the next file that is opened, and output would be written into it.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # it was closed before Python started
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w"))
        if (present := getattr(sys, name)) is not None and _open_again(number):
            present.flush()
            raw = io.BufferedWriter(_Unwaiting(number))
            setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True))


def reader_has_ended() -> bool:
    """Whether standard output is a pipe or a terminal whose other end is closed."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _open_again(number: int) -> bool:
    """Open the pipe or terminal of a descriptor once more, non-blocking, in its place; False for what never blocks.

    The flag O_NONBLOCK belongs to what was opened, which others share: setting it there would change it for them.
    """
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISSOCK(mode):  # a socket cannot be opened again
            os.set_blocking(number, False)
            return True
        if not (stat.S_ISFIFO(mode) or os.isatty(number)):
            return False
        fresh = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:  # a pipe without a reader; or closed, or a terminal that is another user's
        return error.errno == errno.ENXIO
    os.dup2(fresh, number)
    with suppress(OSError):
        os.close(fresh)
    return True
