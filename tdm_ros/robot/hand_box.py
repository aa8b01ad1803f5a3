"""Box that the hand stays in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class HandBox(NamedTuple):
    """A box, (3,) float64 [m] in frame base.

    Parameters
    ----------
    low_m, high_m : (3,) float64 [m]
    """

    low_m: Array
    high_m: Array

    def share(self, hand_m: Array, travel_m: Array) -> float:
        """Largest share in [0, 1] of a travel of the hand, (3,) [m], that does not lead further out."""
        room = np.where(travel_m > 0, self.high_m - hand_m, hand_m - self.low_m)
        share = np.maximum(room, 0.0) / np.maximum(np.abs(travel_m), 1e-12)
        return min(float(share.min()), 1.0)
