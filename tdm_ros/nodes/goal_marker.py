"""Goal as an interactive marker of RViz: the arm goes there when the marker is released.

It speaks the topics of ROS's `interactive_markers` (``<name>/update``, ``<name>/feedback`` and the service
``<name>/get_interactive_markers``), of which only this little is needed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerControl,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
    Marker,
)
from visualization_msgs.srv import GetInteractiveMarkers

from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import BASE_FRAME
from tdm_ros.nodes.inputs import listen
from tdm_ros.nodes.node_runner import every
from tdm_ros.nodes.plan_markers import point, shape

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
