"""Detects two publishers of a topic by the sequence numbers of the middleware."""

from __future__ import annotations

from collections import deque

WINDOW_S, FALLS = 3.0, 2
"""Time that is looked at [s], and how often the numbers of a topic's messages may not fall in it."""
LEAP = 10
"""Numbers that go on where they were before they fell, by a leap of more than this and of half their size, are those of
another publisher than the fallen ones: one that was started again has to count up to there."""


class OneSource:
    """Follows the numbers of a topic's messages, each publisher's from 1.

    With one publisher they rise. They fall once where it was started again; where two publish they fall again and
    again, or fall and leap back.
    """

    def __init__(self) -> None:
        self._last = self._highest = 0
        self._fell_s: deque[float] = deque(maxlen=FALLS)
        self._leapt_s = -float("inf")

    def take(self, number: int, now_s: float) -> bool:
        """Take the number of the next message in; return whether two publish."""
        if number <= self._last:
            self._fell_s.append(now_s)
        leaps = number > self._highest > self._last and number - self._last > max(LEAP, self._highest // 2)
        self._leapt_s = now_s if leaps else self._leapt_s
        self._last, self._highest = number, max(number, self._highest)
        falls = len(self._fell_s) == FALLS and now_s - self._fell_s[0] < WINDOW_S
        return falls or now_s - self._leapt_s < WINDOW_S
