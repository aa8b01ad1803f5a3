"""Recordings and genuine ROS 2: what rclpy serialised comes back to the byte, and a bag that is played is heard."""

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

from tdm_ros.data.bag import METADATA, describe_log, write_bag  # noqa: E402
from tdm_ros.data.convert import convert  # noqa: E402
from tdm_ros.data.log import read_transitions  # noqa: E402
from tdm_ros.data.recording import Channel, Message, Recording  # noqa: E402
from tdm_ros.data.sources import read, read_mcap  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.convert import (  # noqa: E402
    definition,
    floats,
    to_transition,
)
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402

TASK = SAWYER_REACH["velocity"]
KINDS = {"tdm_ros/msg/Transition": Transition, "tdm_ros/msg/Episode": Episode}


def serialised_by_rclpy(folder: Path) -> Recording:
    """The test recording with every message written by rclpy, and the definitions that are installed."""
    made = recording()
    write_log(folder / "plain", made)
    transitions = iter(read_transitions(folder / "plain", TASK.fingerprint))
    channels = tuple(
        Channel(
            c.topic,
            c.type_name,
            definition(c.type_name).encode(),
            metadata=(("offered_qos_profiles", qos.offered(qos.TRANSITION)),),
        )
        for c in made.channels
    )
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


@pytest.mark.parametrize("form", ["npz", "parquet", "lerobot", "mcap"])
def test_what_rclpy_serialised_comes_back_to_the_byte(tmp_path: Path, form: str) -> None:
    made = serialised_by_rclpy(tmp_path)
    out = tmp_path / ("made.npz" if form == "npz" else "made")
    rows = convert(made, form, out).rows
    assert rows == {"mcap": 0, "lerobot": 46}.get(form, 51)
    found = read(out)
    assert (found.messages, found.channels) == (made.messages, made.channels)


def test_every_field_of_a_transition_becomes_a_column_and_comes_back(tmp_path: Path) -> None:
    message = Transition(cycle=2**63, episode=7, step=3, source=2, limited=True, truncated=True, task="é")
    message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id = -5, 999_999_999, "base"
    for name in ("observation", "action", "next_observation", "achieved_goal", "next_achieved_goal", "desired_goal"):
        setattr(message, name, floats([0.1, np.float32(1e-45), np.inf]))
    channel = Channel("/somewhere/transition", "tdm_ros/msg/Transition", definition("tdm_ros/msg/Transition").encode())
    made = Recording("one", (channel,), [Message(0, 1, 2, 3, serialize_message(message))])
    assert convert(made, "npz", tmp_path / "one.npz").carried == 0
    with np.load(tmp_path / "one.npz") as arrays:
        fields = {name for name in arrays.files if "." not in name} - {"recording"}
    assert fields == (set(Transition.get_fields_and_field_types()) - {"header"}) | {"stamp_ns", "frame_id"}
    (back,) = read(tmp_path / "one.npz").messages
    assert deserialize_message(back.data, Transition) == message and back == made.messages[0]


def profile_of(offered: object) -> QoSProfile:
    """A publisher's profile from what the bag says was offered."""
    return QoSProfile(
        history=HistoryPolicy[offered.history.name],
        depth=offered.depth,
        reliability=ReliabilityPolicy[offered.reliability.name],
        durability=DurabilityPolicy[offered.durability.name],
    )


def test_bag_that_is_played_over_dds_is_heard_as_it_was_recorded(tmp_path: Path) -> None:
    """As `ros2 bag play` does it: topics, types, profiles and bytes come from the bag alone."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    made = serialised_by_rclpy(tmp_path)
    write_bag(tmp_path / "bag", made)
    topics = {"/transition": Transition, "/episode": Episode}
    with bench(tmp_path) as stage, rosbag2.Reader(tmp_path / "bag") as reader:
        heard = {topic: stage.collect(kind, topic.strip("/"), qos.TRANSITION) for topic, kind in topics.items()}
        publishers = {}
        for one in reader.connections:
            profile = profile_of(one.ext.offered_qos_profiles[0])
            publishers[one.id] = stage.node.create_publisher(KINDS[one.msgtype], one.topic.strip("/"), profile)
        stage.until(lambda: all(p.get_subscription_count() for p in publishers.values()))
        for connection, _, raw in reader.messages():
            publishers[connection.id].publish(bytes(raw))
        stage.until(lambda: sum(map(len, heard.values())) == len(made.messages))
    for topic, kind in topics.items():
        number = [c.topic for c in made.channels].index(topic)
        assert heard[topic] == [deserialize_message(m.data, kind) for m in made.messages if m.channel == number]
    assert len(heard["/transition"]) == sum(topic == "/transition" for topic, _ in messages())


def test_log_that_is_played_in_file_order_has_times_that_never_go_back(tmp_path: Path) -> None:
    write_log(tmp_path, recording())
    times = [message.log_time for message in read_mcap(tmp_path / "0000.mcap").messages]
    assert times == sorted(times)
    describe_log(tmp_path)
    assert (tmp_path / METADATA).exists()
