"""Paths that can be read as a recording, and the sentences for those that cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from recording_for_tests import PARTS, messages, recording, write_file, write_log

from tdm_ros.data.recording import DataError
from tdm_ros.data.sources import find, read, read_mcap, read_nonempty

RECORDING = recording()


def test_reading_log_of_the_collector_gives_its_messages(tmp_path: Path) -> None:
    write_file(tmp_path / "some.mcap", RECORDING, use_chunking=False, enable_data_crcs=True)
    found = read_mcap(tmp_path / "some.mcap")
    assert found.messages == RECORDING.messages and found.channels == RECORDING.channels
    assert found.problems == () and found.notes == ()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"joint,angle\n1,2\n", "is no MCAP file: it begins with b'joint,an'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no MCAP file"),
        (b"#ROSBAG V2.0\n", "is a bag of ROS 1"),
    ],
)
def test_reading_foreign_file_is_rejected_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "some.mcap"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.mcap") as error:
        read_nonempty(path)
    assert sentence in str(error.value)


def test_reading_sqlite_bag_names_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    with sqlite3.connect(folder / "bag_0.db3") as base:
        base.execute("create table topics(id integer)")
    for path in (folder, folder / "bag_0.db3"):
        with pytest.raises(DataError, match="ros2 bag convert"):
            read_nonempty(path)


def test_reading_missing_or_empty_path_is_rejected_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist.*data list"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="contains no recording"):
        read(tmp_path)
    write_log(tmp_path, recording([]))
    with pytest.raises(DataError, match="contains no message"):
        read_nonempty(tmp_path)


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
