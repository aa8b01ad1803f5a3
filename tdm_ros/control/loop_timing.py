"""Timing of the control loop: absolute deadlines, statistics in constant memory, CPU time that the host took away."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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


BIN_MS = 0.1
BINS = 5000


@dataclass
class Durations:
    """A histogram of durations: bins of 0.1 ms up to 500 ms, the worst one exactly."""

    worst_ms: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))

    def add(self, duration_s: float) -> None:
        """Count one duration [s]; negative ones count as zero."""
        ms = max(duration_s * 1000.0, 0.0)
        self.counts[min(int(ms / BIN_MS), BINS)] += 1
        self.worst_ms = max(self.worst_ms, ms)

    def percentile_ms(self, percent: float) -> float:
        """Middle of the bin that holds the given percentile [ms], at most the worst; 0 before the first."""
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        rank = min(int(np.ceil(total * percent / 100.0)), total)
        index = int(np.searchsorted(np.cumsum(self.counts), max(rank, 1)))
        return self.worst_ms if index == BINS else min((index + 0.5) * BIN_MS, self.worst_ms)

    def summary_ms(self) -> dict[str, float]:
        """``{"p50", "p99", "worst"}`` [ms]."""
        return {"p50": self.percentile_ms(50), "p99": self.percentile_ms(99), "worst": self.worst_ms}


@dataclass
class CycleStatistics:
    """How well the control loop ran.

    A cycle counts only when an answer was expected in it (the arm was RUNNING); it is answered when a valid
    command for that very cycle arrived within it.
    """

    total: int = 0
    answered: int = 0
    overruns: int = 0
    period: Durations = field(default_factory=Durations)
    latency: Durations = field(default_factory=Durations)

    @property
    def missed(self) -> int:
        """Cycles without an answer of their own."""
        return self.total - self.answered

    def end_cycle(self, period_s: float, expected: bool, answered: bool, late: bool = False) -> None:
        """Count one finished cycle.

        Parameters
        ----------
        period_s : float
            How long it lasted [s].
        expected, answered : bool
            Whether an answer was expected in it, and came.
        late : bool
            The loop itself came late. A missing answer then says nothing about who should have answered: the
            cycle counts as an overrun, not as a miss.
        """
        if not expected:
            return
        self.period.add(period_s)
        self.overruns += int(late)
        if answered or not late:
            self.total += 1
            self.answered += int(answered)

    def as_dict(self, steal_fraction: float) -> dict[str, object]:
        """The ``cycles`` part of a run's summary."""
        return {
            "total": self.total,
            "answered": self.answered,
            "missed": self.missed,
            "answered_fraction": self.answered / self.total if self.total else 1.0,
            "overruns": self.overruns,
            "period_ms": self.period.summary_ms(),
            "latency_ms": self.latency.summary_ms(),
            "steal_fraction": steal_fraction,
        }


class HostSteal:
    """Share of the processor time that the host of a virtual machine gave to others since this was made.

    Parameters
    ----------
    proc_stat : str
        Text of ``/proc/stat``.
    """

    def __init__(self, proc_stat: str) -> None:
        self._first = _steal_and_total(proc_stat)

    def fraction(self, proc_stat: str) -> float:
        """Steal time over all time, idle included, from the first text to this one."""
        steal, total = _steal_and_total(proc_stat)
        elapsed = total - self._first[1]
        return (steal - self._first[0]) / elapsed if elapsed > 0 else 0.0


def _steal_and_total(proc_stat: str) -> tuple[int, int]:
    # "cpu user nice system idle iowait irq softirq steal guest guest_nice"; guest is in user already.
    fields = proc_stat.partition("\n")[0].split()
    if not fields or fields[0] != "cpu" or len(fields) < 9:
        return 0, 0
    numbers = [int(x) for x in fields[1:9]]
    return numbers[7], sum(numbers)
