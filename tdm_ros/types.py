"""Identity of a state or a transition: run of the arm and cycle, never a wall-clock stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import NamedTuple

RUNS, RANGES = 256, 1000
"""Largest number of runs that a `CycleSet` remembers, and of ranges of each; the oldest are forgotten first."""

LARGEST_CYCLE, LONGEST_RUN = 2**53, 64
"""Largest cycle, and longest name of a run [characters], that are taken in."""

REORDERED = 16
"""Messages of a log without runs may be out of order by this many cycles; an arm that falls back further has begun
another run."""


def check_identity(run: str, cycle: int) -> str:
    """Return why a run and a cycle can identify nothing, or "" if they can."""
    if not 0 < len(run) <= LONGEST_RUN:
        return "run is empty" if not run else "run is too long"
    return "" if 0 <= cycle <= LARGEST_CYCLE else "cycle out of range"


class CycleRange(NamedTuple):
    """Consecutive cycles of one run, from ``begin`` up to, but without, ``end``."""

    run: str
    begin: int
    end: int


class CycleSet:
    """Set of cycles, each of a run, in bounded memory: consecutive cycles are kept as one range."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[list[int], list[int]]] = {}

    def add(self, cycles: CycleRange) -> bool:
        """Add a range; return whether any of its cycles is new."""
        run, begin, end = cycles
        if begin >= end:
            return False
        if run not in self._runs and len(self._runs) == RUNS:
            del self._runs[next(iter(self._runs))]
        begins, ends = self._runs.setdefault(run, ([], []))
        first, last = bisect_left(ends, begin), bisect_right(begins, end)
        if first < last:  # it touches these ranges: they become one
            if begins[first] <= begin and end <= ends[first]:
                return False
            begin, end = min(begin, begins[first]), max(end, ends[last - 1])
        begins[first:last], ends[first:last] = [begin], [end]
        if len(begins) > RANGES:
            del begins[0], ends[0]
        return True

    def has(self, run: str, cycle: int) -> bool:
        """Whether a cycle of a run is in the set."""
        begins, ends = self._runs.get(run, ((), ()))
        at = bisect_right(begins, cycle) - 1
        return at >= 0 and cycle < ends[at]


class RunNames:
    """Names the run of each transition of one stream; in logs of older versions the messages do not name it.

    There a cycle that falls back begins a new run, unless it fills one of the newest holes: then the messages are out
    of order.
    """

    def __init__(self) -> None:
        self._number, self._newest = 0, -1
        self._recent: deque[int] = deque(maxlen=REORDERED)

    def of(self, run: str, cycle: int) -> str:
        """The run that a message names, or else that of the stream: ``older 1``, ``older 2``, ..."""
        if run:
            return run
        out_of_order = self._newest - cycle < REORDERED and cycle not in self._recent
        if not self._number or (cycle <= self._newest and not out_of_order):
            self._number, self._newest = self._number + 1, -1
            self._recent.clear()
        self._newest = max(self._newest, cycle)
        self._recent.append(cycle)
        return f"older {self._number}"
