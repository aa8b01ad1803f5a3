"""Cycles that the operator discards: those of the newest attempt, of the policy or of the operator."""

from __future__ import annotations

from dataclasses import dataclass

from tdm_ros.control.arm_sample import ArmSample
from tdm_ros.control.identity import CycleRange
from tdm_ros.control.timeline import Source

MORE_CYCLES = 5
"""Cycles for which the arm may continue an attempt until it receives that it is over; no other begins meanwhile."""

KEPT = 100
"""Newest discarded ranges that are announced. A reader takes each in when it is announced, or reads it from the log."""


@dataclass(frozen=True)
class Attempt:
    """An episode, or what a person did between two of them."""

    episode: int
    cycles: CycleRange
    """Cycles of the first states of its transitions."""


class Attempts:
    """Follows the states of the arm and knows when the newest attempt began and ended."""

    def __init__(self) -> None:
        self._newest: Attempt | None = None
        self._before: tuple[str, int] | None = None
        self.discarded: tuple[CycleRange, ...] = ()
        """Newest ranges that were discarded, `KEPT` at most."""

    def on_sample(self, sample: ArmSample) -> None:
        """Take a state in; its source and episode are those of the cycle that has just ended."""
        ended = sample.cycle - 1
        known, self._before = self._before == (sample.run, ended), (sample.run, sample.cycle)
        acted = sample.episode > 0 or sample.source == Source.HUMAN
        if not known or not acted:
            return
        newest = self._newest
        # What a person does in the cycle in which an episode is cut, or just before one, is a piece of its own.
        begin = ended
        if newest and newest.cycles.run == sample.run and newest.episode == sample.episode:
            begin = newest.cycles.begin if sample.episode or newest.cycles.end == ended else ended
        self._newest = Attempt(sample.episode, CycleRange(sample.run, begin, sample.cycle))

    def discard(self, running: bool) -> str:
        """Discard the newest attempt, which may still be ``running``; return "" or why there is none."""
        newest, self._newest = self._newest, None
        if newest is None:
            return "nothing was done since the last attempt was discarded"
        run, begin, end = newest.cycles
        cycles = CycleRange(run, begin, end + (MORE_CYCLES if running else 0))
        self.discarded = (*self.discarded, cycles)[-KEPT:]
        return ""
