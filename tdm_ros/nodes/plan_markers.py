"""Markers of a plan for RViz: subgoals, coloured by predicted distance, and keep-outs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.nodes.convert import BASE_FRAME

KNOT_M, WAY_M = 0.03, 0.008
RED, WHITE = (0.8, 0.2, 0.2, 0.35), (0.9, 0.9, 0.9, 0.8)


def colour_of(miss: float, acceptable: float) -> tuple[float, float, float, float]:
    """Green where a subgoal is expected to be met, over yellow to red where it would just not do any more."""
    part = float(np.clip(miss / acceptable, 0.0, 1.0)) if np.isfinite(miss) else 1.0
    return (min(2 * part, 1.0), min(2 - 2 * part, 1.0), 0.1, 1.0)


def markers(
    hand_m: ArrayLike, knots_m: ArrayLike, miss_m: Sequence[float], acceptable_m: float, boxes_m: ArrayLike, stamp: Time
) -> MarkerArray:
    """A plan and its keep-outs as markers; each array replaces all that came before.

    Parameters
    ----------
    hand_m : (3,) [m]
        Where the plan begins.
    knots_m : (n, 3) [m]
        Its subgoals; n is 0 where there is no plan.
    miss_m : (n,) [m]
        Predicted miss of each.
    acceptable_m : float
        Miss with which a plan would just not do [m].
    boxes_m : (K, 2, 3) [m]
        Lower and upper corners of the keep-outs; those without end are cut.
    stamp : Time
    """
    made = [shape(stamp, "clear", 0, Marker.CUBE, (1, 1, 1), WHITE)]
    made[0].action = Marker.DELETEALL
    for number, (low, high) in enumerate(np.clip(np.asarray(boxes_m, np.float64).reshape(-1, 2, 3), -2.0, 2.0)):
        box = shape(stamp, "keep_out", number, Marker.CUBE, high - low, RED)
        box.pose.position = point((low + high) / 2)
        made.append(box)
    knots = np.asarray(knots_m, np.float64).reshape(-1, 3)
    for number, (knot, miss) in enumerate(zip(knots, miss_m, strict=True)):
        ball = shape(stamp, "subgoal", number, Marker.SPHERE, (KNOT_M,) * 3, colour_of(miss, acceptable_m))
        ball.pose.position = point(knot)
        made.append(ball)
    if len(knots):
        way = shape(stamp, "way", 0, Marker.LINE_STRIP, (WAY_M, 0, 0), WHITE)
        way.points = [point(at) for at in [np.asarray(hand_m, np.float64), *knots]]
        made.append(way)
    return MarkerArray(markers=made)


def shape(stamp: Time, space: str, number: int, kind: int, size: ArrayLike, colour: tuple[float, ...]) -> Marker:
    """A marker in frame base, of a size (3,) [m] and a colour (r, g, b, opacity), each in [0, 1]."""
    marker = Marker(ns=space, id=number, type=kind, action=Marker.ADD)
    marker.header.stamp = stamp
    marker.header.frame_id = BASE_FRAME
    marker.pose.orientation.w = 1.0
    marker.scale.x, marker.scale.y, marker.scale.z = (float(x) for x in np.asarray(size))
    marker.color = ColorRGBA(**dict(zip("rgba", map(float, colour), strict=True)))
    return marker


def point(values: NDArray[np.float64]) -> Point:
    """A place, (3,) [m], as a message."""
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))
