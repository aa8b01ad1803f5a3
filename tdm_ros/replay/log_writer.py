"""The one writer of a log: consecutive files, each synced within a second, whatever happens to the folder."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tdm_ros.durable import sync_folder
from tdm_ros.folder_lock import FolderLock
from tdm_ros.replay.log_file import LogChannel, McapWriter
from tdm_ros.replay.mcap_files import next_segment, number_of
from tdm_ros.replay.recovery import recover_all


@dataclass(frozen=True)
class LogLimits:
    """When a file is full, and how much may wait.

    Parameters
    ----------
    segment_bytes : int
    segment_s : float
        A file gets no larger and no older than about this, so that what reads one reads little.
    sync_s : float
        Time between two syncs [s]; what is written is on the disk after this and the time that one takes.
    waiting_bytes : int
        Memory for messages that a full disk does not take; those that come then are lost.
    """

    segment_bytes: int = 8 << 20
    segment_s: float = 600.0
    sync_s: float = 0.5
    waiting_bytes: int = 64 << 20


class LogWriter:
    """Locks a folder, recovers what a killed writer left, and appends.

    A thread waits for the disk, so that no call to `write` does.

    Parameters
    ----------
    folder : Path
        Made if need be.
    channels : list of LogChannel
    limits : LogLimits
    clock : callable
        Steady time [s].
    on_finished : callable
        Given each file that is complete, in the thread.

    Raises
    ------
    FolderInUseError
        If another process writes the folder.
    OSError
        If it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        channels: list[LogChannel],
        limits: LogLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_finished: Callable[[Path], object] = lambda path: None,
    ) -> None:
        self._folder, self._channels, self._clock = folder, channels, clock
        self._limits, self._on_finished = limits or LogLimits(), on_finished
        self._lock = FolderLock(folder, "collector")
        self.recovered = [found.sentence for found in recover_all(folder)]
        """Sentences on what a killed writer had left."""
        self.reports: deque[str] = deque()
        """Sentences on what went wrong since, oldest first; take them out."""
        self.lost = 0
        """Messages that found neither disk nor memory."""
        self._problem = self._sync_problem = ""
        path = next_segment(folder)
        try:
            self._file = McapWriter(path, channels)
        except OSError as error:
            self._lock.release()
            raise OSError(
                error.errno, f"{path} cannot be begun: {error.strerror or error}; make room, or give another run_dir"
            ) from error
        self.first = self._file.path.name
        """The file that this writer began with."""
        self._begun_s = clock()
        self._wake = threading.Condition()
        self._full: deque[McapWriter] = deque()
        self._dirty = self._soon = self._over = False
        self._thread = threading.Thread(target=self._keep_on_disk, name="log", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self._file.path

    @property
    def problem(self) -> str:
        """Why what is written now does not reach the disk; "" while it does."""
        return self._problem or self._sync_problem

    def write(self, topic: str, data: bytes, stamp_ns: int, flush: bool = True) -> None:
        """Append one message; with ``flush`` it is with the operating system afterwards, and so are those before it.

        Raises
        ------
        KeyError
            If the topic is not among the channels.
        OSError
            If it is not. It is kept for the next call, as long as there is memory for it.
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
        """Let the disk have it now: an episode has ended."""
        with self._wake:
            self._soon = True
            self._wake.notify()

    def close(self) -> None:
        """Finish the file; return when the disk has it."""
        try:
            self._flush()
        finally:
            with self._wake:
                self._full.append(self._file)
                self._over = True
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
        """Begin a new file where the present one is full; return why that failed."""
        limits, age_s = self._limits, self._clock() - self._begun_s
        if self._file.size < limits.segment_bytes and age_s < limits.segment_s:
            return ""
        path = next_segment(self._folder, number_of(self._file.path))
        try:
            fresh = McapWriter(path, self._channels)
        except OSError as error:
            return f"{path} cannot be begun: {error.strerror or error}; {self._file.path.name} grows on"
        with self._wake:
            self._full.append(self._file)
            self._file, self._begun_s = fresh, self._clock()
            self._wake.notify()
        return ""

    def _move(self) -> None:
        """Write the file again under a new name: it was removed, or its folder was."""
        old = self._file.path
        if not self._lock.is_held():
            lock = FolderLock(self._folder, "collector")
            self._lock.release()
            self._lock = lock
        self._file.move(next_segment(self._folder, number_of(old)))
        self.reports.append(
            f"{old} was removed while it was being written: what it held was written again to {self._file.path}, where "
            "recording goes on; files before it cannot be brought back"
        )

    def _keep_on_disk(self) -> None:
        named: McapWriter | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._full or self._soon or self._over, self._limits.sync_s)
                over, current, dirty = self._over, self._file, self._dirty
                self._soon = self._dirty = False
            try:
                while self._full:
                    self._full[0].close()
                    sync_folder(self._folder)
                    self._on_finished(self._full.popleft().path)
                if dirty and not over:
                    current.sync()
                    if current is not named:
                        sync_folder(self._folder)
                        named = current
                self._sync_problem = ""
            except OSError as error:
                self._dirty = True
                self._sync_problem = f"{current.path} is not on the disk: {error.strerror or error}"
                time.sleep(0 if over else self._limits.sync_s)
            if over:
                return
