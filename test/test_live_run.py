"""The record of a live run: counts at the end of a long one, and alarms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from power_cut_for_tests import room_for
from recording_for_tests import CHANNELS
from test_log_writer import TRANSITIONS, files_read, many, put

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.episodes import EpisodeMachine, EpisodeResult
from tdm_ros.control.goals import Goals, Schedule
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Mode, Source
from tdm_ros.data.log import LOG_FOLDER
from tdm_ros.data.log_writer import LogWriter
from tdm_ros.files import FolderInUseError
from tdm_ros.live.run_record import RunRecord
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.training.metrics import read_metrics

TASK = SAWYER_REACH["velocity"]


def record_in(folder: Path) -> RunRecord:
    return RunRecord(folder, TASK, 0, EpisodeMachine(LiveTask(TASK), Schedule(), Goals(TASK, 0)))


def test_end_of_a_long_run_reads_only_the_file_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = many(tmp_path / LOG_FOLDER, parts=4)
    earlier.close()
    names = files_read(monkeypatch)
    record = record_in(tmp_path)
    assert names == [], "an earlier run is not counted at the start"
    writer = LogWriter(tmp_path / LOG_FOLDER, CHANNELS)
    put(writer, range(len(TRANSITIONS)))
    record.on_values("collector", {"first_segment": writer.first, "alarm": ""})
    record.finish()
    assert json.loads((tmp_path / "summary.json").read_text())["transitions"]["logged"] == len(TRANSITIONS)
    assert names == [writer.path.name]
    writer.close()


def test_run_without_a_collector_has_logged_nothing(tmp_path: Path) -> None:
    many(tmp_path / LOG_FOLDER, parts=1).close()
    record = record_in(tmp_path)
    assert record.summary()["transitions"]["logged"] == 0
    record.on_values("collector", {"first_segment": "0001.mcap"})
    record.on_values("collector", {"first_segment": "0003.mcap"})  # it was started again
    assert record._first_segment == "0001.mcap"


def test_live_line_shows_the_collectors_alarm_until_it_ends(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    record.on_values("collector", {"alarm": "NOT RECORDED: no room"})
    assert "NOT RECORDED: no room" in record.line(1.0)
    record.on_values("collector", {"alarm": ""})
    assert "NOT RECORDED" not in record.line(2.0)
    record.on_trainer({"alarm": "checkpoint is not saved: no room"}, 3.0)
    assert "checkpoint is not saved" in record.line(3.0)


def result(episode: int) -> EpisodeResult:
    goal = np.full(3, 0.4, np.float32)
    return EpisodeResult(episode, Mode.TRAIN, goal, np.full(3, 0.41), 0.01, "time_limit", "", 50 * episode)


def test_live_line_has_time_state_distances_rates_and_remaining_time(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    for episode in (1, 2):
        record.on_episode(result(episode))
    record.on_values("arm", {"missed": "1"})
    for second, updates in enumerate(("1", "100"), start=1):
        record.on_trainer({"updates": updates}, second)
    line = record.line(2.0)
    assert line.startswith("\r0:00 robot time | hold 0 | last 1.0 1.0 cm | ") and line.endswith("\x1b[K")
    assert "Hz, 1 missed | 99 updates/s | 3:00 left | starting" in line


RESTS = cast(ArmSample, SimpleNamespace(source=Source.SAFETY, episode=0, hand_m=np.zeros(3)))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("no arm", "no state of an arm was received; the output of the node arm in"),
        ("fault", "the arm: no joint states; remove the cause and start again (after clear_fault, where"),
        ("ended", "the run was ended before its first episode; what each node said is in"),
        ("disabled", "DISABLED, waiting for ~/start; start it, with Start on the page or the service supervisor/start"),
    ],
)
def test_end_of_a_run_in_which_nothing_moved_says_why_instead_of_zeros(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, expected: str
) -> None:
    machine = EpisodeMachine(LiveTask(TASK), Schedule(auto_start=state != "disabled"), Goals(TASK, 0))
    record = RunRecord(tmp_path, TASK, 0, machine)
    if state != "no arm":
        record.on_cycle(RESTS)
    if state == "fault":
        machine.fault("the arm: no joint states")
    record.finish()
    said = capsys.readouterr().out
    assert "The arm never moved, and there is nothing to evaluate: " in said and expected in said
    assert f"{tmp_path / 'log'}" in said and said.count("\n") == 2 and "p50" not in said
    assert json.loads((tmp_path / "summary.json").read_text())["episodes"] == 0, "the file has all of it"


def test_end_of_a_run_with_an_episode_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = record_in(tmp_path)
    record.on_cycle(RESTS)
    record.on_episode(result(1))
    record.finish()
    assert "1 episodes" in (said := capsys.readouterr().out) and "never moved" not in said


def test_full_disk_loses_no_row_of_the_metrics_and_the_run_still_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = record_in(tmp_path)
    record.on_episode(result(1))
    with room_for((tmp_path / "metrics.csv").stat().st_size):
        record.on_episode(result(2))
        assert "metrics are not written" in record.line(1.0)
    record.on_episode(result(3))
    assert "metrics are not written" not in record.line(2.0)
    assert [row.episode for row in read_metrics(tmp_path)] == [1, 2, 3]
    with room_for(10):
        record.finish()
    assert "summary or metrics cannot be written" in capsys.readouterr().out
    assert not (tmp_path / "summary.json").exists()


def test_metrics_that_are_removed_are_written_again(tmp_path: Path) -> None:
    record = record_in(tmp_path / "run")
    for episode in (1, 2):
        record.on_episode(result(episode))
    shutil.rmtree(tmp_path / "run")
    for episode in (3, 4):
        record.on_episode(result(episode))
    record.finish()
    assert [row.episode for row in read_metrics(tmp_path / "run")] == [1, 2, 3, 4]
    assert (tmp_path / "run" / "summary.json").exists()


def test_second_record_of_a_run_is_rejected(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    with pytest.raises(FolderInUseError, match="is being written by supervisor, pid"):
        record_in(tmp_path)
    record.finish()
    record_in(tmp_path).finish()
