"""Tells whether the messages of a topic come from one publisher, by the numbers that the middleware gives them."""

from __future__ import annotations

from collections import deque

LOOKED_AT, FALLS = 20, 2
"""The newest messages of a topic that are looked at, and how often their numbers may not fall."""
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
        self._fell: deque[bool] = deque(maxlen=LOOKED_AT)
        self._left = 0

    def take(self, number: int) -> bool:
        """Take the number of the next message in; return whether two publish."""
        self._fell.append(number <= self._last)
        leaps = number > self._highest > self._last and number - self._last > max(LEAP, self._highest // 2)
        self._left = LOOKED_AT if leaps else max(self._left - 1, 0)
        self._last, self._highest = number, max(number, self._highest)
        return sum(self._fell) >= FALLS or self._left > 0
