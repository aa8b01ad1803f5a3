"""`scene`: frames and description of the arm, and markers: goal, safety box, trajectory of the hand."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters
from rclpy.task import Future
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, State
from tdm_ros.msg import ArmState, Episode
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import announcements, states
from tdm_ros.nodes.frames import ArmFrames
from tdm_ros.nodes.markers import GoalMarker, in_frame, point, shape
from tdm_ros.nodes.node_runner import ManagedNode, every, run
from tdm_ros.nodes.parameters import SceneParameters, vector
from tdm_ros.nodes.subscriptions import listen

GOAL_M, LINE_M = 0.03, 0.004
GREEN, ORANGE, BLUE = (0.1, 0.8, 0.2, 0.9), (1.0, 0.6, 0.1, 0.8), (0.2, 0.5, 1.0, 0.8)
CORNERS = ("limits.hand_box.low_m", "limits.hand_box.high_m")
EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7))
"""Pairs of corners of a box; corner k is at the upper end of axis a if bit a of k is set."""


class SceneNode(ManagedNode):
    """Publishes frames with each state, and markers at a few hertz; no other node depends on it."""

    PARAMETERS = SceneParameters

    def configure(self) -> None:
        given: SceneParameters = self._declared.values
        self.robot, self.live, self.task = given.described()
        self._trail: deque[NDArray[np.float64]] = deque(maxlen=max(1, round(given.trail_s * given.rate_hz)))
        self._hand_m: NDArray[np.float64] | None = None
        self._goal_m: NDArray[np.float64] | None = None
        self._box_m: NDArray[np.float64] | None = None
        self._requested: Future | None = None
        self._frames = ArmFrames(self, self.frame(""), self.robot) if given.publish_tf else None
        self._marker = GoalMarker(self, self.frame(self.task.frame))
        self._markers = self.create_publisher(MarkerArray, "scene_markers", qos.LATCHED)
        self._arm_parameters = self.create_client(GetParameters, "arm/get_parameters")
        listen(self, ArmState, "arm_state", states(self, self._on_state), qos.STATE)
        listen(self, Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        every(self, 1.0 / given.rate_hz, self._draw)
        every(self, 1.0, self._request_box)

    def _on_state(self, sample: ArmSample, message: ArmState) -> None:
        self._hand_m = sample.hand_m
        if self._frames is not None and self.active:
            self._frames.publish(sample.q_rad, message.header.stamp)

    def _on_episode(self, announced: Announcement, message: Episode) -> None:
        moving = announced.state == State.RUNNING or announced.demonstration
        if moving and len(announced.goal) == self.task.goal.size:
            self._goal_m = self.live.point_of(announced.goal).astype(np.float64)
            self._marker.move(self._goal_m)

    def _request_box(self) -> None:
        """Request the box of the hand from the node arm, until it has answered."""
        if self._box_m is None and self._requested is None and self._arm_parameters.service_is_ready():
            self._requested = self._arm_parameters.call_async(GetParameters.Request(names=list(CORNERS)))
            self._requested.add_done_callback(self._on_box)

    def _on_box(self, answered: Future) -> None:
        self._requested = None
        given = [tuple(value.double_array_value) for value in answered.result().values]
        corners = [corner or own for corner, own in zip(given, self.robot.hand_box_m, strict=True)]
        try:
            for corner in corners:
                vector(corner)
            self._box_m = np.array(corners)
        except ValueError as error:
            self.rejections.reject("box of the arm", str(error))

    def _draw(self) -> None:
        if not self.active:
            return
        stamp = self.get_clock().now().to_msg()
        made = []
        if self._hand_m is not None:
            self._trail.append(self._hand_m)
            trail = shape(stamp, "trail", 0, Marker.LINE_STRIP, (LINE_M, 0, 0), BLUE)
            trail.points = [point(at) for at in self._trail]
            made += [trail] if len(self._trail) > 1 else []
        if self._goal_m is not None:
            made.append(shape(stamp, "goal", 0, Marker.SPHERE, (GOAL_M,) * 3, GREEN, self._goal_m))
        if self._box_m is not None:
            box = shape(stamp, "safety_box", 0, Marker.LINE_LIST, (LINE_M, 0, 0), ORANGE)
            box.points = edges(self._box_m)
            made.append(box)
        if made:
            self._markers.publish(in_frame(MarkerArray(markers=made), self.frame(self.task.frame)))

    def values(self) -> dict[str, object]:
        return {"goal": self._goal_m is not None, "box": self._box_m is not None, "trail": len(self._trail)}


def edges(box_m: NDArray[np.float64]) -> list[Point]:
    """Return the ends of the twelve edges of a box, (2, 3) [m]: 24 points."""
    corners = [np.array([box_m[(k >> axis) & 1, axis] for axis in range(3)]) for k in range(8)]
    return [point(corners[k]) for edge in EDGES for k in edge]


main = partial(run, SceneNode)
