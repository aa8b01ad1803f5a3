"""The pose of the object from a topic: frames, stamps, and what is rejected. Without a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.clock import Clock
from tf2_msgs.msg import TFMessage

from tdm_ros.control.live_task import live_task
from tdm_ros.nodes import object_input
from tdm_ros.robots.description import load_robot

TASK: Any = live_task(load_robot("ur5e"), "velocity", "push")
MIDDLE = (TASK.setup.object_low_m + TASK.setup.object_high_m) / 2


class FakeNode:
    def __init__(self) -> None:
        self.task, self.rejected, self.now_s, self.clock = TASK.spec, [], 10.0, Clock()
        self.rejections = SimpleNamespace(reject=self.rejected.append)

    def get_clock(self) -> Clock:
        return self.clock

    def frame(self, name: str) -> str:
        return f"lab/{name}"

    def _now_s(self) -> float:
        return self.now_s


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, object_input.ObjectInput, dict[str, Any]]:
    heard: dict[str, Any] = {}
    for name in ("listen", "listen_external"):
        monkeypatch.setattr(object_input, name, lambda node, kind, topic, call, *rest: heard.update({topic: call}))
    node = FakeNode()
    return node, object_input.ObjectInput(node, TASK, object()), heard  # type: ignore[arg-type]


def pose(node: FakeNode, frame: str, x: float, y: float, old_s: float = 0.0) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id = frame
    message.header.stamp.sec, nanoseconds = divmod(node.clock.now().nanoseconds - int(old_s * 1e9), 10**9)
    message.header.stamp.nanosec = int(nanoseconds)
    message.pose.position.x, message.pose.position.y = float(x), float(y)
    return message


@pytest.mark.parametrize("frame", ["", "base_link", "lab/base_link"])
def test_pose_in_the_base_frame_is_taken(made: Any, frame: str) -> None:
    node, given, heard = made
    assert "no pose of the object" in given.update(10.0)
    heard["object_pose"](pose(node, frame, *MIDDLE))
    assert not given.update(10.0) and not node.rejected
    np.testing.assert_allclose(given.pose.known_m(10.0), MIDDLE)


@pytest.mark.parametrize("old_s", [0.5, -0.5])
def test_old_pose_or_one_of_the_future_is_rejected(made: Any, old_s: float) -> None:
    node, given, heard = made
    heard["object_pose"](pose(node, "base_link", *MIDDLE, old_s))
    assert "stamp" in node.rejected[0] and "no pose of the object" in given.update(10.0)


def test_pose_in_the_frame_of_a_camera_is_transformed_once_tf_knows_it(made: Any) -> None:
    node, given, heard = made
    heard["object_pose"](pose(node, "camera", 0.0, 0.0))
    assert "its frame is camera, and there is no transform" in node.rejected[-1]
    camera = TransformStamped(child_frame_id="camera")
    camera.header.frame_id = "lab/base_link"
    camera.transform.translation.x, camera.transform.translation.y = map(float, MIDDLE)
    camera.transform.rotation.w = 1.0
    heard["/tf_static"](TFMessage(transforms=[camera]))
    heard["object_pose"](pose(node, "camera", 0.01, 0.0))
    assert not given.update(10.0)
    np.testing.assert_allclose(given.pose.known_m(10.0), MIDDLE + np.array((0.01, 0.0)))
