"""Validation of numbers from messages, and counts of rejected inputs per reason."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

LARGEST = 1000.0
"""No joint angle, joint velocity or position of an arm is larger [rad, rad/s, m]: a larger number is an error."""


def check_vector(values: ArrayLike, size: int, largest: float = LARGEST) -> str:
    """Return "" if ``values`` are ``size`` finite numbers that are not larger than ``largest``, or why not."""
    array = np.asarray(values)
    if array.shape != (size,):
        return "wrong size"
    if not np.isfinite(array).all():
        return "not finite"
    return "" if (np.abs(array) <= largest).all() else "out of range"


REASONS, LETTERS = 200, 300
"""Largest number of reasons that are counted one by one, and of characters of a text that came from elsewhere."""


def printable(text: str, letters: int = LETTERS) -> str:
    """A text that came from elsewhere, for a log or a person: not too long, and without control characters."""
    short = text if len(text) <= letters else f"{text[:letters]}..."
    return short if short.isprintable() else "".join(c if c.isprintable() else " " for c in short)


class Refusals:
    """Counter of refused inputs with a throttled log.

    Parameters
    ----------
    log : callable
        Takes one line of text; a node gives its logger's ``warning``.
    clock : callable
        Steady time [s].
    interval_s : float
        Least time between two lines about the same reason [s].
    """

    def __init__(
        self,
        log: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 1.0,
    ) -> None:
        self._log = log
        self._clock = clock
        self._interval_s = interval_s
        self._last_s: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        """How often each reason was given."""

    @property
    def total(self) -> int:
        """All refusals so far."""
        return sum(self.counts.values())

    def refuse(self, reason: str, detail: str = "") -> None:
        """Count ``reason`` (one of a few fixed texts) and log it with ``detail`` unless said lately."""
        self._count(printable(reason), printable(detail))

    def failed(self, place: str, error: Exception) -> None:
        """Count an error in a callback and log it, the first one at a place with its traceback."""
        reason = f"error in {printable(place)}"
        first = reason not in self.counts
        text = "".join(traceback.format_exception(error)) if first else printable(f"{type(error).__name__}: {error}")
        self._count(reason, text)

    def _count(self, reason: str, detail: str) -> None:
        if reason not in self.counts and len(self.counts) >= REASONS:
            reason = "other reasons"
        self.counts[reason] += 1
        now_s = self._clock()
        if now_s - self._last_s.get(reason, -float("inf")) < self._interval_s:
            return
        self._last_s[reason] = now_s
        self._log(f"refused ({self.counts[reason]} so far): {reason}" + (f"; {detail}" if detail else ""))
