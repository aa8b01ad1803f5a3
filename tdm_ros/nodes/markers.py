"""Markers for RViz: plan and keep-outs, reachability, and the interactive marker of the goal.

The latter implements the part of ROS's `interactive_markers` protocol that it needs: ``<name>/update``,
``<name>/feedback`` and the service ``<name>/get_interactive_markers``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped
from numpy.typing import ArrayLike, NDArray
from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerControl,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
    Marker,
    MarkerArray,
)
from visualization_msgs.srv import GetInteractiveMarkers

from tdm_ros.nodes import qos
from tdm_ros.nodes.node_runner import every
from tdm_ros.nodes.subscriptions import listen

KNOT_M, PATH_M = 0.03, 0.008
Colour = tuple[float, float, float, float]
ORIGIN = (0.0, 0.0, 0.0)
RED, WHITE = (0.8, 0.2, 0.2, 0.35), (0.9, 0.9, 0.9, 0.8)


def colour_of(miss: float, acceptable: float) -> Colour:
    """Colour of a predicted miss: green for 0, yellow, then red from ``acceptable`` on."""
    part = float(np.clip(miss / acceptable, 0.0, 1.0)) if np.isfinite(miss) else 1.0
    return (min(2 * part, 1.0), min(2 - 2 * part, 1.0), 0.1, 1.0)


def markers(
    hand_m: ArrayLike, knots_m: ArrayLike, miss_m: Sequence[float], acceptable_m: float, boxes_m: ArrayLike, stamp: Time
) -> MarkerArray:
    """Return a plan and its keep-outs as markers; each array replaces all earlier ones.

    ``hand_m`` (3,) is the start of the plan, ``knots_m`` (n, 3) are its subgoals (n = 0 without a plan), ``miss_m``
    (n,) the predicted distances from these, and ``acceptable_m`` the largest one of an acceptable plan. ``boxes_m`` (K,
    2, 3) are lower and upper corners; infinite ones are clipped.
    """
    made = [shape(stamp, "clear", 0, Marker.CUBE, (1, 1, 1), WHITE)]
    made[0].action = Marker.DELETEALL
    for number, (low, high) in enumerate(np.clip(np.asarray(boxes_m, np.float64).reshape(-1, 2, 3), -2.0, 2.0)):
        made.append(shape(stamp, "keep_out", number, Marker.CUBE, high - low, RED, (low + high) / 2))
    knots = np.asarray(knots_m, np.float64).reshape(-1, 3)
    for number, (knot, miss) in enumerate(zip(knots, miss_m, strict=True)):
        made.append(shape(stamp, "subgoal", number, Marker.SPHERE, (KNOT_M,) * 3, colour_of(miss, acceptable_m), knot))
    if len(knots):
        path = shape(stamp, "path", 0, Marker.LINE_STRIP, (PATH_M, 0, 0), WHITE)
        path.points = [point(at) for at in [np.asarray(hand_m, np.float64), *knots]]
        made.append(path)
    return MarkerArray(markers=made)


def shape(
    stamp: Time, space: str, number: int, kind: int, size: ArrayLike, colour: Colour, at_m: ArrayLike = ORIGIN
) -> Marker:
    """Marker without a frame: size (3,) [m], colour (r, g, b, opacity) in [0, 1], position (3,) [m]."""
    marker = Marker(ns=space, id=number, type=kind, action=Marker.ADD)
    marker.pose.position = point(np.asarray(at_m, np.float64))
    marker.header.stamp = stamp
    marker.pose.orientation.w = 1.0
    marker.scale.x, marker.scale.y, marker.scale.z = (float(x) for x in np.asarray(size))
    marker.color = ColorRGBA(**dict(zip("rgba", map(float, colour), strict=True)))
    return marker


def in_frame(array: MarkerArray, frame: str) -> MarkerArray:
    """Return markers with their poses in a frame of this name."""
    for marker in array.markers:
        marker.header.frame_id = frame
    return array


def point(values: NDArray[np.float64]) -> Point:
    """Return a position, (3,) [m], as a message."""
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))


CELLS = 24
RED_M = 0.2  # predicted distance from which a square is red [m]; 0 is green
THICK_M, OPACITY = 0.002, 0.5


def reach_markers(goals_m: NDArray[np.float64], distance_m: NDArray[np.float64], stamp: Time) -> MarkerArray:
    """Return a square per goal (N, 3) [m], in the colour of the predicted distance (N,) [m]."""
    width_m, depth_m = (np.ptp(goals_m[:, axis]) / (CELLS - 1) for axis in (0, 1))
    plane = shape(stamp, "reachability", 0, Marker.CUBE_LIST, (width_m, depth_m, THICK_M), WHITE)
    plane.points = [point(goal) for goal in goals_m]
    for miss_m in distance_m:
        red, green, blue, _ = colour_of(float(miss_m), RED_M)
        plane.colors.append(ColorRGBA(r=red, g=green, b=blue, a=OPACITY))
    return MarkerArray(markers=[plane])


NAME = "goal"
KEEP_ALIVE_S = 0.5
HELD_S = 5.0  # time without feedback after which the marker counts as released: RViz may have been closed [s]
SCALE_M, BALL_M = 0.15, 0.04
YELLOW = (1.0, 0.8, 0.1, 0.9)
HALF = float(np.sqrt(0.5))
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 0.0, 1.0), "z": (0.0, 1.0, 0.0)}
"""Vector part, before scaling, of the quaternion that rotates x to each axis: a control moves along its own x."""


class GoalMarker:
    """Interactive marker of the goal; the node publishes ``goal`` when the operator releases it."""

    def __init__(self, node: Node, frame: str) -> None:
        self._node, self._frame = node, frame
        self._seq = 0
        self._at_m: NDArray[np.float64] = np.zeros(3)
        self._dragged_s = -math.inf
        self._updates = node.create_publisher(InteractiveMarkerUpdate, "goal_marker/update", qos.MARKER)
        self._goals = node.create_publisher(PoseStamped, "goal", qos.GOAL)
        listen(node, InteractiveMarkerFeedback, "goal_marker/feedback", self._on_feedback, qos.MARKER)
        node.create_service(GetInteractiveMarkers, "goal_marker/get_interactive_markers", self._on_get)
        every(node, KEEP_ALIVE_S, lambda: self._publish(InteractiveMarkerUpdate.KEEP_ALIVE))

    def move(self, at_m: NDArray[np.float64]) -> None:
        """Show the goal, (3,) [m] in frame base, unless the operator drags the marker."""
        if self._dragged or np.array_equal(at_m, self._at_m):
            return
        self._at_m = np.array(at_m, np.float64)
        self._seq += 1
        pose = InteractiveMarkerPose(name=NAME)
        pose.header.frame_id = self._frame
        pose.pose = self._marker().pose
        self._publish(InteractiveMarkerUpdate.UPDATE, [pose])

    @property
    def _dragged(self) -> bool:
        return time.monotonic() - self._dragged_s < HELD_S

    def _publish(self, kind: int, poses: list[InteractiveMarkerPose] | None = None) -> None:
        update = InteractiveMarkerUpdate(server_id=self._node.get_name(), seq_num=self._seq, type=kind)
        update.poses = poses or []
        self._updates.publish(update)

    def _on_get(self, request: Any, response: Any) -> Any:
        response.sequence_number, response.markers = self._seq, [self._marker()]
        return response

    def _on_feedback(self, message: InteractiveMarkerFeedback) -> None:
        """Publish the position at which the operator releases the marker as the goal."""
        if message.marker_name != NAME or not getattr(self._node, "active", True):
            return
        if message.event_type in (InteractiveMarkerFeedback.MOUSE_DOWN, InteractiveMarkerFeedback.POSE_UPDATE):
            self._dragged_s = time.monotonic()
        elif message.event_type == InteractiveMarkerFeedback.MOUSE_UP and self._dragged:
            self._dragged_s = -math.inf
            goal = PoseStamped(pose=message.pose)
            goal.header.frame_id = message.header.frame_id or self._frame
            goal.header.stamp = self._node.get_clock().now().to_msg()
            self._goals.publish(goal)

    def _marker(self) -> InteractiveMarker:
        marker = InteractiveMarker(name=NAME, description="goal", scale=SCALE_M)
        marker.header.frame_id = self._frame
        marker.pose.position = point(self._at_m)
        marker.pose.orientation.w = 1.0
        ball = shape(self._node.get_clock().now().to_msg(), "goal", 0, Marker.SPHERE, (BALL_M,) * 3, YELLOW)
        ball.header.frame_id = self._frame
        anywhere = InteractiveMarkerControl(
            name="anywhere", interaction_mode=InteractiveMarkerControl.MOVE_3D, always_visible=True, markers=[ball]
        )
        anywhere.orientation.w = 1.0
        marker.controls = [anywhere]
        for axis, direction in AXES.items():
            control = InteractiveMarkerControl(name=axis, interaction_mode=InteractiveMarkerControl.MOVE_AXIS)
            turn = control.orientation
            turn.w, turn.x, turn.y, turn.z = HALF, *(HALF * part for part in direction)
            marker.controls.append(control)
        return marker
