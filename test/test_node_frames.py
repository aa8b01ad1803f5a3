"""Frames: /tf, /tf_static and robot_description of the arm over DDS, and goals in other frames than the arm's base."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed, pytest.mark.timeout(180)]

from geometry_msgs.msg import PoseStamped, TransformStamped  # noqa: E402
from ros_bench import Bench  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode  # noqa: E402
from test_node_supervisor import Arm  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import to_stamp  # noqa: E402
from tdm_ros.nodes.frames import MAX_AGE_S, FrameBuffer  # noqa: E402
from tdm_ros.robots.kinematics import joint_frames, link_frames, quaternion_wxyz, rotation_from_rpy  # noqa: E402
from tdm_ros.robots.sawyer import facts  # noqa: E402

SECOND_NS = 1_000_000_000
NOW_NS = 100 * SECOND_NS
STRAIGHT, QUARTER = np.eye(3), rotation_from_rpy([0.0, 0.0, np.pi / 2])


def transform(parent: str, child: str, offset: Any = (0, 0, 0), turn: Any = STRAIGHT, ns: int = 0) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, to_stamp(ns)
    at, q = message.transform.translation, message.transform.rotation
    at.x, at.y, at.z = map(float, offset)
    q.w, q.x, q.y, q.z = quaternion_wxyz(turn).tolist()
    return message


def buffer(*static: TransformStamped, moving: tuple[TransformStamped, ...] = ()) -> FrameBuffer:
    made = FrameBuffer()
    assert not any([made.add(one, True) for one in static] + [made.add(one, False) for one in moving])
    return made


def test_points_are_transformed_up_and_down_the_tree() -> None:
    tree = buffer(
        transform("world", "base", (1, 0, 0), QUARTER),
        transform("world", "table", (1, 2, 0)),
        transform("table", "cup", (0, 0, 0.5)),
    )
    for source, target, point, expected in (
        ("base", "world", (1, 0, 0), (1, 1, 0)),
        ("world", "base", (1, 1, 0), (1, 0, 0)),
        ("cup", "base", (0, 0, 0), (2, 0, 0.5)),
        ("base", "base", (1, 2, 3), (1, 2, 3)),
    ):
        found, problem = tree.transform(source, target, NOW_NS)
        assert found is not None, problem
        np.testing.assert_allclose((found @ [*point, 1.0])[:3], expected, atol=1e-12)


def test_chain_of_the_links_of_the_arm_is_its_forward_kinematics() -> None:
    q_rad = np.linspace(-1, 1, 7)
    frames, tree = joint_frames(q_rad), FrameBuffer()
    for joint in facts()["joints"]:
        frame = frames[joint["name"]]
        tree.add(transform(joint["parent"], joint["child"], frame[:3, 3], frame[:3, :3]), True)
    for name, expected in zip([f"right_l{i}" for i in range(7)] + ["right_hand"], link_frames(q_rad), strict=True):
        found, problem = tree.transform(name, "base", NOW_NS)
        assert found is not None, problem
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_unknown_looping_or_stale_frames_have_no_transform_and_a_reason() -> None:
    old, new = (transform("base", "camera", ns=NOW_NS - int(age * SECOND_NS)) for age in (2 * MAX_AGE_S, 0.1))
    ahead = transform("base", "camera", ns=NOW_NS + int(2 * MAX_AGE_S * SECOND_NS))
    assert buffer(moving=(new,)).transform("camera", "base", NOW_NS)[0] is not None
    for tree, words in (
        (buffer(transform("base", "table")), "no transform between it and base"),
        (buffer(transform("a", "camera"), transform("camera", "a")), "no transform"),
        (buffer(moving=(old,)), "2.0 s old"),
        (buffer(moving=(ahead,)), "-2.0 s old"),
    ):
        found, problem = tree.transform("camera", "base", NOW_NS)
        assert found is None and words in problem, problem
    for stamp_ns, found in ((0, True), (NOW_NS - SECOND_NS // 5, True), (NOW_NS - SECOND_NS // 2, False)):
        still, moving = buffer(transform("base", "camera")), buffer(moving=(new,))
        assert still.transform("camera", "base", NOW_NS, stamp_ns)[0] is not None
        assert (moving.transform("camera", "base", NOW_NS, stamp_ns)[0] is not None) == found
    assert "from the stamp of the goal" in moving.transform("camera", "base", NOW_NS, stamp_ns)[1]
    made = FrameBuffer()
    for bad in (transform("", "a"), transform("a", "a"), transform("a", "b", (np.nan, 0, 0)), TransformStamped()):
        assert made.add(bad, True)
    long = transform("a", "b")
    long.transform.rotation.w = 2.0
    assert "unit quaternion" in made.add(long, True)


def test_scene_publishes_the_frames_of_the_arm_and_its_description(made: Bench) -> None:
    prefix = f"{made.namespace.strip('/')}/"
    made.start("arm")
    made.start("scene")
    states = made.collect(ArmState, "arm_state", qos.STATE)
    moving = made.collect(TFMessage, "/tf", qos.FRAMES)

    def own(found: list[TFMessage]) -> list[TransformStamped]:
        return [one for message in found for one in message.transforms if one.child_frame_id.startswith(prefix)]

    made.until(lambda: len(own(moving)) > 14 and len(states) > 2, 60)
    fixed = made.collect(TFMessage, "/tf_static", qos.STATIC_FRAMES)  # a late subscriber
    described = made.collect(String, "robot_description", qos.LATCHED)
    made.until(lambda: bool(own(fixed)) and bool(described))
    assert 'robot name="sawyer"' in described[0].data
    tree = FrameBuffer()
    for one in own(fixed):
        tree.add(one, True)
    for one in own(moving):
        tree.add(one, False)
    joints = {(prefix + joint["parent"], prefix + joint["child"]) for joint in facts()["joints"]}
    assert {(one.header.frame_id, one.child_frame_id) for one in own(fixed) + own(moving)} == joints
    now_ns = made.node.get_clock().now().nanoseconds
    found, problem = tree.transform(f"{prefix}right_hand", f"{prefix}base", now_ns)
    assert found is not None, problem
    hand = states[-1].hand.position
    np.testing.assert_allclose(found[:3, 3], (hand.x, hand.y, hand.z), atol=0.005)


def test_scene_beside_robot_state_publisher_publishes_no_frames(made: Bench) -> None:
    made.start("scene", publish_tf=False, frame_prefix="left_")
    made.until(lambda: "scene" in made.diagnostics, 60)
    made.until(lambda: has(made, "scene", f"{made.namespace}/scene_markers", "publishers"))
    for topic in ("/tf", "/tf_static", f"{made.namespace}/robot_description"):
        assert not has(made, "scene", topic, "publishers")


def has(made: Bench, name: str, topic: str, kind: Literal["publishers", "subscriptions"]) -> bool:
    """Whether an endpoint of that node is discovered. (A query by node raises until the node is.)"""
    found = getattr(made.node, f"get_{kind}_info_by_topic")(topic)
    return any((one.node_name, one.node_namespace) == (name, made.namespace) for one in found)


class Asked:
    """A supervisor that keeps the goals it is asked for, beside an arm that stands."""

    def __init__(self, made: Bench) -> None:
        made.start("supervisor", frame_prefix="left_")
        self.made, self.episodes = made, made.collect(Episode, "episode", qos.EPISODE)
        self.arm = Arm(made)
        self._goals = made.node.create_publisher(PoseStamped, "goal", qos.GOAL)
        self.fixed = made.node.create_publisher(TFMessage, "/tf_static", qos.STATIC_FRAMES)
        self.moving = made.node.create_publisher(TFMessage, "/tf", qos.FRAMES)
        made.until(lambda: self._goals.get_subscription_count() > 0 and "supervisor" in made.diagnostics, 60)

    def ask(self, frame: str, *point: float) -> None:
        message = PoseStamped()
        message.header.frame_id = frame
        message.pose.position.x, message.pose.position.y, message.pose.position.z = point
        self._goals.publish(message)

    def rejected(self) -> str:
        self.made.until(lambda: "goal" in self.made.rejected("supervisor"))
        return self.made.output("supervisor")

    def taken(self) -> Any:
        """Play ready nodes until an episode with a goal runs; return the goal."""
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        health = self.made.node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        status = [
            DiagnosticStatus(name=f"{self.made.namespace}/{name}", values=[KeyValue(key="ready", value="True")])
            for name in ("policy", "planner", "collector")
        ]
        timer = self.made.node.create_timer(0.5, lambda: health.publish(DiagnosticArray(status=status)))
        self.made.until(lambda: bool(self.episodes) and self.episodes[-1].state == Episode.RUNNING, 40)
        timer.cancel()
        return np.array(self.episodes[-1].goal)

    def moving_cup(self, age_s: float = 0.0) -> None:
        def move() -> None:
            ns = self.made.node.get_clock().now().nanoseconds - round(age_s * SECOND_NS)
            self.moving.publish(TFMessage(transforms=[transform("left_base", "cup", (0.5, 0.1, 0.2), ns=ns)]))

        self.made.node.create_timer(0.05, move)


@pytest.mark.parametrize(("frame", "expected"), [("table", (0.4, 0.0, 0.3)), ("cup", (0.5, 0.1, 0.5))])
def test_goal_in_another_frame_or_one_that_moves_is_transformed(made: Bench, frame: str, expected: Any) -> None:
    stage = Asked(made)
    links = [transform("room", "left_base", (1, 0, 0), QUARTER), transform("room", "table", (1, 0.4, 0))]
    stage.fixed.publish(TFMessage(transforms=links))
    stage.moving_cup()
    stage.ask(frame, 0.0, 0.0, 0.3)
    made.spin(0.5)
    np.testing.assert_allclose(stage.taken(), expected, atol=1e-6)
    assert not made.rejected("supervisor")


@pytest.mark.parametrize("frame", ["", "base", "left_base"])
def test_goal_in_the_base_of_the_arm_needs_no_transform(made: Bench, frame: str) -> None:
    stage = Asked(made)
    stage.ask(frame, 0.5, 0.1, 0.3)
    np.testing.assert_allclose(stage.taken(), (0.5, 0.1, 0.3), atol=1e-6)


def test_goal_in_an_unknown_or_stale_frame_is_rejected_with_the_frame_and_the_remedy(made: Bench) -> None:
    stage = Asked(made)
    stage.fixed.publish(TFMessage(transforms=[transform("room", "table")]))
    stage.ask("kitchen", 0.5, 0.1, 0.3)
    said = stage.rejected()
    for words in ("the frame of the goal is kitchen", "room, table", "publish that transform", "in frame left_base"):
        assert words in said
    stage.moving_cup(age_s=3.0)
    stage.ask("cup", 0.0, 0.0, 0.1)
    words = r"frame of the goal is cup, and .* is 3\.\d s old"
    made.until(lambda: re.search(words, made.output("supervisor")) is not None)


def test_newer_goal_replaces_one_that_waits_for_its_transform(made: Bench) -> None:
    stage = Asked(made)
    stage.ask("kitchen", 0.5, 0.1, 0.3)
    made.spin(0.2)
    stage.ask("base", 0.45, 0.0, 0.25)
    np.testing.assert_allclose(stage.taken(), (0.45, 0.0, 0.25), atol=1e-6)
    made.spin(2.5)
    assert not made.rejected("supervisor")


def test_supervisor_subscribes_to_frames_only_while_a_goal_waits(made: Bench) -> None:
    stage = Asked(made)

    def subscribed() -> bool:
        return has(made, "supervisor", "/tf", "subscriptions")

    made.until(lambda: has(made, "supervisor", f"{made.namespace}/arm_state", "subscriptions"))
    assert not subscribed()
    stage.ask("kitchen", 0.5, 0.1, 0.3)
    made.until(subscribed)
    stage.rejected()
    made.until(lambda: not subscribed())
    start = made.node.create_client(Trigger, "supervisor/pause")
    made.until(start.service_is_ready)
    made.until(start.call_async(Trigger.Request()).done)
