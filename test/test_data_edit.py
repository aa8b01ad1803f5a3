"""Merged and trimmed recordings have whole messages in order, each once, in bags that follow rosbag2's conventions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from recording_for_tests import PARTS, START_NS, STEPS, Part, changed, messages, of_task, recording, write_log

from tdm_ros.control.timeline import Source
from tdm_ros.data.bag import METADATA, remove_metadata, write_bag, write_log_metadata
from tdm_ros.data.edit import Selection, merge, numbers, sources, trim
from tdm_ros.data.recording import TRANSITION_TYPE, DataError, Recording
from tdm_ros.data.sources import read

RECORDING = recording()


def transitions(made: Recording) -> list:
    return [message for _, message in made.of_type(TRANSITION_TYPE)]


def later(days: int, seed: int = 1) -> Recording:
    return recording(messages(PARTS[:2], seed=seed, start_ns=START_NS + days * 86_400 * 10**9), seed)


def test_merge_puts_recordings_in_the_order_of_time() -> None:
    first, second = later(1), later(2)
    whole, repeated = merge([second, first], "both")
    assert repeated == 0
    assert [m.data for m in whole.messages] == [m.data for m in (*first.messages, *second.messages)]
    assert len(whole.channels) == 2


def test_merge_interleaves_recordings_of_the_same_time_and_keeps_the_order_of_each() -> None:
    halves = [RECORDING.with_messages(RECORDING.messages[offset::2]) for offset in (0, 1)]
    whole, repeated = merge(halves[::-1], "both")
    assert whole.messages == RECORDING.messages and repeated == 0


def test_merge_keeps_duplicates_once() -> None:
    part = trim(RECORDING, Selection(episodes=frozenset({2, 3})))
    whole, repeated = merge([RECORDING, part, RECORDING], "all")
    assert whole.messages == RECORDING.messages
    assert repeated == len(part.messages) + len(RECORDING.messages)


def test_merge_of_two_tasks_is_rejected() -> None:
    content = messages(PARTS[:1])
    for where in (0, 1):
        content = changed(content, where, task="another:123")
    other = of_task(recording(content), "that one")
    with pytest.raises(DataError, match=r"another:123.*merge those of each task alone"):
        merge([RECORDING, other], "both")


def test_trim_by_episodes_keeps_them_and_their_announcements() -> None:
    kept = trim(RECORDING, Selection(episodes=numbers("2,3-3")))
    assert {m.episode for m in transitions(kept)} == {2, 3}
    assert len(kept.messages) == 2 * STEPS + 2
    assert all(message in RECORDING.messages for message in kept.messages)


def test_trim_by_source_and_time_and_of_motions_home() -> None:
    operator = transitions(trim(RECORDING, Selection(sources=sources(["human"]))))
    assert {m.source for m in operator} == {Source.HUMAN} and len(operator) == 5 + STEPS
    early = transitions(trim(RECORDING, Selection(start_s=0.1, end_s=0.5)))
    assert [m.cycle for m in early] == list(range(107, 116)), "counted from the first transition"
    assert {m.source for m in transitions(trim(RECORDING, Selection(episodes=numbers("0"))))} == {Source.RESET}


def test_trim_that_leaves_nothing_names_the_present_episodes() -> None:
    with pytest.raises(DataError, match="episodes 0 to 4"):
        trim(RECORDING, Selection(episodes=frozenset({17})))


@pytest.mark.parametrize("text", ["", "a", "1,,2", "3-", "-3", "1-2-3"])
def test_episodes_that_are_no_list_are_rejected(text: str) -> None:
    with pytest.raises(DataError, match="3,5-8"):
        numbers(text)


def test_unknown_source_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"policy, human.*got cat"):
        sources(["human", "cat"])


def test_bag_is_never_overwritten_and_appears_whole(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", RECORDING)
    with pytest.raises(FileExistsError, match="give another --out"):
        write_bag(tmp_path / "bag", RECORDING)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    assert read(tmp_path / "bag").messages == RECORDING.messages


def metadata_of(folder: Path) -> dict:
    return yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"]


def test_metadata_describes_the_files(tmp_path: Path) -> None:
    for number, part in enumerate((later(1), later(2))):
        write_log(tmp_path / "x", part, close=number == 0).rename(tmp_path / f"000{number}.mcap")
    write_log_metadata(tmp_path)
    found = metadata_of(tmp_path)
    assert found["version"] == 9 and found["storage_identifier"] == "mcap"
    assert found["relative_file_paths"] == ["0000.mcap", "0001.mcap"]
    assert found["message_count"] == sum(file["message_count"] for file in found["files"]) == 2 * (2 * STEPS + 2)
    counts = {one["topic_metadata"]["name"]: one["message_count"] for one in found["topics_with_message_count"]}
    assert counts == {"/transition": 4 * STEPS, "/episode": 4}
    assert 86_400 * 10**9 < found["duration"]["nanoseconds"] < 86_402 * 10**9
    for one in found["topics_with_message_count"]:
        assert one["topic_metadata"]["offered_qos_profiles"][0]["deadline"] == {"sec": 9223372036, "nsec": 854775807}
    remove_metadata(tmp_path)
    remove_metadata(tmp_path)
    assert not (tmp_path / METADATA).exists()


def test_bags_are_read_by_another_implementation_of_rosbag2(tmp_path: Path) -> None:
    """rosbags, which knows nothing of us, opens the collector's log and what is written here by their metadata.yaml."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    typesys = pytest.importorskip("rosbags.typesys")
    write_log(tmp_path / "log", recording([*messages(PARTS[:1]), *messages((Part(7),), start_ns=START_NS + 10**12)]))
    write_log_metadata(tmp_path / "log")
    write_bag(tmp_path / "bag", RECORDING)
    for folder, count in ((tmp_path / "log", 2 * STEPS + 2), (tmp_path / "bag", len(RECORDING.messages))):
        store = typesys.get_typestore(typesys.Stores.EMPTY)
        with rosbag2.Reader(folder) as reader:
            assert reader.message_count == count
            for connection in reader.connections:
                store.register(typesys.get_types_from_msg(connection.msgdef.data, connection.msgtype))
                assert connection.ext.offered_qos_profiles[0].depth == 1000
            times = []
            for connection, time_ns, raw in reader.messages():
                times.append(time_ns)
                message = store.deserialize_cdr(raw, connection.msgtype)
                assert message.task.startswith("sawyer_reach_velocity:")
        assert len(times) == count and times == sorted(times)
