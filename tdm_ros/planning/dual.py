"""The price of infeasibility: it rises while executed segments miss by more than is tolerated, and falls otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass

RANGE = (0.1, 1000.0)
"""As in the authors' code."""


@dataclass
class Multiplier:
    """Dual variable of the constraint "each segment misses its knot by no more than the tolerance".

    Projected ascent in the logarithm, from what was executed and not from what was predicted: critics that promise too
    much are believed less and less.

    Parameters
    ----------
    value : float
        At first; zero stays zero (the constraint is left out).
    tolerance : float
        Miss that is tolerated [goal unit].
    rate : float
        The most that one segment changes the logarithm by.

    Source: arXiv 1802.09081, section 5, relaxes the constraint by a Lagrange multiplier. The authors' code doubles or
    halves it; here it moves in proportion to the violation.
    """

    value: float
    tolerance: float
    rate: float = 0.25

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
            low, high = RANGE
            self.value = min(max(self.value * math.exp(self.rate * violation), low), high)
        return self.value
