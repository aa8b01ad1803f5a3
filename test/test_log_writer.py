"""Writer of a log: lock, recovery, segments, syncs, full disks, and folders that others remove."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from power_cut_for_tests import Disk, room_for
from recording_for_tests import (
    CHANNELS,
    DEFINITIONS,
    files_read,
    messages,
    recording,
    serialised,
    write_file,
    write_log,
)

from tdm_ros.data import log_writer
from tdm_ros.data.log import (
    EPISODE_TOPIC,
    TRANSITION_TOPIC,
    TransitionLog,
    count_messages,
    mcap_files,
    next_segment,
    read_transitions,
)
from tdm_ros.data.log_index import read_index
from tdm_ros.data.log_writer import LogLimits, LogWriter, McapWriter
from tdm_ros.data.mcap_layout import is_finished
from tdm_ros.data.mcap_records import RecordReader
from tdm_ros.data.recording import Channel
from tdm_ros.files import NAME, FolderInUseError, FolderLock
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.types import CycleRange

TASK = SAWYER_REACH["velocity"].fingerprint
RECORDING = recording()
TRANSITIONS = [m for m in RECORDING.messages if RECORDING.channels[m.channel].topic == TRANSITION_TOPIC]
ROOT = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def put(writer: LogWriter, numbers: range | list[int]) -> None:
    for number in numbers:
        message = TRANSITIONS[number % len(TRANSITIONS)]
        writer.write(TRANSITION_TOPIC, message.data, message.publish_time)


def held(folder: Path) -> list[bytes]:
    return [one.data for path in mcap_files(folder) for one in RecordReader(path) if hasattr(one, "data")]


def expected(count: int) -> list[bytes]:
    return [TRANSITIONS[number % len(TRANSITIONS)].data for number in range(count)]


# Recovery


def flipped(path: Path, at: int) -> bytes:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))
    return bytes(data)


def test_recovery_does_not_change_a_finished_log_with_a_wrong_length(tmp_path: Path) -> None:
    path = tmp_path / "0000.mcap"
    write_file(path, RECORDING, use_chunking=False, enable_data_crcs=True)
    before = flipped(path, path.read_bytes().index(TRANSITIONS[2].data) - 30)
    LogWriter(tmp_path, CHANNELS).close()
    assert path.read_bytes() == before
    assert len(held(tmp_path)) == len(RECORDING.messages) - 1


@pytest.mark.parametrize("byte", range(8))
def test_recovery_of_a_file_with_a_wrong_magic_byte_loses_nothing(tmp_path: Path, byte: int) -> None:
    for close in (True, False):
        folder = tmp_path / str(close)
        path = write_log(folder, RECORDING, close)
        before = flipped(path, byte)
        LogWriter(folder, CHANNELS).close()
        assert held(folder) == [m.data for m in RECORDING.messages]
        original = path if close else folder / "0000.mcap.torn"
        assert original.read_bytes() == before


@pytest.mark.parametrize("content", [b"a text, by somebody else", b"\0" * 5000, b"SQLite format 3\0" + bytes(100)])
def test_recovery_does_not_change_a_foreign_file_and_reports_it(tmp_path: Path, content: bytes) -> None:
    write_log(tmp_path, RECORDING)
    (tmp_path / "0002.mcap").write_bytes(content)
    writer = LogWriter(tmp_path, CHANNELS)
    assert (tmp_path / "0002.mcap").read_bytes() == content and writer.path.name == "0003.mcap"
    (sentence,) = writer.recovered
    assert "0002.mcap" in sentence and "left as it is" in sentence
    put(writer, range(3))
    writer.close()
    assert count_messages(tmp_path) == len(TRANSITIONS) + 3
    assert len(list(read_transitions(tmp_path, TASK))) == len(TRANSITIONS), "the three are there twice"


@pytest.mark.parametrize("cut", [*range(1, 100, 7), 500, 5000])
def test_recovery_keeps_every_whole_record_and_the_original(tmp_path: Path, cut: int) -> None:
    path = write_log(tmp_path, RECORDING, close=False)
    torn = path.read_bytes()[:-cut]
    path.write_bytes(torn)
    readable = held(tmp_path)
    writer = LogWriter(tmp_path, CHANNELS)
    assert is_finished(path) and held(tmp_path) == readable
    assert (tmp_path / "0000.mcap.torn").read_bytes() == torn
    assert f"{len(readable)} messages are recovered, the original is 0000.mcap.torn" in writer.recovered[0]
    writer.close()
    LogWriter(tmp_path, CHANNELS).close()
    assert held(tmp_path) == readable, "neither twice nor less, however often it is started"


def test_recovery_twice_keeps_both_originals(tmp_path: Path) -> None:
    for number in range(2):
        path = write_log(tmp_path / str(number), RECORDING, close=False)
        path.rename(tmp_path / "0000.mcap")
        LogWriter(tmp_path, CHANNELS).close()
    assert {one.name for one in tmp_path.glob("*.torn*")} == {"0000.mcap.torn", "0000.mcap.torn-1"}


def test_recovery_without_hard_links_keeps_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FAT."""
    path = write_log(tmp_path, RECORDING, close=False)
    before = path.read_bytes()

    def link(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    LogWriter(tmp_path, CHANNELS).close()
    assert (tmp_path / "0000.mcap.torn").read_bytes() == before and is_finished(path)
    assert held(tmp_path) == [m.data for m in RECORDING.messages]


def test_recovery_ignores_folders_links_and_pipes(tmp_path: Path) -> None:
    write_log(tmp_path, RECORDING)
    (tmp_path / "0002.mcap").mkdir()
    (tmp_path / "0003.mcap").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "0004.mcap")
    writer = LogWriter(tmp_path, CHANNELS)
    assert writer.path.name == "0005.mcap" and writer.recovered == []
    writer.close()
    assert held(tmp_path) == [m.data for m in RECORDING.messages]


