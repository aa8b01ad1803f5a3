"""The log of one arm: what was written is read again, also by other readers of MCAP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from recording_for_tests import CHANNELS, DEFINITIONS, messages, serialised

from tdm_ros.data.log import EPISODE_TOPIC, TRANSITION_TOPIC, TransitionLog, next_segment, read_transitions
from tdm_ros.data.log_writer import LogChannel, McapWriter
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.types import CycleRange

TASK = SAWYER_REACH["velocity"].fingerprint
CONTENT = [one for topic, one in messages() if topic == TRANSITION_TOPIC]


def write(path: Path, count: int) -> None:
    writer = McapWriter(path, CHANNELS)
    for number, data in enumerate(serialised(TRANSITION_TOPIC, CONTENT[:count])):
        writer.write(TRANSITION_TOPIC, data, number)
    writer.close()


def test_log_round_trip_gives_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 14)
    found = list(read_transitions(tmp_path, TASK))
    assert [t.cycle for t in found] == [one["cycle"] for one in CONTENT[:14]]
    assert [t.last for t in found] == [False] * 11 + [True] + [False] * 2
    stamp, third = CONTENT[13]["header"]["stamp"], found[13]
    assert third.stamp_ns == stamp["sec"] * 10**9 + stamp["nanosec"] and third.limited and third.source == 1
    np.testing.assert_array_equal(third.step.next_observation, np.float32(CONTENT[13]["next_observation"]))
    assert third.step.action.dtype == np.float32 and not third.step.terminated


def test_log_finished_file_is_read_by_the_mcap_reader_with_its_schema(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 3)
    with (tmp_path / "0000.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert reader.get_header().profile == "ros2"
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == 3
        channel = next(one for one in summary.channels.values() if one.topic == TRANSITION_TOPIC)
        schema = summary.schemas[channel.schema_id]
        assert (schema.name, schema.encoding) == ("tdm_ros/msg/Transition", "ros2msg")
        assert channel.message_encoding == "cdr" and "offered_qos_profiles" in channel.metadata
        decoded = [message for _, _, _, message in reader.iter_decoded_messages()]
    assert [m.cycle for m in decoded] == [one["cycle"] for one in CONTENT[:3]]
    assert decoded[0].header.frame_id == "base"


def test_log_next_segment_never_overwrites(tmp_path: Path) -> None:
    assert next_segment(tmp_path).name == "0000.mcap"
    write(tmp_path / "0000.mcap", 1)
    write(tmp_path / "0007.mcap", 1)
    assert next_segment(tmp_path).name == "0008.mcap"
    with pytest.raises(FileExistsError):
        McapWriter(tmp_path / "0007.mcap", CHANNELS)


def test_log_of_another_task_is_rejected_with_a_remedy(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 1)
    with pytest.raises(ValueError, match=rf"recorded for task {TASK}.*another run directory"):
        list(read_transitions(tmp_path, "another task"))


def test_discarded_cycles_are_read_from_the_announcements(tmp_path: Path) -> None:
    announced = next(one for topic, one in messages() if topic == EPISODE_TOPIC)
    fields = ("discarded_run", "discarded_from_cycle", "discarded_to_cycle")
    said = [
        (TASK, []),
        (TASK, [("a", 3, 5)]),
        (TASK, [("a", 3, 5), ("b", 7, 9)]),
        ("another", [("a", 1, 99)]),
    ]
    for number, (task, ranges) in enumerate(said):
        columns = {name: [one[at] for one in ranges] for at, name in enumerate(fields)}
        (data,) = serialised(EPISODE_TOPIC, [{**announced, **columns, "task": task}])
        channel = LogChannel(EPISODE_TOPIC, "tdm_ros/msg/Episode", DEFINITIONS[EPISODE_TOPIC])
        writer = McapWriter(tmp_path / f"{number:04d}.mcap", [channel])
        writer.write(EPISODE_TOPIC, data, number)
        writer.close()
    log = TransitionLog(tmp_path, TASK)
    assert list(log.read()) == []
    assert log.discarded == {CycleRange("a", 3, 5), CycleRange("b", 7, 9)}
