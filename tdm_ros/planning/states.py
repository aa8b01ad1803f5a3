"""Seen states, spread over goal space: candidates for the knots of a plan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning.space import Array, GoalSpace, norm
from tdm_ros.replay import TrajectoryStore

CANDIDATES = 4000
"""States before thinning."""
POSTURE = 0.2
"""Weight of the rest of the state: one standard deviation counts as this part of the goal scale."""


class SeenStates:
    """N seen states in farthest-point order: the first n of them are spread as well.

    Observations (N, O) and achieved goals (N, G) [goal unit]; for ``posture`` see `POSTURE`. Raises ValueError if the
    sizes differ, or there is no state.
    """

    def __init__(self, observation: Array, achieved: Array, space: GoalSpace, posture: float = POSTURE) -> None:
        if len(observation) != len(achieved) or not len(achieved):
            raise ValueError(
                f"observation and achieved must have one length, at least 1, got {len(observation)} and {len(achieved)}"
            )
        self.observation = np.ascontiguousarray(observation, np.float32)
        self.achieved = np.ascontiguousarray(achieved, np.float32)
        self.space = space
        self.posture = posture
        std = self.observation.std(axis=0)
        rest = posture * space.unit / np.sqrt(self.observation.shape[1])
        self._posture_weight: Array = np.where(std > 1e-6, rest / np.maximum(std, 1e-6), 0.0).astype(np.float32)
        self._place = self._place_of(self.achieved)
        self._posture = self.observation * self._posture_weight
        both = np.concatenate([self._place, self._posture], axis=1)
        self._table = -2 * np.ascontiguousarray(both.T), np.einsum("nd,nd->n", both, both)
        self.spacing = self._spacing()
        """Median distance between nearest neighbours [goal unit]."""

    def __len__(self) -> int:
        return len(self.achieved)

    @property
    def extent(self) -> tuple[Array, Array]:
        """Lower and upper corner of the box of all achieved points, (G,) each [goal unit]."""
        return self.achieved.min(axis=0), self.achieved.max(axis=0)

    @classmethod
    def thinned(
        cls, observation: Array, achieved: Array, space: GoalSpace, count: int, posture: float = POSTURE
    ) -> SeenStates:
        """Select ``count`` of N states by farthest-point sampling."""
        every = cls(observation, achieved, space, posture)
        both = np.concatenate([every._place, every._posture], axis=1)
        keep = farthest(both, min(count, len(both)))
        return cls(every.observation[keep], every.achieved[keep], space, posture)

    @classmethod
    def from_store(cls, store: TrajectoryStore, count: int, rng: np.random.Generator) -> SeenStates:
        """Select ``count`` spread states of a replay store. Raises ValueError if it is empty."""
        return cls.thinned(*candidates(store, rng), GoalSpace.of(store.task), count)

    def first(self, count: int) -> SeenStates:
        """First ``count`` states."""
        if count >= len(self):
            return self
        return SeenStates(self.observation[:count], self.achieved[:count], self.space, self.posture)

    def complete(self, knots: Array, like: Array) -> tuple[Array, Array]:
        """Observations (B, O) and achieved goals (B, G) of the nearest seen states to points, (B, G) [goal unit].

        Near also in posture to the states before, ``like``, (B, O).
        """
        query = np.concatenate([self._place_of(knots), like * self._posture_weight], axis=1)
        table, squares = self._table
        index = (query @ table + squares).argmin(axis=1)
        return self.observation[index], self.achieved[index]

    def posture_distance(self, one: Array, other: Array) -> Array:
        """Distance of states apart from goal space, (..., O), (..., O) -> (...) [goal unit]."""
        return norm((one - other) * self._posture_weight)

    def _place_of(self, knots: Array) -> Array:
        """Coordinates with Euclidean distances: an angle becomes a chord."""
        space = self.space
        if not space.wrap.any():
            return knots * space.weight
        turning = knots[:, space.wrap]
        parts = [knots[:, ~space.wrap] * space.weight[~space.wrap]]
        parts += [function(turning) * space.weight[space.wrap] for function in (np.cos, np.sin)]
        return np.concatenate(parts, axis=1)

    def _spacing(self) -> float:
        if len(self) < 2:
            return self.space.unit
        squares = np.einsum("nd,nd->n", self._place, self._place)
        apart = self._place @ (-2 * np.ascontiguousarray(self._place.T)) + squares + squares[:, None]
        np.fill_diagonal(apart, np.inf)
        return float(np.sqrt(np.median(np.maximum(apart.min(axis=1), 0))))


def candidates(store: TrajectoryStore, rng: np.random.Generator) -> tuple[Array, Array]:
    """Observations and achieved goals of at most `CANDIDATES` states of a store, drawn if it has more."""
    draw = store.draw(rng, (CANDIDATES,))
    if len(store) <= CANDIDATES:
        draw = np.arange(store.total - len(store), store.total)
    return store.column("observation", draw), store.column("achieved", draw)


def farthest(points: Array, count: int) -> NDArray[np.intp]:
    """Indices of ``count`` of N points by farthest-point sampling, starting with the one nearest to the mean."""
    chosen = np.zeros(count, np.intp)
    away = np.full(len(points), np.inf)
    newest = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())
    for number in range(count):
        chosen[number] = newest
        gap = points - points[newest]
        away = np.minimum(away, np.einsum("nd,nd->n", gap, gap))
        newest = int(away.argmax())
    return chosen
