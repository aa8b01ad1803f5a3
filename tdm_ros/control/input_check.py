"""Validation of vectors in a message: size, finite values, physical range."""

from __future__ import annotations

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
