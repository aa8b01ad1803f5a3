"""Keeps a loop on absolute deadlines, and recovers from a late wake-up without missing the next deadline."""

from __future__ import annotations


class Pacer:
    """Deadlines one period apart on a steady clock that the caller reads.

    Parameters
    ----------
    period_s : float
        Time between two deadlines [s].
    now_s : float
        Present time of the steady clock [s]; the first deadline is one period later.

    Raises
    ------
    ValueError
        If the period is not positive.
    """

    def __init__(self, period_s: float, now_s: float) -> None:
        if not period_s > 0:
            raise ValueError(f"Pacer period_s must be positive, got {period_s}")
        self.period_s = period_s
        self.deadline_s = now_s + period_s
        self.overruns = 0
        """How often the caller came more than half a period late."""

    def advance(self, now_s: float) -> float:
        """Move to the next deadline and return how late the last one was met [s].

        A wake up to half a period late keeps the grid. A later one starts a new grid from now: otherwise the
        next cycle would be too short for anybody to answer.
        """
        late_s = now_s - self.deadline_s
        if late_s > 0.5 * self.period_s:
            self.overruns += 1
            self.deadline_s = now_s
        self.deadline_s += self.period_s
        return late_s

    def leave(self, now_s: float, least_s: float) -> None:
        """Have the next deadline at least ``least_s`` after now [s].

        A loop whose work takes a whole period would otherwise never come to anything else, such as messages.
        """
        self.deadline_s = max(self.deadline_s, now_s + least_s)
