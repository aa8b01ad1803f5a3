"""Exploration in action space, numpy only: the 20 Hz loop and offline training explore alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RANDOM_SHARE = 0.1
"""Part of the steps in which the policy's action is replaced by a uniform one."""
MEMORY, KICK = 0.85, 0.5
"""Random phase: a <- MEMORY a + KICK N(0, 1), so that the arm goes somewhere instead of trembling."""


class Exploration:
    """Source of exploratory actions.

    Parameters
    ----------
    actions : int
        Number A of action dimensions.
    rng : numpy.random.Generator
    """

    def __init__(self, actions: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._walk = np.zeros(actions)

    def random(self) -> NDArray[np.float32]:
        """Next action of the random phase: correlated over time, (A,) in [-1, 1]."""
        self._walk = np.clip(MEMORY * self._walk + KICK * self._rng.standard_normal(self._walk.shape), -1, 1)
        return self._walk.astype(np.float32)

    def noisy(self, action: NDArray[np.float32], std: float) -> NDArray[np.float32]:
        """Disturb the policy's action, (A,): Gaussian noise of ``std``, now and then a uniform action instead.

        A ``std`` of zero leaves it untouched.
        """
        if std == 0:
            return action
        if self._rng.random() < RANDOM_SHARE:
            return self._rng.uniform(-1, 1, action.shape).astype(np.float32)
        return np.clip(action + std * self._rng.standard_normal(action.shape), -1, 1).astype(np.float32)
