"""What RViz is shown, over real DDS: goal, safety box, trail and reachability; and a goal that is dragged."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]

from geometry_msgs.msg import PoseStamped  # noqa: E402
from ros_bench import Bench  # noqa: E402
from tdm_ros.msg import Episode  # noqa: E402
from visualization_msgs.msg import InteractiveMarkerFeedback, InteractiveMarkerUpdate, Marker, MarkerArray  # noqa: E402
from visualization_msgs.srv import GetInteractiveMarkers  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.markers import CELLS  # noqa: E402
from tdm_ros.nodes.scene import edges  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

DRAGGED_M = (0.6, 0.1, 0.3)


def test_edges_of_a_box_are_twelve_along_its_axes() -> None:
    points = np.array([(p.x, p.y, p.z) for p in edges(np.array([[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]]))]).reshape(12, 2, 3)
    corners = {(x, y, z) for x in (0, 4) for y in (1, 5) for z in (2, 6)}
    assert {tuple(corner) for corner in points.reshape(-1, 3)} == corners
    assert (np.count_nonzero(points[:, 0] != points[:, 1], axis=1) == 1).all()


def test_scene_shows_the_goal_the_box_and_the_way_and_takes_a_goal_that_is_dragged(made: Bench) -> None:
    announced = made.collect(Episode, "episode", qos.EPISODE)
    shown = made.collect(MarkerArray, "scene_markers", qos.LATCHED)
    maps = made.collect(MarkerArray, "reachability_markers", qos.LATCHED)
    updates = made.collect(InteractiveMarkerUpdate, "goal_marker/update", qos.MARKER)
    goals = made.collect(PoseStamped, "goal", qos.GOAL)
    drag = made.node.create_publisher(InteractiveMarkerFeedback, "goal_marker/feedback", qos.MARKER)
    asked = made.node.create_client(GetInteractiveMarkers, "goal_marker/get_interactive_markers")
    for node in ("arm", "policy", "planner", "collector", "scene"):
        made.start(node)
    made.start("trainer")
    made.start("supervisor", duration_min=".inf", evaluate_goals=0)

    def kinds() -> dict[str, Marker]:
        return {marker.ns: marker for marker in shown[-1].markers} if shown else {}

    made.until(lambda: {"goal", "safety_box", "trail"} <= set(kinds()) and len(kinds()["trail"].points) > 5, 60)
    box = np.array([(p.x, p.y, p.z) for p in kinds()["safety_box"].points])
    np.testing.assert_allclose([box.min(0), box.max(0)], [(0.15, -0.6, 0.02), (0.95, 0.6, 0.85)])
    frame = f"{made.namespace[1:]}/base"
    assert all(marker.header.frame_id == frame for marker in kinds().values())

    made.until(asked.service_is_ready)
    answer = asked.call_async(GetInteractiveMarkers.Request())
    made.until(answer.done)
    (marker,) = answer.result().markers
    assert {control.name for control in marker.controls} == {"anywhere", "x", "y", "z"}
    made.until(lambda: any(update.poses for update in updates))
    position = next(update.poses[0].pose.position for update in updates if update.poses)
    at = (position.x, position.y, position.z)
    made.until(lambda: any(np.allclose(at, episode.goal, atol=1e-6) for episode in announced if len(episode.goal) == 3))

    for kind in (InteractiveMarkerFeedback.MOUSE_DOWN, InteractiveMarkerFeedback.MOUSE_UP):
        message = InteractiveMarkerFeedback(marker_name="goal", event_type=kind)
        message.header.frame_id = "base"
        at = message.pose.position
        at.x, at.y, at.z = DRAGGED_M
        drag.publish(message)
    made.until(lambda: bool(goals), 10)
    made.until(lambda: len(announced[-1].goal) == 3 and np.allclose(announced[-1].goal, DRAGGED_M, atol=1e-5), 30)
    made.until(lambda: bool(maps), 90)
    (plane,) = maps[-1].markers
    assert len(plane.points) == len(plane.colors) == CELLS**2
    low, high = SAWYER_REACH["velocity"].goal.low, SAWYER_REACH["velocity"].goal.high
    assert all(low[0] < p.x < high[0] and low[1] < p.y < high[1] for p in plane.points)
    assert made.processes["scene"].poll() is None
