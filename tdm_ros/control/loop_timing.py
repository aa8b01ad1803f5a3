"""Timing of the control loop: absolute deadlines, statistics in constant memory, steal time of the host."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


class Pacer:
    """Deadlines, one period apart, on a steady clock that the caller reads; the first one is a period from now."""

    def __init__(self, period_s: float, now_s: float) -> None:
        self.period_s = period_s
        self.deadline_s = now_s + period_s

    def advance(self, now_s: float) -> bool:
        """Move to the next deadline and return whether the last one was missed by more than half a period.

        A smaller lateness keeps the grid. A larger one starts a new grid from now; otherwise the next cycle would be
        too short for an answer.
        """
        late = now_s - self.deadline_s > 0.5 * self.period_s
        self.deadline_s = (now_s if late else self.deadline_s) + self.period_s
        return late

    def postpone(self, now_s: float, least_s: float) -> None:
        """Move the next deadline to at least ``least_s`` after now [s].

        Otherwise a loop whose work takes a whole period would never handle messages.
        """
        self.deadline_s = max(self.deadline_s, now_s + least_s)


BIN_MS = 0.1
BINS = 5000


@dataclass
class Durations:
    """Histogram of durations: bins of 0.1 ms up to 500 ms, and the exact maximum."""

    worst_ms: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))

    def add(self, duration_s: float) -> None:
        """Count one duration [s]; negative ones count as zero."""
        ms = max(duration_s * 1000.0, 0.0)
        self.counts[min(int(ms / BIN_MS), BINS)] += 1
        self.worst_ms = max(self.worst_ms, ms)

    def percentile_ms(self, percent: float) -> float:
        """Middle of the bin of the given percentile [ms], at most the maximum; 0 without durations."""
        total = int(self.counts.sum())
        if total == 0:
            return 0.0
        rank = min(int(np.ceil(total * percent / 100.0)), total)
        index = int(np.searchsorted(np.cumsum(self.counts), max(rank, 1)))
        return self.worst_ms if index == BINS else min((index + 0.5) * BIN_MS, self.worst_ms)

    def summary_ms(self, name: str) -> dict[str, float]:
        """``{"NAME.p50", "NAME.p99", "NAME.worst"}`` [ms]."""
        values = {"p50": self.percentile_ms(50), "p99": self.percentile_ms(99), "worst": self.worst_ms}
        return {f"{name}.{key}": value for key, value in values.items()}


@dataclass
class CycleStatistics:
    """Statistics of the control loop.

    A cycle counts only if an answer was expected in it (the supervisor was RUNNING); it is answered if a valid command
    for this cycle arrived within it.
    """

    total: int = 0
    answered: int = 0
    overruns: int = 0
    period: Durations = field(default_factory=Durations)
    latency: Durations = field(default_factory=Durations)

    def end_cycle(self, period_s: float, expected: bool, answered: bool, late: bool = False) -> None:
        """Count one finished cycle.

        If the loop itself was late, a missing command is not the sender's: the cycle counts as an overrun, not a miss.
        """
        if not expected:
            return
        self.period.add(period_s)
        self.overruns += int(late)
        if answered or not late:
            self.total += 1
            self.answered += int(answered)

    def as_dict(self, steal_fraction: float) -> dict[str, object]:
        """Values for the diagnostics."""
        return {
            "total": self.total,
            "answered": self.answered,
            "missed": self.total - self.answered,
            "answered_fraction": self.answered / self.total if self.total else 1.0,
            "overruns": self.overruns,
            **self.period.summary_ms("period_ms"),
            **self.latency.summary_ms("latency_ms"),
            "steal_fraction": steal_fraction,
        }


class HostSteal:
    """Fraction of the processor time that the host of a virtual machine used otherwise since the construction.

    ``proc_stat`` is the text of ``/proc/stat``.
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
