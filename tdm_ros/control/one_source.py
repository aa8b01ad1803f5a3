"""Tells whether the messages of a topic come from one publisher, by the numbers that the middleware gives them."""

from __future__ import annotations

from collections import deque

LOOKED_AT, FALLS = 20, 2
"""The newest messages of a topic that are looked at, and how often their numbers may not fall."""


class OneSource:
    """Follows the numbers of a topic's messages, each publisher's from 1.

    With one publisher they rise. They fall once where it was started again, and again and again where two publish.
    """

    def __init__(self) -> None:
        self._last = 0
        self._fell: deque[bool] = deque(maxlen=LOOKED_AT)

    def take(self, number: int) -> bool:
        """Take the number of the next message in; return whether two publish."""
        self._fell.append(number <= self._last)
        self._last = number
        return sum(self._fell) >= FALLS
