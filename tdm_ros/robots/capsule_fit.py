"""Capsules around collision shapes: of little volume, with every triangle inside one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tdm_ros.robots.description import Array
from tdm_ros.robots.tree import Part

SPLITS = 2
"""A link's shapes are halved so often at most: four capsules."""

GAIN = 0.7
"""Two capsules replace one if their volume is this share of it or less."""

CUTS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Places of a cut that are tried, as shares of the shape's extent."""

GRID_M = 1e-4
"""Ends are rounded to it, and radii rounded up."""

MANY = 1000
"""Cuts are compared with about so many of the triangles; the capsules enclose all of them."""

STEPS = 40
DIRECTIONS = 48
"""Steps of the search for the centre of a circle, and directions in which the outermost points count for it; its radius
is that of all points."""


class Fit(NamedTuple):
    """Ends, (2, 3) [m], and radius [m] of a capsule."""

    ends_m: Array
    radius_m: float

    @property
    def volume_m3(self) -> float:
        """Volume, with its round ends."""
        length = float(np.linalg.norm(self.ends_m[1] - self.ends_m[0]))
        return float(np.pi * self.radius_m**2 * (length + 4 / 3 * self.radius_m))


def capsules_around(parts: Sequence[Part]) -> list[Fit]:
    """Capsules around all shapes of a link: those with a radius are kept; triangles are enclosed together, or, if that
    takes less volume, shape by shape."""
    fits = [Fit(part.triangles_m[0, :2], part.radius_m) for part in parts if part.radius_m]
    flat = [part.triangles_m for part in parts if not part.radius_m]
    if flat:
        ways = [_split(np.concatenate(flat), SPLITS)]
        if len(flat) <= 2**SPLITS:
            ways.append([enclosing(triangles_m.reshape(-1, 3)) for triangles_m in flat])
        fits += min(ways, key=lambda way: sum(fit.volume_m3 for fit in way))
    return [_rounded(fit) for fit in fits]


def _split(triangles_m: Array, splits: int) -> list[Fit]:
    """One capsule around triangles, (T, 3, 3), or those around two parts of them if they are much smaller."""
    cut = _best_cut(triangles_m[:: max(1, len(triangles_m) // MANY)]) if splits else None
    if cut is None:
        return [enclosing(triangles_m.reshape(-1, 3))]
    low = triangles_m.mean(axis=1) @ cut[0] < cut[1]
    return [fit for half in (triangles_m[low], triangles_m[~low]) for fit in _split(half, splits - 1)]


def _best_cut(triangles_m: Array) -> tuple[Array, float] | None:
    """Direction, (3,), and place [m] of the cut whose two capsules are smallest; None if one capsule is good enough."""
    points = triangles_m.reshape(-1, 3)
    best, cut = GAIN * enclosing(points).volume_m3, None
    for axis in _axes(points):
        middle = triangles_m.mean(axis=1) @ axis
        for share in CUTS:
            place = float(middle.min() + share * np.ptp(middle))
            low = middle < place
            if low.all() or not low.any():
                continue
            both = sum(enclosing(half.reshape(-1, 3)).volume_m3 for half in (triangles_m[low], triangles_m[~low]))
            if both < best:
                best, cut = both, (axis, place)
    return cut


def _axes(points: Array) -> Array:
    """Principal axes, (3, 3), of points in rows."""
    return np.asarray(np.linalg.eigh(np.cov((points - points.mean(axis=0)).T))[1].T)


def enclosing(points_m: Array) -> Fit:
    """Capsule along one of the principal axes of points, (N, 3), with all of them inside and the least volume."""
    return min((_along(points_m, axis) for axis in _axes(points_m)), key=lambda fit: fit.volume_m3)


def _along(points: Array, axis: Array) -> Fit:
    side = np.linalg.svd(axis[None])[2][1:]
    flat, height = points @ side.T, points @ axis
    centre = _centre(flat)
    away2 = np.square(flat - centre).sum(axis=1)
    radius = float(np.sqrt(away2.max()))
    spare = np.sqrt(np.maximum(radius**2 - away2, 0.0))
    low, high = float((height + spare).min()), float((height - spare).max())
    if low > high:  # one ball encloses them all
        low = high = (low + high) / 2
    middle = centre @ side
    return Fit(np.array([middle + low * axis, middle + high * axis]), radius)


def _centre(flat: Array) -> Array:
    """Centre of about the smallest circle around points, (N, 2).

    Source: Badoiu and Clarkson, Smaller core-sets for balls (2003): ever smaller steps to the farthest point.
    """
    turn = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    outer = flat[np.unique((flat @ np.stack([np.cos(turn), np.sin(turn)])).argmax(axis=0))]
    centre = (outer.min(axis=0) + outer.max(axis=0)) / 2
    for step in range(2, STEPS):
        farthest = outer[np.square(outer - centre).sum(axis=1).argmax()]
        centre = centre + (farthest - centre) / step / 2
    return np.asarray(centre)


def _rounded(fit: Fit) -> Fit:
    ends = np.round(fit.ends_m / GRID_M) * GRID_M
    shift = float(np.linalg.norm(ends - fit.ends_m, axis=1).max())
    return Fit(ends, float(np.ceil((fit.radius_m + shift) / GRID_M) * GRID_M))
