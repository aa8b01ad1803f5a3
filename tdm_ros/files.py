"""Durable files: replacement that survives a power cut, and one writer per folder."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; after a power cut, a file without a name is lost."""
    _sync(folder)


def make_folder(folder: Path) -> None:
    """Make a folder, if it is missing, with those above it, and wait until their names are on the disk."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync_folder(one.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_in_place(part: Path, path: Path) -> None:
    """Rename ``part`` to ``path`` after its content is on the disk."""
    _sync(part)
    os.replace(part, path)
    sync_folder(path.parent)


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace the content of a file; if that fails, the old content is unchanged, and no further file remains."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


NAME = "lock"
IN_USE_STATUS = 73  # exit status of a process whose folder another process writes; a restart does not help


class FolderInUseError(OSError):
    """Another process writes the folder; the text names that process and the remedy."""


class FolderLock:
    """Lock on a folder, which is created if necessary, from its creation to its release or to the end of the process.

    ``holder`` is the name of this program, for the error of a second writer, a FolderInUseError. An OSError says that
    the file system has no locks.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        self._path = folder / NAME
        self._made_folder = not folder.exists()
        while True:
            make_folder(folder)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._lock()
            except BaseException:
                os.close(self._fd)
                raise
            if self.is_held():
                break
            os.close(self._fd)  # its holder removed the file before this process locked it
        atexit.register(self.release)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        note = f"{holder}, pid {os.getpid()} on host {socket.gethostname()}, since {since}\n"
        with suppress(OSError):  # on a full disk the lock is valid without the note
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, note.encode(), 0)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 500, 0).decode(errors="replace").strip() or "a process that has just begun"
            raise FolderInUseError(
                f"{self._path.parent} is being written by {holder}: end that run first, or give another run_dir"
            ) from None
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self._path} cannot be locked ({error.strerror}), so that two runs could write the same folder: "
                "give a run_dir on a local disk",
            ) from error

    def is_held(self) -> bool:
        """Whether the locked file is still the one with this name."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        mine = os.fstat(self._fd)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Release the lock; a folder that was created for the lock alone is removed."""
        atexit.unregister(self.release)
        if self._fd < 0:
            return
        with suppress(OSError):
            if self.is_held():
                self._path.unlink()
                if self._made_folder:
                    self._path.parent.rmdir()
        os.close(self._fd)
        self._fd = -1
