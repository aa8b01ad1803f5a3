"""Domain types that several packages share: identity of a cycle (run of the arm and cycle number), transitions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RUNS, RANGES = 256, 1000
"""Largest number of runs that a `CycleSet` remembers, and of ranges of each; the oldest are forgotten first."""

LARGEST_CYCLE, LONGEST_RUN = 2**53, 64
"""Largest cycle, and longest name of a run [characters], that are accepted."""

REORDERED = 16
"""Messages of a log without runs may be out of order by this many cycles; a larger step back begins another run."""


def check_identity(run: str, cycle: int) -> str:
    """Return why a run and a cycle are no identity, or "" if they are one."""
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
    """Run of each transition of one stream; messages of older logs do not name it.

    In these a cycle number that steps back begins a new run, unless that cycle is one of the newest missing ones: then
    the messages are out of order.
    """

    def __init__(self) -> None:
        self._number, self._newest = 0, -1
        self._recent: deque[int] = deque(maxlen=REORDERED)

    def of(self, run: str, cycle: int) -> str:
        """Run that a message names, or else that of the stream: ``older 1``, ``older 2``, ..."""
        if run:
            return run
        out_of_order = self._newest - cycle < REORDERED and cycle not in self._recent
        if not self._number or (cycle <= self._newest and not out_of_order):
            self._number, self._newest = self._number + 1, -1
            self._recent.clear()
        self._newest = max(self._newest, cycle)
        self._recent.append(cycle)
        return f"older {self._number}"


class Step(NamedTuple):
    """One transition. O, A and G are the sizes of observation, action and goal of the task."""

    observation: NDArray[np.float32]  # (O,) before the action
    action: NDArray[np.float32]  # (A,) executed action, in [-1, 1]
    next_observation: NDArray[np.float32]  # (O,) after the action
    achieved: NDArray[np.float32]  # (G,) goal-space point of ``observation`` [goal unit]
    next_achieved: NDArray[np.float32]  # (G,) goal-space point of ``next_observation`` [goal unit]
    desired: NDArray[np.float32]  # (G,) goal of the episode [goal unit]
    terminated: bool  # the environment ended the episode; a time limit does not


@dataclass(frozen=True)
class LoggedTransition:
    """Transition of an arm, as a log and the topic `transition` have it."""

    step: Step
    episode: int  # 0 for the motion home
    number: int  # step within the episode
    cycle: int  # of the arm in the first state
    stamp_ns: int  # ROS time of the first state; not used for identity or order, since clocks are set
    source: int  # of the command, ArmState.SOURCE_*
    limited: bool  # the limiter changed the command
    last: bool  # the next transition is no continuation: time limit, terminal state, interruption, lost cycle
    run: str = ""  # of the node `arm`, which with the cycle identifies the transition; "" in older logs
    arm: str = ""  # its name


class TimeSpan(NamedTuple):
    """Discarded time in older logs: stamps from ``begin_ns`` up to, but without, ``end_ns`` [ns].

    It applies only to transitions without a run.
    """

    begin_ns: int
    end_ns: int


Discarded = CycleRange | TimeSpan


class DiscardedSet:
    """What the operator discarded, of one arm or of several whose transitions name their runs."""

    def __init__(self) -> None:
        self._cycles = CycleSet()
        self._times: set[TimeSpan] = set()

    def add(self, one: Discarded) -> bool:
        """Add a range; return whether any of it is new."""
        if isinstance(one, CycleRange):
            return self._cycles.add(one)
        is_new = one not in self._times
        self._times.add(one)
        return is_new

    def has(self, run: str, cycle: int, stamp_ns: int) -> bool:
        """Whether a transition is discarded: by its run and cycle, or by its stamp [ns] if it has no run."""
        if run:
            return self._cycles.has(run, cycle)
        return any(begin <= stamp_ns < end for begin, end in self._times)