def test_recovery_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from tdm_ros.data.log_writer import recover_all\n"
        "left = [int(sys.argv[2])]\n"
        "def dying(real):\n"
        "    def call(*given, **named):\n"
        "        left[0] -= 1\n"
        "        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return real(*given, **named)\n"
        "    return call\n"
        "for name in ('link', 'replace', 'fsync', 'unlink', 'open'): setattr(os, name, dying(getattr(os, name)))\n"
        "recover_all(Path(sys.argv[1]))\n"
    )
    statuses = []
    for calls in range(20):
        folder = tmp_path / str(calls)
        before = write_log(folder, RECORDING, close=False).read_bytes()
        statuses.append(subprocess.run([sys.executable, "-c", program, str(folder), str(calls)], cwd=ROOT).returncode)
        assert before in [path.read_bytes() for path in folder.glob("0000.mcap*")], "the original is there"
        assert held(folder) == [m.data for m in RECORDING.messages]
        LogWriter(folder, CHANNELS).close()
        assert held(folder) == [m.data for m in RECORDING.messages] and not list(folder.glob("*.part"))
        if statuses[-1] == 0:
            break
    assert len(statuses) > 5 and statuses[-1] == 0 and set(statuses[:-1]) == {-signal.SIGKILL}


def test_recovery_without_room_leaves_the_file_and_the_writer_begins(tmp_path: Path) -> None:
    path = write_log(tmp_path, RECORDING, close=False)
    before = path.read_bytes()
    with room_for(len(before) // 2):
        writer = LogWriter(tmp_path, CHANNELS)
        assert "cannot be recovered now" in writer.recovered[0]
        assert path.read_bytes() == before and not list(tmp_path.glob("*.part"))
    writer.close()


def test_log_of_the_version_without_chunks_is_still_read_and_recovered(tmp_path: Path) -> None:
    data = gzip.decompress((Path(__file__).parent / "recordings" / "without_run.mcap.gz").read_bytes())
    torn = data[:-30_000]
    (tmp_path / "0000.mcap").write_bytes(data)
    (tmp_path / "0001.mcap").write_bytes(torn)
    before = [t.cycle for t in read_transitions(tmp_path, TASK)]
    assert len(before) > 255 + 100
    writer = LogWriter(tmp_path, CHANNELS)
    put(writer, range(5))
    writer.close()
    assert [t.cycle for t in read_transitions(tmp_path, TASK)][:-5] == before
    assert (tmp_path / "0000.mcap").read_bytes() == data
    assert (tmp_path / "0001.mcap.torn").read_bytes() == torn


# One writer


def test_second_writer_is_rejected_with_the_name_of_the_first(tmp_path: Path) -> None:
    first = LogWriter(tmp_path, CHANNELS)
    with pytest.raises(FolderInUseError) as error:
        LogWriter(tmp_path, CHANNELS)
    host = os.uname().nodename
    assert f"is being written by collector, pid {os.getpid()} on host {host}, since " in str(error.value)
    assert "end that run first, or give another run_dir" in str(error.value)
    put(first, range(4))
    first.close()
    LogWriter(tmp_path, CHANNELS).close()
    assert held(tmp_path) == expected(4)


def test_writer_that_is_killed_releases_the_folder(tmp_path: Path) -> None:
    program = (
        "import sys, time; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path; from test_log_writer import *\n"
        "w = LogWriter(Path(sys.argv[3]), CHANNELS); put(w, range(20)); print('written', flush=True); time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", program, str(ROOT), str(ROOT / "test"), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"written\n"
        with pytest.raises(FolderInUseError, match=f"pid {process.pid} on host"):
            LogWriter(tmp_path, CHANNELS)
        os.kill(process.pid, signal.SIGKILL)
    writer = LogWriter(tmp_path, CHANNELS)
    assert "20 messages are recovered" in writer.recovered[0]
    writer.close()
    assert held(tmp_path) == expected(20)
    assert [t.stamp_ns for t in read_transitions(tmp_path, TASK)] == [m.publish_time for m in TRANSITIONS[:20]]


def test_lock_whose_file_was_removed_is_not_held_any_more(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "one")
    (tmp_path / NAME).unlink()
    assert not lock.is_held()
    other = FolderLock(tmp_path, "another")
    assert other.is_held()
    lock.release()
    assert other.is_held()
    other.release()


# What others do to the folder


def test_folder_removed_while_it_is_written_is_reported_and_nothing_of_the_file_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "log_mcap"
    writer = LogWriter(folder, CHANNELS)
    put(writer, range(10))
    shutil.rmtree(tmp_path / "run")
    put(writer, range(10, 15))
    assert held(folder) == expected(15), "what was acknowledged is on disk, before and after"
    (sentence,) = writer.reports
    assert "0000.mcap was removed while it was being written" in sentence and "0001.mcap" in sentence
    with pytest.raises(FolderInUseError):
        LogWriter(folder, CHANNELS)
    writer.close()
    assert held(folder) == expected(15) and all(map(is_finished, mcap_files(folder)))


def test_file_that_was_removed_alone_or_replaced_is_written_again(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, CHANNELS)
    put(writer, range(4))
    (tmp_path / "0000.mcap").unlink()
    (tmp_path / "0000.mcap").write_text("somebody's")
    put(writer, range(4, 8))
    writer.close()
    assert (tmp_path / "0000.mcap").read_text() == "somebody's"
    assert held(tmp_path) == expected(8)


def test_folder_that_can_not_be_made_again_acknowledges_nothing_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "log_mcap"
    writer = LogWriter(folder, CHANNELS)
    put(writer, range(3))
    shutil.rmtree(folder)
    folder.write_text("in the way")
    for number in (3, 4):
        with pytest.raises(OSError):
            put(writer, [number])
    assert "log_mcap" in writer.problem
    folder.unlink()
    put(writer, range(5, 8))
    assert writer.problem == "" and writer.lost == 0
    assert held(folder) == expected(8)
    writer.close()


# A full disk


def test_full_disk_acknowledges_nothing_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, CHANNELS)
    put(writer, range(3))
    with room_for(writer.path.stat().st_size + 100):  # a part of the next message fits
        for number in range(3, 30):
            with pytest.raises(OSError):
                put(writer, [number])
        assert "cannot be written" in writer.problem
        assert held(tmp_path) == expected(3)
    put(writer, range(30, 33))
    assert writer.problem == ""
    writer.close()
    assert held(tmp_path) == expected(33)
    assert not [problem for path in mcap_files(tmp_path) for problem in whole(path).problems]


def test_full_disk_at_the_start_names_the_remedy_and_leaves_no_lock(tmp_path: Path) -> None:
    with room_for(0):
        with pytest.raises(
            OSError, match=r"0000\.mcap cannot be created: File too large; make room, or give another run"
        ):
            LogWriter(tmp_path, CHANNELS)
        lock = FolderLock(tmp_path, "trainer")  # what need not write goes on
        assert lock.is_held()
        with pytest.raises(FolderInUseError):
            FolderLock(tmp_path, "another")
        lock.release()
    writer = LogWriter(tmp_path, CHANNELS)
    put(writer, range(3))
    writer.close()
    assert held(tmp_path) == expected(3)


def whole(path: Path) -> RecordReader:
    reader = RecordReader(path)
    list(reader)
    return reader


def test_full_disk_and_full_memory_count_lost_messages(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, CHANNELS, LogLimits(waiting_bytes=2000))
    put(writer, range(1))
    with room_for(writer.path.stat().st_size):
        for number in range(1, 21):
            with pytest.raises(OSError):
                put(writer, [number])
    put(writer, [21])
    writer.close()
    assert 10 < writer.lost < 19
    assert len(held(tmp_path)) == 22 - writer.lost and held(tmp_path)[-1] == TRANSITIONS[21].data


def test_full_disk_at_the_end_is_an_error_and_the_next_writer_finishes_the_file(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, CHANNELS)
    put(writer, range(5))
    with room_for(writer.path.stat().st_size + 20):
        writer.close()
        assert "is not on the disk" in writer.problem
    LogWriter(tmp_path, CHANNELS).close()
    assert held(tmp_path) == expected(5) and all(map(is_finished, mcap_files(tmp_path)))


# Segments


def test_segments_end_by_size_and_by_age(tmp_path: Path) -> None:
    now = [0.0]
    limits = LogLimits(segment_bytes=20_000)
    writer = LogWriter(tmp_path / "size", CHANNELS, limits)
    put(writer, range(200))
    writer.close()
    files = mcap_files(tmp_path / "size")
    assert len(files) > 3 and all(map(is_finished, files))
    assert list(read_index(tmp_path / "size")) == [one.name for one in files]
    assert all(path.stat().st_size < 30_000 for path in files)
    writer = LogWriter(tmp_path / "age", CHANNELS, LogLimits(segment_s=60.0), clock=lambda: now[0])
    for number in range(200):
        now[0] += 1.0
        put(writer, [number])
    writer.close()
    assert [one.count_of(TRANSITION_TOPIC) for one in read_index(tmp_path / "age").values()] == [60, 60, 60, 20]
    for folder in ("size", "age"):
        assert held(tmp_path / folder) == expected(200)


def test_file_that_is_full_while_the_thread_waits_for_the_disk_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[OSError] = []
    finished: list[Path] = []
    fsync = os.fsync

    def sync(fd: int) -> None:
        try:
            fsync(fd)
        except OSError as error:
            failed.append(error)
            raise

    def wait_for_a_full_next_file(path: Path, tally: object) -> None:
        finished.append(path)
        if len(finished) == 1:
            waiting.set()
            assert filled.wait(30)

    waiting, filled = threading.Event(), threading.Event()
    monkeypatch.setattr(os, "fsync", sync)
    limits = LogLimits(segment_bytes=15_000, sync_s=0.1)
    monkeypatch.setattr(log_writer, "add_to_index", wait_for_a_full_next_file)
    writer = LogWriter(tmp_path, CHANNELS, limits)
    put(writer, range(30))
    assert waiting.wait(30)
    put(writer, range(30))  # by this thread, as all that is written
    filled.set()
    until(lambda: len(finished) == 2)
    writer.close()
    assert failed == [] and held(tmp_path) == expected(30) * 2


def many(folder: Path, parts: int = 6) -> LogWriter:
    """A log of several segments; the last is still being written."""
    writer = LogWriter(folder, CHANNELS, LogLimits(segment_bytes=20_000))
    for part in range(parts):
        start_ns, run = 1_700_000_000_000_000_007 + part * 10**12, f"run {part}"
        for message in recording(messages(start_ns=start_ns, run=run)).messages:
            writer.write(RECORDING.channels[message.channel].topic, message.data, message.publish_time)
    until(lambda: all(map(is_finished, mcap_files(folder)[:-1])))
    return writer


def test_counting_a_long_log_reads_only_the_file_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = many(tmp_path)
    names = files_read(monkeypatch)
    assert count_messages(tmp_path) == 6 * len(TRANSITIONS)
    assert names == [writer.path.name] and len(mcap_files(tmp_path)) > 4
    later = mcap_files(tmp_path)[2].name
    assert 0 < count_messages(tmp_path, since=later) < 6 * len(TRANSITIONS)
    writer.close()
    names.clear()
    assert count_messages(tmp_path) == 6 * len(TRANSITIONS) and names == []


def test_catching_up_reads_no_file_before_the_one_that_it_begins_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = many(tmp_path)
    everything = list(read_transitions(tmp_path, TASK))
    names = files_read(monkeypatch)
    for missing in (0, 1, 5, 40):
        names.clear()
        stamps = {one.stamp_ns for one in everything[: len(everything) - missing]}
        found = list(TransitionLog(tmp_path, TASK).read_after(lambda one, known=stamps: one.stamp_ns in known))
        assert [one.stamp_ns for one in found] == [one.stamp_ns for one in everything[len(everything) - missing :]]
        assert len(set(names)) <= 3 < len(mcap_files(tmp_path))
    assert len(list(TransitionLog(tmp_path, TASK).read_after(lambda one: False))) == len(everything)
    writer.close()


def test_reading_the_newest_transitions_reads_the_last_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path).close()
    everything = [one.stamp_ns for one in read_transitions(tmp_path, TASK)]
    names = files_read(monkeypatch)
    for newest in (0, 1, 60, 10**6):
        names.clear()
        found = [one.stamp_ns for one in TransitionLog(tmp_path, TASK).read(newest)]
        assert found == everything[len(everything) - len(found) :] and len(found) >= min(newest, len(everything))
        assert len(names) <= {0: 0, 1: 1, 60: 3}.get(newest, len(mcap_files(tmp_path)))


