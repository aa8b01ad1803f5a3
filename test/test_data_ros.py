"""Recordings and genuine ROS 2: messages that rclpy serialised are exported, and a bag can be played over DDS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from recording_for_tests import messages, recording, write_log  # noqa: E402
from ros_bench import bench  # noqa: E402
from tdm_ros.msg import Episode, Transition  # noqa: E402

from tdm_ros.data.bag import METADATA, write_bag, write_log_metadata  # noqa: E402
from tdm_ros.data.export import export  # noqa: E402
from tdm_ros.data.log import read_transitions  # noqa: E402
from tdm_ros.data.recording import Channel, Message, Recording  # noqa: E402
from tdm_ros.data.sources import read_mcap  # noqa: E402
from tdm_ros.data.table import VECTORS, to_table  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import definition, floats, to_transition  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

TASK = SAWYER_REACH["velocity"]
KINDS = {"tdm_ros/msg/Transition": Transition, "tdm_ros/msg/Episode": Episode}


def serialised_by_rclpy(folder: Path) -> Recording:
    """The test recording with every message written by rclpy, and the definitions that are installed."""
    made = recording()
    write_log(folder / "plain", made)
    transitions = iter(read_transitions(folder / "plain", TASK.fingerprint))
    offered = qos.offered(qos.TRANSITION)
    channels = tuple(Channel.of_ros(c.topic, c.type_name, definition(c.type_name), offered) for c in made.channels)
    found = []
    for message in made.messages:
        kind = made.channels[message.channel].type_name
        genuine = (
            to_transition(next(transitions), TASK)
            if kind == "tdm_ros/msg/Transition"
            else deserialize_message(message.data, Episode)
        )
        found.append(message._replace(data=serialize_message(genuine)))
    return Recording("by rclpy", channels, found)


def test_export_of_what_rclpy_serialised_has_every_field_of_a_transition(tmp_path: Path) -> None:
    made = serialised_by_rclpy(tmp_path)
    assert export(made, "npz", tmp_path / "made.npz").transitions == 51
    with np.load(tmp_path / "made.npz") as arrays:
        fields = set(arrays)
    assert fields == (set(Transition.get_fields_and_field_types()) - {"header"}) | {"stamp_ns", "frame_id"}
    message = Transition(cycle=2**63, episode=7, step=3, source=2, limited=True, truncated=True, task="\u00e9")
    message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id = -5, 999_999_999, "base"
    for name in VECTORS:
        setattr(message, name, floats([0.1, np.float32(1e-45), np.inf]))
    one = Recording("one", made.channels, [Message(0, 1, 2, 3, serialize_message(message))])
    assert one.channels[0].topic == "/transition"
    row = to_table(one).message(0)
    assert (row.header.stamp.sec, row.header.stamp.nanosec, row.header.frame_id) == (-5, 999_999_999, "base")
    for name in fields - {"stamp_ns", "frame_id"}:
        np.testing.assert_array_equal(getattr(row, name), getattr(message, name))


def profile_of(offered: object) -> QoSProfile:
    """A publisher's profile from what the bag says was offered."""
    return QoSProfile(
        history=HistoryPolicy[offered.history.name],
        depth=offered.depth,
        reliability=ReliabilityPolicy[offered.reliability.name],
        durability=DurabilityPolicy[offered.durability.name],
    )


def test_bag_that_is_played_over_dds_is_received_unchanged(tmp_path: Path) -> None:
    """As `ros2 bag play` does it: topics, types, profiles and bytes come from the bag alone."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    made = serialised_by_rclpy(tmp_path)
    write_bag(tmp_path / "bag", made)
    topics = {"/transition": Transition, "/episode": Episode}
    with bench(tmp_path) as stage, rosbag2.Reader(tmp_path / "bag") as reader:
        received = {topic: stage.collect(kind, topic.strip("/"), qos.TRANSITION) for topic, kind in topics.items()}
        publishers = {}
        for one in reader.connections:
            profile = profile_of(one.ext.offered_qos_profiles[0])
            publishers[one.id] = stage.node.create_publisher(KINDS[one.msgtype], one.topic.strip("/"), profile)
        stage.until(lambda: all(p.get_subscription_count() for p in publishers.values()))
        for connection, _, raw in reader.messages():
            publishers[connection.id].publish(bytes(raw))
        stage.until(lambda: sum(map(len, received.values())) == len(made.messages))
    for topic, kind in topics.items():
        number = [c.topic for c in made.channels].index(topic)
        assert received[topic] == [deserialize_message(m.data, kind) for m in made.messages if m.channel == number]
    assert len(received["/transition"]) == sum(topic == "/transition" for topic, _ in messages())


def test_log_times_never_decrease_in_file_order(tmp_path: Path) -> None:
    write_log(tmp_path, recording())
    times = [message.log_time for message in read_mcap(tmp_path / "0000.mcap").messages]
    assert times == sorted(times)
    write_log_metadata(tmp_path)
    assert (tmp_path / METADATA).exists()
