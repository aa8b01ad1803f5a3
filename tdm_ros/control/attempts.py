"""Which stretch of time a person means when she says "discard": the newest attempt, hers or the policy's."""

from __future__ import annotations

from dataclasses import dataclass

from tdm_ros.control.arm_sample import ArmSample
from tdm_ros.control.timeline import Source

Span = tuple[int, int]
"""From, and up to but without, a stamp [ns, ROS time]: the transitions whose first states lie in it."""

HEARD_NS = 250_000_000
"""The arm may go on with an attempt for this long until it hears that it is over; no other begins meanwhile."""


@dataclass(frozen=True)
class Attempt:
    """An episode, or what a person did between two of them."""

    episode: int
    begin_ns: int
    end_ns: int


class Attempts:
    """Follows the states of the arm and knows when the newest attempt began and ended."""

    def __init__(self) -> None:
        self._newest: Attempt | None = None
        self._before_ns = -1
        self.discarded: tuple[Span, ...] = ()
        """What was discarded so far."""

    def on_sample(self, sample: ArmSample) -> None:
        """Take a state in; it tells of the cycle that has just ended."""
        began_ns, self._before_ns = self._before_ns, sample.stamp_ns
        acted = sample.episode > 0 or sample.source == Source.HUMAN
        if began_ns < 0 or not acted:
            return
        newest = self._newest
        # What a person does in the cycle in which an episode is cut, or just before one, is a piece of its own.
        begin_ns = began_ns
        if newest and newest.episode == sample.episode and (sample.episode or newest.end_ns == began_ns):
            begin_ns = newest.begin_ns
        self._newest = Attempt(sample.episode, begin_ns, sample.stamp_ns)

    def discard(self, running: bool) -> str:
        """Discard the newest attempt, which may still be ``running``; return "" or why there is none."""
        newest, self._newest = self._newest, None
        if newest is None:
            return "nothing was done since the last attempt was discarded"
        end_ns = newest.end_ns + (HEARD_NS if running else 0)
        self.discarded = (*self.discarded, (newest.begin_ns, end_ns))
        return ""
