"""Timing statistics of the control loop in constant memory, and the CPU time that the host took away."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
