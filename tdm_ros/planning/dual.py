"""Multiplier of the feasibility: it rises while executed segments miss by more than the tolerance, else it falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

RANGE = (0.1, 1000.0)
"""As in the authors' code."""


@dataclass
class Multiplier:
    """Dual variable of the constraint that all but a few segments miss their knots by no more than is tolerated.

    Projected ascent in the logarithm, from what was executed and not from what was predicted: critics that promise too
    much are believed less and less. It settles where the allowed part of the segments misses; were the mean miss to be
    just tolerated instead, a row of good segments would buy a way through a wall.

    Parameters
    ----------
    value : float
        At first; zero stays zero (the constraint is left out).
    tolerance : float
        Miss that is tolerated [goal unit].
    rate : float
        The most that one segment raises the logarithm by.
    allowed : float
        Part of the segments that may miss; an arrival lowers the logarithm by that part of the rate at most.

    Source: arXiv 1802.09081, section 5, relaxes the constraint by a Lagrange multiplier. The authors' code doubles or
    halves it; here it moves in proportion to the violation, and slowly down.
    """

    value: float
    tolerance: float
    rate: float = 0.5
    allowed: float = 0.05

    def __post_init__(self) -> None:
        if not (self.value >= 0 and self.tolerance > 0 and self.rate >= 0):
            raise ValueError(
                "Multiplier needs value >= 0, tolerance > 0 and rate >= 0, "
                f"got {self.value}, {self.tolerance} and {self.rate}"
            )

    def executed(self, miss: float) -> float:
        """Learn how far from its knot a segment ended [goal unit]; returns the new value. NaN is not looked at."""
        if self.value > 0 and math.isfinite(miss):
            violation = max(-1.0, min(1.0, miss / self.tolerance - 1))
            violation *= self.allowed if violation < 0 else 1.0
            low, high = RANGE
            self.value = min(max(self.value * math.exp(self.rate * violation), low), high)
        return self.value
