"""Long runs: a restart reads no more than the replay holds, and old files can be removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recording_for_tests import CHANNELS, files_read, messages, recording

from tdm_ros.cli import main
from tdm_ros.data.log import TransitionLog, count_messages, mcap_files
from tdm_ros.data.log_writer import LogLimits, LogWriter
from tdm_ros.files import FolderLock
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.replay import TrajectoryStore
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner

TASK = SAWYER_REACH["velocity"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of about ten finished files."""
    writer = LogWriter(tmp_path / "log_mcap", CHANNELS, LogLimits(segment_bytes=20_000))
    for part in range(6):
        made = recording(messages(start_ns=1_700_000_000_000_000_007 + part * 10**12))
        for number, message in enumerate(made.messages):
            writer.write(made.channels[message.channel].topic, message.data, message.publish_time + number)
    writer.close()
    return tmp_path / "log_mcap"


def test_restart_reads_only_as_much_of_the_log_as_the_replay_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = files_read(monkeypatch)
    learner = Learner(TASK, TdmConfig(), 0)
    learner.store = TrajectoryStore(TASK, capacity=40)
    OnlineLearner(learner).rebuild_from({"": TransitionLog(folder, TASK.fingerprint)})
    files = [one.name for one in mcap_files(folder)]
    assert len(files) > 6 and len(read) <= 3 and read == files[-len(read) :]
    assert 0 < learner.transitions <= count_messages(folder) - 40


def test_restart_continues_the_schedule_of_transitions_that_are_no_longer_there() -> None:
    learner = Learner(TASK, TdmConfig(total_timesteps=1000), 0)
    learner.saved_transitions = 600
    OnlineLearner(learner).rebuild_from({})
    assert learner.steps == 600 and learner.progress == pytest.approx(0.6)


def test_prune_removes_the_oldest_files_by_size_and_by_age(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = mcap_files(folder)
    size = sum(one.stat().st_size for one in files[3:])
    assert main(["data", "prune", str(folder.parent), "--keep-gb", str((size + 10) / 1e9)]) == 0
    assert mcap_files(folder) == files[3:] and "3 files are removed" in capsys.readouterr().out
    assert 0 < count_messages(folder) < 6 * 60
    assert files[0].name not in (folder / "metadata.yaml").read_text()
    for one in files[3:5]:
        os.utime(one, (0, 0))
    assert main(["data", "prune", str(folder), "--keep-days", "365"]) == 0
    assert mcap_files(folder) == files[5:]
    assert main(["data", "prune", str(folder), "--keep-gb", "0"]) == 0
    assert mcap_files(folder) == files[-1:], "the newest is kept"


def test_prune_of_a_log_that_is_being_written_or_without_a_limit_removes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = mcap_files(folder)
    lock = FolderLock(folder, "collector")
    assert main(["data", "prune", str(folder), "--keep-gb", "0"]) == 2
    lock.release()
    assert "is being written by collector" in capsys.readouterr().err
    assert main(["data", "prune", str(folder)]) == main(["data", "prune", str(folder), "--keep-gb", "-1"]) == 2
    assert mcap_files(folder) == files
