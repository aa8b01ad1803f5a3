"""Reachability map as a marker for RViz: a plane of squares, green where the goal is predicted to be reached."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.nodes.plan_markers import WHITE, colour_of, point, shape

CELLS = 24
RED_M = 0.2
"""Expected distance at which a square is red [m]; green is at the goal."""
THICK_M, OPACITY = 0.002, 0.5


def reach_markers(goals_m: NDArray[np.float64], distance_m: NDArray[np.float64], stamp: Time) -> MarkerArray:
    """A square for each of the goals (N, 3) [m], in the colour of the expected distance (N,) [m]."""
    width_m, depth_m = (np.ptp(goals_m[:, axis]) / (CELLS - 1) for axis in (0, 1))
    plane = shape(stamp, "reachability", 0, Marker.CUBE_LIST, (width_m, depth_m, THICK_M), WHITE)
    plane.points = [point(goal) for goal in goals_m]
    for miss_m in distance_m:
        red, green, blue, _ = colour_of(float(miss_m), RED_M)
        plane.colors.append(ColorRGBA(r=red, g=green, b=blue, a=OPACITY))
    return MarkerArray(markers=[plane])
