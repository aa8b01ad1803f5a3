"""Views and markers of rendered images. Needs no OpenGL library."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import ArrayLike


class View(NamedTuple):
    """Position of a camera relative to the point that it looks at."""

    lookat_m: tuple[float, float, float]
    distance_m: float
    azimuth_deg: float
    elevation_deg: float


class Marker(NamedTuple):
    """Ball that marks a goal in an image."""

    position_m: ArrayLike
    radius_m: float
    rgba: tuple[float, float, float, float] = (0.1, 0.75, 0.25, 0.9)


class Block(NamedTuple):
    """Box that marks a region in an image."""

    low_m: ArrayLike
    high_m: ArrayLike
    rgba: tuple[float, float, float, float] = (0.85, 0.25, 0.2, 0.35)


ARM_VIEW = View((0.34, 0.02, 0.07), 2.05, 128.0, -12.0)
GOAL_RADIUS_M = 0.025
"""Radius of the marker of a hand's goal."""
