"""Writer of a log: consecutive files, each synced within a second; recovery of the files of a killed writer.

A chunk contains the messages between two flushes, usually one cycle, so that killing the process loses no flushed
message, a damaged byte costs one cycle, and readers that require chunks (Rerun) can read the files.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Message
from mcap.writer import CompressionType, Writer

from tdm_ros.data.bag import LIBRARY, register, write_mcap
from tdm_ros.data.counting import count_file
from tdm_ros.data.log import mcap_files, next_segment, number_of
from tdm_ros.data.log_index import add_to_index
from tdm_ros.data.mcap_layout import is_finished
from tdm_ros.data.mcap_records import RecordReader
from tdm_ros.data.recording import Channel, DataError
from tdm_ros.data.sources import collect
from tdm_ros.data.tally import Tally, TallyCounter
from tdm_ros.files import FolderLock, make_folder, put_in_place, sync_folder

_NEVER = 1 << 62
_COPIED_CHUNK = 1 << 14


class _Stream:
    """File object for the MCAP library; keeps data that the disk rejects until it is written."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.pending = bytearray()
        self.written = 0

    def write(self, data: bytes) -> int:
        self.pending += data
        return len(data)

    def tell(self) -> int:
        return self.written + len(self.pending)

    def flush(self) -> None:
        while self.pending:
            count = os.write(self.fd, self.pending)
            self.written += count
            del self.pending[:count]


