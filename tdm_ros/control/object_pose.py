"""Position of the object that is pushed, as the arm receives it, and why it cannot be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks.pushing import PushSetup

STALE_S = 0.25
"""Silence after which the position is unknown [s]."""
JUMP_M_S = 1.5
"""Speed that no pushed object has: somebody moved it, or its detection is wrong [m/s]."""
SETTLE_S = 0.5
"""Time after a jump for which the object is not believed [s]."""


class ObjectPose:
    """Newest position of the object, (2,) [m] in the base frame. Time is injected."""

    def __init__(self, setup: PushSetup) -> None:
        self._setup = setup
        self._position_m: NDArray[np.float64] = np.zeros(0)
        self._received_s = self._jumped_s = -np.inf
        self._jump_m = 0.0

    def receive(self, point_m: ArrayLike, now_s: float) -> str:
        """Store a position, x and y of (3,) [m]; return "" or why it cannot be used."""
        point = np.asarray(point_m, np.float64)
        if point.shape != (3,) or not np.isfinite(point).all():
            return f"expected three finite coordinates [m], got {point.tolist()}"
        if self._position_m.size:
            moved_m = float(np.linalg.norm(point[:2] - self._position_m))
            if moved_m > JUMP_M_S * max(now_s - self._received_s, 0.05):
                self._jumped_s, self._jump_m = now_s, moved_m
        self._position_m, self._received_s = point[:2].copy(), now_s
        return ""

    def known_m(self, now_s: float) -> NDArray[np.float64]:
        """Position of the object, (2,) [m]; empty while it cannot be trusted, so that nothing is learned from it."""
        return np.zeros(0) if self._unknown(now_s) else self._position_m

    def problem(self, now_s: float) -> str:
        """Why nothing may be pushed now, or ""."""
        unknown = self._unknown(now_s)
        if unknown or self._setup.movable(self._position_m):
            return unknown
        x, y = self._position_m
        return f"the object is out of reach, at ({x:.2f}, {y:.2f}) m: put it back"

    def _unknown(self, now_s: float) -> str:
        if not self._position_m.size:
            return "no pose of the object was received: publish it on object_pose"
        if (old_s := now_s - self._received_s) > STALE_S:
            return f"the pose of the object is {old_s:.1f} s old: publish it on object_pose at 20 Hz or more"
        if now_s - self._jumped_s < SETTLE_S:
            return f"the object jumped by {self._jump_m:.2f} m"
        return ""
