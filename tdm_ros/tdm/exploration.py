"""Exploration in action space, numpy only: the 20 Hz loop and offline training explore alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RANDOM_SHARE = 0.1
"""Part of the steps in which the policy's action is replaced by a uniform one."""
MEMORY, KICK = 0.85, 0.5
"""Random phase: a <- MEMORY a + KICK N(0, 1), so that the arm goes somewhere instead of trembling."""
PULL = 0.1
"""Ornstein-Uhlenbeck noise: n <- (1 - PULL) n + std N(0, 1)."""


class Exploration:
    """Source of exploratory actions.

    Parameters
    ----------
    actions : int
        Number A of action dimensions.
    rng : numpy.random.Generator
    walk : "gaussian" or "ou"
        Independent noise and now and then a uniform action, or an Ornstein-Uhlenbeck process (the paper).
    """

    def __init__(self, actions: int, rng: np.random.Generator, walk: str = "gaussian") -> None:
        self._rng = rng
        self._correlated = walk == "ou"
        self._walk = np.zeros(actions)

    def random(self) -> NDArray[np.float32]:
        """Next action of the random phase: correlated over time, (A,) in [-1, 1]."""
        self._walk = np.clip(MEMORY * self._walk + KICK * self._rng.standard_normal(self._walk.shape), -1, 1)
        return self._walk.astype(np.float32)

    def noisy(self, action: NDArray[np.float32], std: float) -> NDArray[np.float32]:
        """Disturb the policy's action, (A,), by noise of ``std``; zero leaves it untouched."""
        if std == 0:
            return action
        if self._correlated:
            self._walk = (1 - PULL) * self._walk + std * self._rng.standard_normal(action.shape)
            return np.clip(action + self._walk, -1, 1).astype(np.float32)
        if self._rng.random() < RANDOM_SHARE:
            return self._rng.uniform(-1, 1, action.shape).astype(np.float32)
        return np.clip(action + std * self._rng.standard_normal(action.shape), -1, 1).astype(np.float32)
