"""A power cut of a block device: the image of a mounted ext4 is copied, and its journal replayed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recording_for_tests import CHANNELS
from test_checkpoint_durable import learned
from test_log_writer import expected, held, put, until

from tdm_ros.data.log_writer import LogLimits, LogWriter
from tdm_ros.files import write_durably
from tdm_ros.training.checkpoint import load_learner, save_checkpoint

IMAGE_MB = 32


def command(*words: object) -> bool:
    try:
        return subprocess.run(list(map(str, words)), capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Device:
    """A file system in a file, mounted."""

    def __init__(self, folder: Path) -> None:
        self._image, self._copy = folder / "disk", folder / "copy"
        self.root, self._left = folder / "mounted", folder / "left"
        for path in (self.root, self._left):
            path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(IMAGE_MB << 20)
        if not (command("mkfs.ext4", "-q", self._image) and self._mount()):
            pytest.skip("no loop device can be mounted here (as root, outside of a container, it can)")

    def _mount(self) -> bool:
        return command("mount", "-o", "loop", self._image, self.root)

    def mount_again(self) -> None:
        """What an operator does after a disk has failed."""
        assert command("umount", self.root) and command("e2fsck", "-fy", self._image) is not None and self._mount()

    @contextmanager
    def cut(self) -> Iterator[Path]:
        """The folder that would be found after a power cut at this moment."""
        data = self._image.read_bytes()
        while data != (again := self._image.read_bytes()):  # it was being written: no device stops half-way in time
            data = again
        self._copy.write_bytes(data)
        assert command("mount", "-o", "loop", self._copy, self._left)
        try:
            yield self._left
        finally:
            command("umount", self._left)

    def close(self) -> None:
        command("umount", self.root)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.close()


def test_power_cut_of_a_real_file_system_leaves_what_was_written(device: Device) -> None:
    folder = device.root / "run"
    (folder / "log_mcap").mkdir(parents=True)
    writer = LogWriter(folder / "log_mcap", CHANNELS, LogLimits(segment_bytes=60_000))
    agent, safe = learned(60), 0
    for turn in range(1, 4):
        put(writer, range(100 * (turn - 1), 100 * turn))
        agent.learner.updates += 1
        save_checkpoint(folder / "checkpoint", agent.learner)
        write_durably(folder / "weights_version", str(turn))
        with device.cut() as left:
            assert load_learner(left / "run" / "checkpoint").updates == agent.learner.updates
            assert (left / "run" / "weights_version").read_text() == str(turn)

        def is_there(count: int = 100 * turn) -> bool:
            nonlocal safe
            with device.cut() as left:
                found = held(left / "run" / "log_mcap")
            assert found == expected(len(found)) and len(found) >= safe
            safe = len(found)
            return safe == count

        until(is_there)
    writer.close()
    with device.cut() as left:
        assert held(left / "run" / "log_mcap") == expected(300)


def test_file_system_that_turns_read_only_acknowledges_nothing_and_keeps_what_was_synced(device: Device) -> None:
    folder = device.root / "log_mcap"
    writer = LogWriter(folder, CHANNELS, LogLimits(sync_s=0.05))
    put(writer, range(3))

    def is_there() -> bool:
        with device.cut() as left:
            return held(left / "log_mcap") == expected(3)

    until(is_there)
    assert command("mount", "-o", "remount,abort", device.root), "what ext4 does after an error of the disk"
    for number in (3, 4):
        with pytest.raises(OSError, match="Read-only file system"):
            put(writer, [number])
    assert "0000.mcap cannot be written: Read-only file system" in writer.problem
    with pytest.raises(OSError):
        writer.close()
    os.close(writer._file._stream.fd)  # as the end of its process does
    device.mount_again()
    LogWriter(folder, CHANNELS).close()
    assert held(folder) == expected(3)
