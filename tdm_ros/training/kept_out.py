"""Whether the hand stayed out of the keep-outs of a scene, per episode, for the summary of a live run."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.episodes import EpisodeResult
from tdm_ros.control.timeline import Mode
from tdm_ros.tasks import Scene
from tdm_ros.training.metrics import UNSCORED

NEAR_M = 0.03
"""What counts as reached where there is something to keep out of [m]."""
PARTS = np.linspace(0.0, 1.0, 5)
"""Points looked at between two states."""


class KeptOut:
    """Watches the hand.

    Parameters
    ----------
    scene : Scene
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._before: NDArray[np.float64] | None = None
        self._entered = False
        self._trained = self._trained_entered = 0
        self._distances: list[float] = []
        self._evaluated_entered: list[bool] = []

    def on_cycle(self, episode: int, hand_m: ArrayLike) -> None:
        """Take in where the hand is after a cycle, (3,) [m], and to which episode the cycle belonged (0: none)."""
        hand = np.asarray(hand_m, np.float64)
        before = hand if self._before is None else self._before
        if episode:
            way = before + PARTS[:, None] * (hand - before)
            self._entered = self._entered or bool(self._scene.inside(way).any())
        self._before = hand

    def on_episode(self, result: EpisodeResult) -> None:
        """Take in that an episode has ended, with the state that `on_cycle` was told last."""
        entered, self._entered = self._entered, False
        if result.mode == Mode.TRAIN:
            self._trained += 1
            self._trained_entered += entered
        elif result.end not in UNSCORED:
            self._evaluated_entered.append(entered)
            self._distances.append(result.final_distance_m)

    def summary(self) -> dict[str, float] | None:
        """Counts of episodes, or None where there is nothing to keep out of."""
        if not len(self._scene.boxes_m):
            return None
        near = [distance <= NEAR_M for distance in self._distances]
        return {
            "evaluated": len(near),
            "evaluated_entered": sum(self._evaluated_entered),
            "evaluated_reached": sum(a and not b for a, b in zip(near, self._evaluated_entered, strict=True)),
            "within_m": NEAR_M,
            "trained": self._trained,
            "trained_entered": self._trained_entered,
        }