# A power cut


def test_written_messages_are_synced_without_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, tmp_path / "log")
    writer = LogWriter(tmp_path / "log", CHANNELS)
    put(writer, range(7))
    until(lambda: held(disk.cut(tmp_path / "cut", names_at_once=False)) == expected(7))
    put(writer, range(7, 9))
    writer.sync_soon()
    until(lambda: held(disk.cut(tmp_path / "cut", names_at_once=False)) == expected(9))
    writer.close()


def test_power_cut_at_any_moment_loses_only_what_was_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rotation and recovery: whatever was once safe stays so."""
    folder = tmp_path / "log"
    write_log(folder, RECORDING, close=False)
    disk = Disk(monkeypatch, folder)
    disk.know_all()
    safe = [0]

    def look() -> None:
        for at_once in (True, False):
            left = held(disk.cut(tmp_path / f"cut{at_once}", at_once))
            assert left == (expected_all * 2)[: len(left)] or len(left) >= len(RECORDING.messages)
            assert len(left) >= safe[0], f"{safe[0]} messages were safe, {len(left)} are left"
            safe[0] = max(safe[0], len(left)) if not at_once else safe[0]

    expected_all = [m.data for m in RECORDING.messages]
    failed: list[BaseException] = []

    def watched() -> None:
        try:
            look()
        except BaseException as error:
            failed.append(error)

    disk.after = watched
    writer = LogWriter(folder, CHANNELS, LogLimits(segment_bytes=20_000, sync_s=0.01))
    for number in range(150):
        put(writer, [number])
        if number % 10 == 0:
            before = disk.syncs
            until(lambda before=before: disk.syncs > before)
    writer.close()
    assert not failed, failed[0]
    assert disk.syncs > 15 and safe[0] == len(RECORDING.messages) + 150


def test_writing_never_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, waiting, waited_in = threading.Event(), threading.Event(), set()
    real = os.fsync

    def slow(fd: int) -> None:
        waited_in.add(threading.current_thread())
        waiting.set()
        go_on.wait(60)
        real(fd)

    writer = LogWriter(tmp_path, CHANNELS, LogLimits(segment_bytes=20_000))
    monkeypatch.setattr(os, "fsync", slow)
    put(writer, range(1))
    assert waiting.wait(30)
    put(writer, range(1, 200))
    assert held(tmp_path) == expected(200) and len(mcap_files(tmp_path)) > 3
    assert threading.main_thread() not in waited_in
    go_on.set()
    writer.close()
    assert all(map(is_finished, mcap_files(tmp_path)))


# What was written is read again, also by other readers of MCAP


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


@pytest.mark.parametrize("name", ["0000.mcap", "0007.mcap"])
def test_writer_asks_for_the_task_of_the_newest_transitions_before_it_adds_a_file(tmp_path: Path, name: str) -> None:
    TransitionLog(tmp_path / "none", TASK).check_task()
    write(tmp_path / name, 5)
    McapWriter(tmp_path / "0008.mcap", CHANNELS).close()
    TransitionLog(tmp_path, TASK).check_task()
    with pytest.raises(ValueError, match=rf"recorded for task {TASK}, this is another.*another run directory"):
        TransitionLog(tmp_path, "another").check_task()


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
        channel = Channel.of_ros(EPISODE_TOPIC, "tdm_ros/msg/Episode", DEFINITIONS[EPISODE_TOPIC])
        writer = McapWriter(tmp_path / f"{number:04d}.mcap", [channel])
        writer.write(EPISODE_TOPIC, data, number)
        writer.close()
    log = TransitionLog(tmp_path, TASK)
    assert list(log.read()) == []
    assert log.discarded == {CycleRange("a", 3, 5), CycleRange("b", 7, 9)}
