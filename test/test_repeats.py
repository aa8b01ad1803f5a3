"""A record that is in a log twice is read once."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from mcap.opcode import Opcode
from mcap.records import Message
from recording_for_tests import recording, write_log

from tdm_ros.cli import main
from tdm_ros.data import repeats
from tdm_ros.data.log import TransitionLog, count_messages
from tdm_ros.data.log_writer import recover_all
from tdm_ros.data.recording import TRANSITION_TYPE
from tdm_ros.data.repeats import RepeatedMessages
from tdm_ros.data.sources import read
from tdm_ros.data.summary import check, summarise
from tdm_ros.data.table import to_table
from tdm_ros.tasks import SAWYER_REACH

TASK = SAWYER_REACH["velocity"].fingerprint
RECORDING = recording()
CYCLES = to_table(RECORDING).columns["cycle"].tolist()


def doubled(folder: Path, close: bool = True) -> Path:
    """Log of one file in which each chunk with transitions is twice."""
    path = write_log(folder, RECORDING, close)
    data, made, at = path.read_bytes(), bytearray(), 8
    made += data[:8]
    while at + 9 <= len(data) and data[at : at + 8] != data[:8]:
        opcode, length = struct.unpack_from("<BQ", data, at)
        made += data[at : at + 9 + length] * (2 if opcode == Opcode.CHUNK else 1)
        at += 9 + length
    path.write_bytes(made + data[at:])
    return path


def test_chunk_that_is_twice_in_a_log_is_read_once_and_counted(tmp_path: Path) -> None:
    folder = doubled(tmp_path / "log_mcap", close=False).parent
    assert count_messages(folder) == len(CYCLES)
    log = TransitionLog(folder, TASK)
    assert [one.cycle for one in log.read()] == CYCLES and log.repeated == len(RECORDING.messages)
    assert [one.cycle for one in log.read_after(lambda one: False)] == CYCLES
    found = read(tmp_path)
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages]
    assert f"{len(RECORDING.messages)} messages that are in it twice are left out" in found.problems[0]


def test_recovered_file_has_each_message_once(tmp_path: Path) -> None:
    path = doubled(tmp_path, close=False)
    (report,) = recover_all(tmp_path)
    assert f"{len(RECORDING.messages)} messages are recovered" in report and "twice" in report
    found = read(path)
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages] and not found.problems


def test_copy_of_a_file_of_a_log_adds_no_transition(tmp_path: Path) -> None:
    path = write_log(tmp_path, RECORDING)
    shutil.copy(path, tmp_path / "0001.mcap")
    log = TransitionLog(tmp_path, TASK)
    assert [one.cycle for one in log.read()] == CYCLES and log.repeated == len(CYCLES)
    assert [one.cycle for one in log.read_after(lambda one: False)] == CYCLES and log.repeated == 2 * len(CYCLES)
    found = read(tmp_path)
    table = to_table(found)
    assert table.columns["cycle"].tolist() == CYCLES and table.repeated == len(CYCLES)
    sentence = f"{found.name}: {len(CYCLES)} transitions have the run and cycle of an earlier one"
    assert sentence in check(found, table)
    summary = summarise(found, table)
    assert summary.problems == [sentence] and not summary.damaged and summary.transitions == len(CYCLES)


def test_validate_and_convert_say_that_a_chunk_is_there_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = doubled(tmp_path)
    assert main(["data", "validate", str(path)]) == 1
    assert "messages that are in it twice are left out" in capsys.readouterr().out
    assert main(["data", "convert", str(path), "--to", "mcap", "--out", str(tmp_path / "out")]) == 1
    assert read(tmp_path / "out").count(TRANSITION_TYPE) == len(CYCLES)


def test_repetitions_are_found_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "REMEMBERED", 100)
    found = RepeatedMessages()
    some = [Message(1, number, b"", number, number) for number in range(1000)]
    assert not any(map(found.add, some))
    assert all(map(found.add, some[-100:]))
    assert len(found._recent) + len(found._before) <= 200
    assert not found.add(replace(some[-1], data=b"other"))
