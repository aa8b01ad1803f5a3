"""Index of a log: counts and times of finished files, without opening them."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path

import pytest
from recording_for_tests import CHANNELS, recording

from tdm_ros.data import log_index
from tdm_ros.data.bag import METADATA, write_log_metadata
from tdm_ros.data.log import EPISODE_TOPIC, count_messages, file_sizes, mcap_files
from tdm_ros.data.log_index import INDEX, BagFile, read_index
from tdm_ros.data.log_writer import LogLimits, LogWriter
from tdm_ros.data.tally import Tally

RECORDING = recording()
COUNT = sum(RECORDING.channels[one.channel].topic != EPISODE_TOPIC for one in RECORDING.messages)


def long_log(folder: Path, parts: int = 6) -> LogWriter:
    """Log of some finished files and an open one."""
    writer = LogWriter(folder, CHANNELS, LogLimits(segment_bytes=20_000))
    for _ in range(parts):
        for message in RECORDING.messages:
            writer.write(RECORDING.channels[message.channel].topic, message.data, message.publish_time)
    return writer


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose summary is read."""
    names: list[str] = []
    real = log_index.read_summary

    def watched(path: Path) -> object:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(log_index, "read_summary", watched)
    return names


def test_long_log_is_counted_and_described_from_the_index_alone(tmp_path: Path, opened: list[str]) -> None:
    long_log(tmp_path).close()
    assert len(read_index(tmp_path)) == len(mcap_files(tmp_path)) > 4
    opened.clear()
    assert count_messages(tmp_path) == 6 * COUNT
    described = write_log_metadata(tmp_path).read_text()
    assert opened == []
    (tmp_path / INDEX).unlink()
    (tmp_path / METADATA).unlink()
    assert count_messages(tmp_path) == 6 * COUNT
    assert write_log_metadata(tmp_path).read_text() == described
    assert len(read_index(tmp_path)) == len(mcap_files(tmp_path)), "an older log is added to the index"


def test_line_that_is_damaged_or_of_a_file_of_another_size_is_ignored(tmp_path: Path, opened: list[str]) -> None:
    long_log(tmp_path).close()
    index, files = tmp_path / INDEX, mcap_files(tmp_path)
    lines = index.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"0000", b"0009")
    index.write_bytes(b"".join(lines)[:-100])
    with files[2].open("ab") as file:
        file.write(b"\0")
    assert set(read_index(tmp_path)) == {one.name for one in files} - {files[i].name for i in (0, 2, -1)}
    opened.clear()
    assert count_messages(tmp_path) == 6 * COUNT
    assert opened == [files[i].name for i in (0, 2, -1)]


def test_line_with_other_numbers_than_a_file_has_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "0000.mcap"
    path.write_bytes(b"a file")

    def read(rest: str) -> list[BagFile]:
        text = f'["{path.name}", 6, {rest}]'
        (tmp_path / INDEX).write_text(f"{zlib.crc32(text.encode()):08x} {text}\n")
        return list(read_index(tmp_path).values())

    for tally in ("[1, 1, 0, {}, [[0, 4294967295]]]", "[Infinity, 1, 0, {}, []]", "[1, 1, 0, [], []]", "[1]", '"a"'):
        assert read(f"1, 2, [], {tally}") == []
    for times in ("1e300, 2", '"a", "b"', "-1, 2", "1, 18446744073709551616", "Infinity, 1"):
        assert read(f"{times}, [], null") == []
    assert read("1, 2, [], null") == read("1, 2, []") == [BagFile(path.name, 1, 2, ())], "as older versions wrote it"
    (found,) = read('1, 2, [], [5, 2, 0, {"a:1": 5}, [[1, 3], [7, 8]]]')
    assert found.tally == Tally(5, 2, 0, Counter({"a:1": 5}), {1, 2, 7})


def test_recovered_file_is_in_the_index_and_the_index_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    writer = long_log(tmp_path)
    with (tmp_path / INDEX).open("ab") as file:
        file.write(b"12345678 [")
    writer.close()
    os.truncate(mcap_files(tmp_path)[-1], mcap_files(tmp_path)[-1].stat().st_size - 20)
    LogWriter(tmp_path, CHANNELS).close()
    assert set(read_index(tmp_path)) == {one.name for one in mcap_files(tmp_path)}


def test_index_without_room_costs_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = long_log(tmp_path, parts=1)
    (tmp_path / INDEX).unlink(missing_ok=True)
    (tmp_path / INDEX).mkdir()  # it cannot be opened as a file
    writer.close()
    assert count_messages(tmp_path) == COUNT
    assert writer.problem == ""


def test_sizes_of_a_log_leave_out_a_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "0001.mcap").write_bytes(bytes(7))
    (tmp_path / "0000.mcap.torn").write_bytes(bytes(3))
    (tmp_path / "0002.mcap").symlink_to(tmp_path / "moved.mcap")
    assert file_sizes(tmp_path) == (("0000.mcap.torn", 3), ("0001.mcap", 7))
    assert file_sizes(tmp_path / "none") == ()
