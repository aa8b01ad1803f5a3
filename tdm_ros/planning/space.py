"""Goal space of a plan: distances, wrapped angles, keep-out boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks import TaskSpec

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
FULL_TURN = np.float32(2 * np.pi)


class GoalSpace:
    """Metric of the goal space.

    ``scale`` is the typical distance per dimension, ``wrap`` whether it is compared modulo one turn, (G,) each. Each
    dimension is weighted by the largest scale over its own; a distance is in the unit of the dimension with the largest
    scale. With equal scales it is the Euclidean distance.
    """

    def __init__(self, scale: ArrayLike, wrap: ArrayLike) -> None:
        self.scale = np.asarray(scale, np.float32)
        self.wrap = np.asarray(wrap, np.bool_)
        self.unit = float(self.scale.max())
        """Largest scale [goal unit]."""
        self.weight: Array = (self.unit / self.scale).astype(np.float32)
        self._wraps = bool(self.wrap.any())

    @classmethod
    def of(cls, task: TaskSpec) -> GoalSpace:
        """Goal space of a task."""
        return cls(task.goal.scale, task.goal.wrap or (False,) * task.goal.size)

    def difference(self, end: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
        """Difference from ``start`` to ``end``, (..., G) [goal unit]."""
        gap = end - start
        if self._wraps:
            gap = gap - FULL_TURN * np.round(gap / FULL_TURN) * self.wrap
        return gap

    def gap(self, end: NDArray[Any], start: NDArray[Any], dims: Mask | None = None) -> NDArray[Any]:
        """Weighted difference, whose norm is a distance; with ``dims``, zero in all other dimensions."""
        weight = self.weight if dims is None else self.weight * dims
        return self.difference(end, start) * weight

    def distance(self, end: NDArray[Any], start: NDArray[Any], dims: Mask | None = None) -> NDArray[Any]:
        """Distance over all dimensions, or over ``dims``: (..., G), (..., G) -> (...) [goal unit]."""
        return norm(self.gap(end, start, dims))


def norm(x: NDArray[Any]) -> NDArray[Any]:
    """Euclidean norm over the last axis; twice as fast as NumPy's for short vectors."""
    return np.sqrt(np.einsum("...g,...g->...", x, x))


Floats = NDArray[np.float64]
_GRAZE = 1e-6
"""Segments with a smaller part of their length inside a box only touch it."""


@dataclass(frozen=True, eq=False)
class KeepOut:
    """K axis-aligned boxes.

    Raises ValueError if the shape is wrong, a corner is NaN, or a lower corner is above its upper one.
    """

    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2, 1)))
    """(K, 2, D): lower and upper corner of each [goal unit]."""
    dims: tuple[int, ...] = (0,)
    """D goal dimensions of the boxes."""

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, np.float64)
        if boxes.ndim != 3 or boxes.shape[1:] != (2, len(self.dims)):
            raise ValueError(f"keep-out boxes must have shape (K, 2, {len(self.dims)}), got {boxes.shape}")
        if np.isnan(boxes).any() or (boxes[:, 0] > boxes[:, 1]).any():
            raise ValueError(f"each keep-out box must have its lower corner below its upper one, got {boxes.tolist()}")
        object.__setattr__(self, "boxes", boxes)

    def __len__(self) -> int:
        return len(self.boxes)

    def contains(self, point: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Whether points are inside a box grown by ``margin``: (..., G) [goal unit] -> (...)."""
        found: NDArray[np.bool_] = self.clearance(point) < margin
        return found

    def clearance(self, point: ArrayLike) -> Floats:
        """Distance to the nearest box, (..., G) -> (...) [goal unit]; negative inside."""
        p = np.asarray(point, np.float64)[..., None, self.dims]
        apart: Floats = np.maximum(self.boxes[:, 0] - p, p - self.boxes[:, 1]).max(axis=-1)
        return apart.min(axis=-1, initial=np.inf)

    def crosses(
        self, start: ArrayLike, end: ArrayLike, margin: ArrayLike = 0.0, may_leave: ArrayLike = False
    ) -> NDArray[np.bool_]:
        """Whether straight segments enter a box grown by ``margin``; touching is not entering.

        (..., G), (..., G) [goal unit], float or (...) [goal unit], bool or (...) -> (...). A segment that ``may_leave``
        may start inside a box, if it ends outside.
        """
        enter, leave = self._inside(start, end, margin)
        found: NDArray[np.bool_] = np.any(_crossed(enter, leave, may_leave), axis=-1)
        return found

    def depth(self, start: ArrayLike, end: ArrayLike, margin: ArrayLike = 0.0, may_leave: ArrayLike = False) -> Floats:
        """Distance by which segments must be moved, sideways or back, to be free of the boxes; summed over boxes.

        As `crosses` -> (...) [goal unit], positive exactly where `crosses` is true.
        """
        enter, leave = self._inside(start, end, margin)
        crossed = _crossed(enter, leave, may_leave)
        if not crossed.any():
            return np.zeros(crossed.shape[:-1])
        s, e = (np.asarray(x, np.float64)[..., None, self.dims] for x in (start, end))
        grown = np.asarray(margin, np.float64)[..., None, None]
        first, last = s + enter[..., None] * (e - s), s + leave[..., None] * (e - s)
        low = np.maximum(first, last) - (self.boxes[:, 0] - grown)
        high = (self.boxes[:, 1] + grown) - np.minimum(first, last)
        away = np.minimum(low, high).min(axis=-1)
        return np.where(crossed, np.maximum(away, 1e-9), 0.0).sum(axis=-1)

    def _inside(self, start: ArrayLike, end: ArrayLike, margin: ArrayLike) -> tuple[Floats, Floats]:
        """Parts of its length at which a segment enters and leaves each box, (..., K) each; reversed if it misses it.

        Source: the slab method of ray tracing.
        """
        s, e = (np.asarray(x, np.float64)[..., None, self.dims] for x in (start, end))
        delta = np.broadcast_to(e - s, np.broadcast_shapes(s.shape, e.shape, self.boxes[:, 0].shape))
        grown = np.asarray(margin, np.float64)[..., None, None]
        still = np.abs(delta) < 1e-12
        slope = 1 / np.where(still, 1.0, delta)
        low, high = (self.boxes[:, 0] - grown - s), (self.boxes[:, 1] + grown - s)
        near, far = np.minimum(low * slope, high * slope), np.maximum(low * slope, high * slope)
        within = (low < 0) & (high > 0)
        near = np.where(still, np.where(within, -np.inf, np.inf), near)
        far = np.where(still, np.where(within, np.inf, -np.inf), far)
        return np.clip(near.max(axis=-1), 0, 1), np.clip(far.min(axis=-1), 0, 1)


def _crossed(enter: Floats, leave: Floats, may_leave: ArrayLike) -> NDArray[np.bool_]:
    leaving = np.asarray(may_leave, np.bool_)[..., None] & (enter <= 0) & (leave < 1)
    crossed: NDArray[np.bool_] = (leave - enter > _GRAZE) & ~leaving
    return crossed
