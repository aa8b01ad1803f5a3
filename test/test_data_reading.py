"""Whatever is done to a file, reading it gives what is whole and a sentence."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer
from recording_for_tests import PARTS, messages, recording, write_file, write_log

from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.sources import find, read, read_mcap, read_whole

RECORDING = recording()


def is_part_of(found: list, whole: list) -> bool:
    """Whether the one is the other with some left out."""
    rest = iter(whole)
    return all(any(one == other for other in rest) for one in found)


@cache
def log() -> bytes:
    """A file without chunks, as the collector left it once and others do."""
    with TemporaryDirectory() as folder:
        return write_file(Path(folder) / "some.mcap", RECORDING, use_chunking=False, enable_data_crcs=True)


def read_bytes(data: bytes) -> Recording:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.mcap"
        path.write_bytes(data)
        return read_mcap(path)


def test_reading_log_of_the_collector_gives_its_messages() -> None:
    found = read_bytes(log())
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages]
    assert [m.publish_time for m in found.messages] == [m.publish_time for m in RECORDING.messages]
    assert found.channels == RECORDING.channels
    assert found.problems == () and found.notes == ()


def test_reading_log_that_is_being_written_is_whole_with_a_note(tmp_path: Path) -> None:
    found = read_mcap(write_log(tmp_path, RECORDING, close=False))
    assert len(found.messages) == len(RECORDING.messages)
    assert found.problems == () and "not finished" in found.notes[0]


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1))
def test_reading_truncated_file_gives_every_whole_message(share: float) -> None:
    size = int(share * (len(log()) - 1))
    found = read_bytes(log()[:size])
    data = [m.data for m in found.messages]
    assert data == [m.data for m in RECORDING.messages][: len(data)]
    assert found.problems or found.notes
    whole = sum(log()[:size].count(m.data) > 0 for m in RECORDING.messages)
    assert len(data) == whole


@settings(max_examples=150, deadline=None)
@given(share=st.floats(0, 1), junk=st.binary(min_size=1, max_size=600))
@example(share=0.26073189786358314, junk=b"\0\0\0\0\0\0\x80R")  # a record of a foreign kind that is a byte too long
def test_reading_damaged_file_never_fails_and_never_keeps_quiet(share: float, junk: bytes) -> None:
    at = int(share * (len(log()) - len(junk)))
    damaged = log()[:at] + junk + log()[at + len(junk) :]
    found = read_bytes(damaged)
    end_of_data = log().rindex(RECORDING.messages[-1].data) + len(RECORDING.messages[-1].data)
    untouched = [
        m.data
        for m in RECORDING.messages
        if not (at < log().index(m.data) + len(m.data) and log().index(m.data) - 31 < at + len(junk))
    ]
    if 400 < at < end_of_data and at > log().index(RECORDING.messages[0].data):
        assert is_part_of(untouched, [m.data for m in found.messages])
    if damaged != log() and 8 <= at < end_of_data:
        assert found.problems


def test_reading_damaged_spot_loses_that_message_alone() -> None:
    lost = RECORDING.messages[7]
    at = log().index(lost.data) - 31
    found = read_bytes(log()[: at + 1] + b"\xff" * 8 + log()[at + 9 :])
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages if m is not lost]
    assert f"{len(lost.data) + 31} bytes from byte {at} on cannot be read, what follows them can" in found.problems[0]


@pytest.mark.parametrize("more", [1, 5, 30, 200])
def test_reading_message_that_claims_to_be_longer_does_not_take_the_next_with_it(more: int) -> None:
    lost = RECORDING.messages[7]
    at = log().index(lost.data) - 30
    length = int.from_bytes(log()[at : at + 8], "little") + more
    found = read_bytes(log()[:at] + length.to_bytes(8, "little") + log()[at + 8 :])
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages if m is not lost]
    assert f"bytes from byte {at - 1} on cannot be read" in found.problems[0]


def test_reading_single_changed_bit_is_noticed() -> None:
    at = log().index(RECORDING.messages[7].data) + 100
    found = read_bytes(log()[:at] + bytes([log()[at] ^ 1]) + log()[at + 1 :])
    assert len(found.messages) == len(RECORDING.messages)
    assert "checksum" in found.problems[0]


@pytest.mark.parametrize("compression", list(CompressionType))
def test_reading_damaged_chunk_loses_that_chunk_alone(tmp_path: Path, compression: CompressionType) -> None:
    path = tmp_path / "bag_0.mcap"
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=2000, compression=compression)
        writer.start("ros2", "test")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/chatter", "cdr", schema)
        for number in range(100):
            writer.add_message(channel, number, bytes([number]) * 100, number, number)
        writer.finish()
    assert len(read_mcap(path).messages) == 100
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        chunks = [one for one in StreamReader(file, emit_chunks=True).records if isinstance(one, Chunk)]
    middle = chunks[len(chunks) // 2].data
    data[data.index(middle) + len(middle) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    found = read_mcap(path)
    assert 50 < len(found.messages) < 100
    assert is_part_of([m.sequence for m in found.messages], list(range(100)))
    assert any("chunk is damaged" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"joint,angle\n1,2\n", "is no MCAP file: it begins with b'joint,an'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no MCAP file"),
        (b"#ROSBAG V2.0\n", "is a bag of ROS 1"),
    ],
)
def test_reading_foreign_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "some.mcap"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.mcap") as error:
        read_whole(path)
    assert sentence in str(error.value)


def test_reading_sqlite_bag_names_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    with sqlite3.connect(folder / "bag_0.db3") as base:
        base.execute("create table topics(id integer)")
    for path in (folder, folder / "bag_0.db3"):
        with pytest.raises(DataError, match="ros2 bag convert"):
            read_whole(path)


def test_reading_what_is_not_there_or_empty_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist.*data list"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="holds no recording"):
        read(tmp_path)
    write_log(tmp_path, recording([]))
    with pytest.raises(DataError, match="holds no message"):
        read_whole(tmp_path)


def test_reading_run_folder_takes_its_files_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "log_mcap"
    folder.mkdir(parents=True)
    parts = [recording(messages(PARTS[:1], start_ns=n * 10**12)) for n in range(1, 12)]
    for number, part in enumerate(parts):
        write_log(folder, part).rename(folder / f"bag_{number}.mcap")
    found = read(tmp_path / "run")
    assert [m.data for m in found.messages] == [m.data for part in parts for m in part.messages]
    assert len(found.channels) == 2


def test_find_gives_each_run_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_log(tmp_path / "runs" / name / "log_mcap", RECORDING)
    (tmp_path / "runs" / "latest").symlink_to("b")
    (tmp_path / "runs" / "c").mkdir()
    assert [path.name for path in find([tmp_path / "runs"])] == ["a", "b"]
