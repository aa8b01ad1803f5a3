"""Validation of numbers from messages, and counts of rejected inputs per reason."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

LARGEST = 1000.0
"""Largest plausible joint angle, joint velocity or position of an arm [rad, rad/s, m]."""


def check_vector(values: ArrayLike, size: int, largest: float = LARGEST) -> str:
    """Return "" if ``values`` are ``size`` finite numbers of at most ``largest`` in magnitude, or the reason."""
    array = np.asarray(values)
    if array.shape != (size,):
        return "wrong size"
    if not np.isfinite(array).all():
        return "not finite"
    return "" if (np.abs(array) <= largest).all() else "out of range"


REASONS, LETTERS = 200, 300
"""Maximum number of reasons that are counted separately, and of characters of a received text."""


def printable(text: str, letters: int = LETTERS) -> str:
    """A received text for a log or a page: not too long, and without control characters."""
    short = text if len(text) <= letters else f"{text[:letters]}..."
    return short if short.isprintable() else "".join(c if c.isprintable() else " " for c in short)


class Rejections:
    """Counter of rejected inputs; ``log`` gets one line about the same reason per ``interval_s`` of a steady clock."""

    def __init__(
        self, log: Callable[[str], object], clock: Callable[[], float] = time.monotonic, interval_s: float = 1.0
    ) -> None:
        self._log, self._clock, self._interval_s = log, clock, interval_s
        self._last_s: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        """Number of rejections per reason."""

    @property
    def total(self) -> int:
        """Number of all rejections."""
        return sum(self.counts.values())

    def reject(self, reason: str, detail: str = "") -> None:
        """Count ``reason`` (one of a few fixed texts); log it with ``detail`` at most once per interval."""
        self._count(printable(reason), printable(detail))

    def failed(self, place: str, error: Exception) -> None:
        """Count an error in a callback and log it, the first of each callback with its traceback."""
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
        self._log(f"rejected ({self.counts[reason]} so far): {reason}" + (f"; {detail}" if detail else ""))
