"""`scene`: markers for RViz and Foxglove: goal, safety box, trajectory of the hand."""

from __future__ import annotations

from collections import deque

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.task import Future
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.control.timeline import State
from tdm_ros.control.validation import Rejections
from tdm_ros.msg import ArmState, Episode
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import to_announcement
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.markers import GoalMarker, point, shape
from tdm_ros.nodes.node_runner import every, run
from tdm_ros.nodes.parameters import Declared, SceneParameters, vector
from tdm_ros.nodes.subscriptions import listen
from tdm_ros.tasks import SAWYER_REACH

GOAL_M, LINE_M = 0.03, 0.004
GREEN, ORANGE, BLUE = (0.1, 0.8, 0.2, 0.9), (1.0, 0.6, 0.1, 0.8), (0.2, 0.5, 1.0, 0.8)
CORNERS = ("limits.hand_box.low_m", "limits.hand_box.high_m")
EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))
"""Of a box whose corner k is high in axis a where bit a of k is set."""


class SceneNode(Node):
    """Draws at a few hertz; nothing depends on it."""

    def __init__(self) -> None:
        super().__init__("scene")
        given = Declared(self, SceneParameters).values
        self.task = SAWYER_REACH[given.actuation]
        self.rejections = Rejections(self.get_logger().warning)
        self._trail: deque[NDArray[np.float64]] = deque(maxlen=max(1, round(given.trail_s * given.rate_hz)))
        self._hand_m: NDArray[np.float64] | None = None
        self._goal_m: NDArray[np.float64] | None = None
        self._box_m: NDArray[np.float64] | None = None
        self._asked: Future | None = None
        self._marker = GoalMarker(self)
        self._markers = self.create_publisher(MarkerArray, "scene_markers", qos.LATCHED)
        self._arm_parameters = self.create_client(GetParameters, "arm/get_parameters")
        listen(self, ArmState, "arm_state", self._on_state, qos.STATE)
        listen(self, Episode, "episode", self._on_episode, qos.EPISODE)
        self._diagnostics = Diagnostics(self, self.rejections, self._values)
        every(self, 1.0 / given.rate_hz, self._draw)
        every(self, 1.0, self._ask_box)

    def _on_state(self, message: ArmState) -> None:
        at = message.hand.position
        hand_m = np.array([at.x, at.y, at.z])
        if np.isfinite(hand_m).all():
            self._hand_m = hand_m
        else:
            self.rejections.reject("arm_state: not finite")

    def _on_episode(self, message: Episode) -> None:
        told, problem = to_announcement(self, message, self.task)
        if told is None:
            self.rejections.reject(f"episode: {problem}", f"task {message.task or 'none'}")
        elif told.state == State.RUNNING and len(told.goal) == 3:
            self._goal_m = np.asarray(told.goal, np.float64)
            self._marker.move(self._goal_m)

    def _ask_box(self) -> None:
        """Ask the node arm for the box that it keeps the hand in, until it has said."""
        if self._box_m is None and self._asked is None and self._arm_parameters.service_is_ready():
            self._asked = self._arm_parameters.call_async(GetParameters.Request(names=list(CORNERS)))
            self._asked.add_done_callback(self._on_box)

    def _on_box(self, answered: Future) -> None:
        self._asked = None
        corners = [tuple(value.double_array_value) for value in answered.result().values]
        try:
            for corner in corners:
                vector(corner)
            self._box_m = np.array(corners)
        except ValueError as error:
            self.rejections.reject("box of the arm", str(error))

    def _draw(self) -> None:
        stamp = self.get_clock().now().to_msg()
        made = []
        if self._hand_m is not None:
            self._trail.append(self._hand_m)
            trail = shape(stamp, "trail", 0, Marker.LINE_STRIP, (LINE_M, 0, 0), BLUE)
            trail.points = [point(at) for at in self._trail]
            made += [trail] if len(self._trail) > 1 else []
        if self._goal_m is not None:
            ball = shape(stamp, "goal", 0, Marker.SPHERE, (GOAL_M,) * 3, GREEN)
            ball.pose.position = point(self._goal_m)
            made.append(ball)
        if self._box_m is not None:
            box = shape(stamp, "safety_box", 0, Marker.LINE_LIST, (LINE_M, 0, 0), ORANGE)
            box.points = edges(self._box_m)
            made.append(box)
        if made:
            self._markers.publish(MarkerArray(markers=made))

    def _values(self) -> dict[str, object]:
        return {"goal": self._goal_m is not None, "box": self._box_m is not None, "trail": len(self._trail)}


def edges(box_m: NDArray[np.float64]) -> list[Point]:
    """Ends of the twelve edges of a box, (2, 3) [m]: 24 points."""
    corners = [np.array([box_m[(k >> axis) & 1, axis] for axis in range(3)]) for k in range(8)]
    return [point(corners[k]) for edge in EDGES for k in edge]


def main() -> int:
    """Run the node until a signal."""
    return run(SceneNode)
