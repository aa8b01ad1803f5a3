"""Markers for RViz: plan and keep-outs, reachability, and the goal to drag.

It speaks the topics of ROS's `interactive_markers` (``<name>/update``, ``<name>/feedback`` and the service
``<name>/get_interactive_markers``), of which only this little is needed.
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
from tdm_ros.nodes.convert import BASE_FRAME
from tdm_ros.nodes.node_runner import every
from tdm_ros.nodes.subscriptions import listen

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


NAME = "goal"
KEEP_ALIVE_S = 0.5
HELD_S = 5.0
"""An RViz that was last heard so long ago holds the marker no more: it may be gone."""
SCALE_M, BALL_M = 0.15, 0.04
YELLOW = (1.0, 0.8, 0.1, 0.9)
HALF = float(np.sqrt(0.5))
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 0.0, 1.0), "z": (0.0, 1.0, 0.0)}
"""A control moves along its own x: the vector part of the quaternion that turns x to each axis, before scaling."""


class GoalMarker:
    """The marker of one goal.

    Parameters
    ----------
    node : Node
        Whose namespace it is in; publishes ``goal`` when a person lets the marker go.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seq = 0
        self._at_m: NDArray[np.float64] = np.zeros(3)
        self._dragged_s = -math.inf
        self._updates = node.create_publisher(InteractiveMarkerUpdate, "goal_marker/update", qos.MARKER)
        self._goals = node.create_publisher(PoseStamped, "goal", qos.GOAL)
        listen(node, InteractiveMarkerFeedback, "goal_marker/feedback", self._on_feedback, qos.MARKER)
        node.create_service(GetInteractiveMarkers, "goal_marker/get_interactive_markers", self._on_get)
        every(node, KEEP_ALIVE_S, lambda: self._publish(InteractiveMarkerUpdate.KEEP_ALIVE))

    def move(self, at_m: NDArray[np.float64]) -> None:
        """Show the goal, (3,) [m] in frame base; a marker that is being dragged stays in the person's hand."""
        if self._dragged or np.array_equal(at_m, self._at_m):
            return
        self._at_m = np.array(at_m, np.float64)
        self._seq += 1
        pose = InteractiveMarkerPose(name=NAME)
        pose.header.frame_id = BASE_FRAME
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
        """Ask for a goal where the marker is let go."""
        if message.marker_name != NAME:
            return
        if message.event_type in (InteractiveMarkerFeedback.MOUSE_DOWN, InteractiveMarkerFeedback.POSE_UPDATE):
            self._dragged_s = time.monotonic()
        elif message.event_type == InteractiveMarkerFeedback.MOUSE_UP and self._dragged:
            self._dragged_s = -math.inf
            goal = PoseStamped(pose=message.pose)
            goal.header.frame_id = message.header.frame_id or BASE_FRAME
            goal.header.stamp = self._node.get_clock().now().to_msg()
            self._goals.publish(goal)

    def _marker(self) -> InteractiveMarker:
        marker = InteractiveMarker(name=NAME, description="goal", scale=SCALE_M)
        marker.header.frame_id = BASE_FRAME
        marker.pose.position = point(self._at_m)
        marker.pose.orientation.w = 1.0
        ball = shape(self._node.get_clock().now().to_msg(), "goal", 0, Marker.SPHERE, (BALL_M,) * 3, YELLOW)
        anywhere = InteractiveMarkerControl(
            name="anywhere", interaction_mode=InteractiveMarkerControl.MOVE_3D, always_visible=True, markers=[ball]
        )
        anywhere.orientation.w = 1.0
        marker.controls = [anywhere, *(self._along(axis) for axis in AXES)]
        return marker

    @staticmethod
    def _along(axis: str) -> InteractiveMarkerControl:
        control = InteractiveMarkerControl(name=axis, interaction_mode=InteractiveMarkerControl.MOVE_AXIS)
        turn = control.orientation
        turn.w = HALF
        turn.x, turn.y, turn.z = (HALF * part for part in AXES[axis])
        return control