class McapWriter:
    """Appends serialised messages to one new MCAP file.

    Raises FileExistsError if the file exists: a log is never overwritten.
    """

    def __init__(self, path: Path, channels: list[Channel]) -> None:
        make_folder(path.parent)
        self.path = path
        self._stream = _Stream(_create(path))
        self._writer = Writer(self._stream, _NEVER, CompressionType.NONE, enable_data_crcs=True)  # type: ignore[arg-type]
        self._writer.start(profile="ros2", library=LIBRARY)
        self._ids = dict(zip((one.topic for one in channels), register(self._writer, channels), strict=True))
        self._counter = TallyCounter()
        for one in channels:
            self._counter.declare(one.topic, one)
        self.count = self._newest_ns = self._buffered = 0
        self._closed = self._finished = False
        try:
            self._writer.flush()
        except OSError:
            os.close(self._stream.fd)
            path.unlink(missing_ok=True)
            raise

    @property
    def tally(self) -> Tally:
        """Numbers of its transitions and episodes."""
        return self._counter.tally

    @property
    def size(self) -> int:
        """Size of the file, including data that is not written yet [bytes]."""
        return self._stream.tell() + self._buffered

    @property
    def waiting(self) -> int:
        """Size of the data that is not written yet [bytes]."""
        return len(self._stream.pending) + self._buffered

    def write(self, topic: str, data: bytes, stamp_ns: int, flush: bool = True) -> None:
        """Append one CDR message and, with ``flush``, write it and all pending messages to the operating system.

        Its publish time is ``stamp_ns``. Its log time is the same, or that of the message before it if that is later: a
        transition is known one cycle late, and players require log times that never decrease. Raises KeyError if the
        topic is not among the channels, OSError if the disk is full or was removed: the message is kept, and written
        with the next successful write.
        """
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._writer.add_message(self._ids[topic], self._newest_ns, data, stamp_ns, self.count)
        self._counter.add(topic, data)
        self._buffered += len(data)
        self.count += 1
        if flush:
            self.flush()

    def flush(self) -> None:
        """Write pending messages to the operating system. Raises OSError if the disk rejects them; they are kept."""
        self._buffered = 0
        self._writer.flush()

    def sync(self) -> None:
        """Wait until flushed data is on the disk; a closed file is already."""
        if not self._closed:
            os.fsync(self._stream.fd)

    def is_in_place(self) -> bool:
        """Whether the path still refers to the file that is being written, which may be removed or replaced."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        mine = os.fstat(self._stream.fd)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def move(self, path: Path) -> None:
        """Write the content again under a new name, since the old name was removed, and continue there.

        Raises OSError if that fails; then nothing is changed.
        """
        make_folder(path.parent)
        old, new = self._stream.fd, _create(path)
        try:
            at = 0
            while at < self._stream.written:
                block = os.pread(old, 1 << 20, at)
                while block:
                    count = os.write(new, block)
                    at, block = at + count, block[count:]
            os.fsync(new)
            sync_folder(path.parent)
        except BaseException:
            os.close(new)
            path.unlink(missing_ok=True)
            raise
        os.dup2(new, old, inheritable=False)  # a sync in another thread continues with the new file
        os.close(new)
        self.path = path

    def close(self) -> None:
        """Write the summary, which completes the file, and wait until it is on the disk.

        Raises OSError if the disk rejects it; then it may be called again.
        """
        if self._closed:
            return
        if not self._finished:
            self._finished = True
            self._writer.flush()  # the library leaves pending data out of the checksum
            self._writer.finish()
        self._stream.flush()
        self.sync()
        os.close(self._stream.fd)
        self._closed = True


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


KEPT = ".torn"
"""Suffix of an original file; readers look for .mcap."""


def recover(path: Path) -> str:
    """Replace a file by a copy of its whole records, keep the original beside it, and return a report.

    A file without MCAP records is not changed. Raises OSError if there is no room for it; then nothing is changed.
    """
    reader = RecordReader(path)
    part = path.with_name(f"{path.name}.part")
    try:
        whole = collect(reader)
        count = len(whole.messages)
        write_mcap(part, whole, CompressionType.NONE, _COPIED_CHUNK)
        if not reader.is_mcap and path.stat().st_size:
            return f"{'; '.join(reader.problems)}: left as it is"
        check = RecordReader(part)
        found = sum(isinstance(one, Message) for one in check)
        if found != count or check.problems:
            raise OSError(f"{part} has {found} messages, expected {count}: {'; '.join(check.problems)}")
        kept = _keep_original(path)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)
    why = "; ".join(reader.problems) or f"{path} was not finished"
    return f"{why}: {count} messages are recovered, the original is {kept.name}"


def _keep_original(path: Path) -> Path:
    """Give the file a second name, so that it has a name at any time."""
    number = 0
    while True:
        kept = path.with_name(f"{path.name}{KEPT}{f'-{number}' if number else ''}")
        try:
            os.link(path, kept)
        except FileExistsError:
            number += 1
            continue
        except OSError:  # the file system does not support hard links
            shutil.copy2(path, kept)
            put_in_place(kept, kept)
        sync_folder(path.parent)
        return kept


def _index(path: Path, tally: Tally) -> None:
    with suppress(OSError):  # without room, the file's own summary has the counts
        add_to_index(path, tally)


def recover_all(folder: Path) -> list[str]:
    """Recover every unfinished file of a log and return the reports; the caller holds the folder's lock.

    A finished file is not changed, even if it is damaged: readers return its whole records.
    """
    found = []
    for path in mcap_files(folder):
        try:
            if not is_finished(path):
                found.append(recover(path))
                _index(path, count_file(path).tally)
        except (OSError, DataError) as error:
            found.append(f"{path} cannot be recovered now: {error}")
    return found


@dataclass(frozen=True)
class LogLimits:
    """Limits of a file of the log and of the memory for pending messages."""

    segment_bytes: int = 8 << 20
    segment_s: float = 600.0
    """Approximate largest size [bytes] and age [s] of a file; small files make reading the newest messages fast."""
    sync_s: float = 0.5
    """Time between two syncs [s]; a message is on the disk after this time and the duration of a sync."""
    waiting_bytes: int = 64 << 20
    """Memory for messages that a full disk rejects [bytes]; further messages are lost."""


class LogWriter:
    """Writer of a folder: locks it, recovers the files of a killed writer, and appends messages.

    A thread waits for the disk, so that no call to `write` does; it adds each finished file to the index. Raises
    FolderInUseError if another process writes the folder, OSError if it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        channels: list[Channel],
        limits: LogLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._channels, self._clock = folder, channels, clock
        self._limits = limits or LogLimits()
        self._lock = FolderLock(folder, "collector")
        with ExitStack() as undo:
            undo.callback(self._lock.release)
            self.recovered = recover_all(folder)
            """One sentence per recovered file."""
            path = next_segment(folder)
            try:
                self._file = McapWriter(path, channels)
            except OSError as error:
                why = f"{path} cannot be created: {error.strerror or error}; make room, or give another run_dir"
                raise OSError(error.errno, why) from error
            undo.pop_all()
        self.reports: deque[str] = deque()
        """Sentences on events since then, oldest first; the caller removes them."""
        self.lost = 0
        """Number of messages that neither disk nor memory had room for."""
        self._problem = self._sync_problem = ""
        self.first = self._file.path.name
        """Name of the first file of this writer."""
        self._begun_s = clock()
        self._wake = threading.Condition()
        self._full: deque[McapWriter] = deque()
        self._dirty = self._sync_requested = self._closing = False
        self._thread = threading.Thread(target=self._sync_loop, name="log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """Current file."""
        return self._file.path

    @property
    def problem(self) -> str:
        """Why messages do not reach the disk now; "" while they do."""
        return self._problem or self._sync_problem

    def write(self, topic: str, data: bytes, stamp_ns: int, flush: bool = True) -> None:
        """Append one message; with ``flush``, write it and all pending messages to the operating system.

        Raises KeyError if the topic is not among the channels, OSError if that fails. The message is kept for the next
        call, as long as there is memory for it.
        """
        if self._file.waiting > self._limits.waiting_bytes:
            try:
                self._flush()
            except OSError:
                self.lost += 1
                if flush:
                    raise
                return
        self._file.write(topic, data, stamp_ns, flush=False)
        if flush:
            self._flush()
            self._problem = self._rotate_if_due()

    def sync_soon(self) -> None:
        """Request a sync now, for example at the end of an episode."""
        with self._wake:
            self._sync_requested = True
            self._wake.notify()

    def close(self) -> None:
        """Finish the file and wait until it is on the disk."""
        try:
            self._flush()
        finally:
            with self._wake:
                self._full.append(self._file)
                self._closing = True
                self._wake.notify()
            self._thread.join()
            self._lock.release()

    def _flush(self) -> None:
        try:
            if not self._file.is_in_place():
                self._move()
            self._file.flush()
        except OSError as error:
            self._problem = f"{self._file.path} cannot be written: {error.strerror or error}"
            raise
        self._dirty = True

    def _rotate_if_due(self) -> str:
        """Begin a new file if the current one is full; return why that failed, or ""."""
        limits, age_s = self._limits, self._clock() - self._begun_s
        if self._file.size < limits.segment_bytes and age_s < limits.segment_s:
            return ""
        path = next_segment(self._folder, number_of(self._file.path))
        try:
            new = McapWriter(path, self._channels)
        except OSError as error:
            return f"{path} cannot be created: {error.strerror or error}; recording continues in {self._file.path.name}"
        with self._wake:
            self._full.append(self._file)
            self._file, self._begun_s = new, self._clock()
            self._wake.notify()
        return ""

    def _move(self) -> None:
        """Write the file again under a new name, since it or its folder was removed."""
        old = self._file.path
        if not self._lock.is_held():
            lock = FolderLock(self._folder, "collector")
            self._lock.release()
            self._lock = lock
        self._file.move(next_segment(self._folder, number_of(old)))
        self.reports.append(
            f"{old} was removed while it was being written: its content was written again to {self._file.path}, where "
            "recording continues; earlier files of the folder are lost"
        )

    def _sync_loop(self) -> None:
        named: McapWriter | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._full or self._sync_requested or self._closing, self._limits.sync_s)
                closing, current, dirty = self._closing, self._file, self._dirty
                self._sync_requested = self._dirty = False
            try:
                while self._full:
                    self._full[0].close()
                    sync_folder(self._folder)
                    full = self._full.popleft()
                    _index(full.path, full.tally)
                if dirty and not closing:
                    current.sync()
                    if current is not named:
                        sync_folder(self._folder)
                        named = current
                self._sync_problem = ""
            except OSError as error:
                self._dirty = True
                self._sync_problem = f"{current.path} is not on the disk: {error.strerror or error}"
                time.sleep(0 if closing else self._limits.sync_s)
            if closing:
                return
