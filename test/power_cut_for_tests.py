"""What a power cut leaves of a folder, and a disk without room."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """Watches syncs and renames below a folder; `cut` makes what would be left.

    Two models of what the disk does with names by itself: it has each at once, so that a name may come without its
    content, or only when its folder is synced.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self.after: Callable[[], object] = lambda: None
        """Called after each sync or rename."""
        self.syncs = 0
        real_sync, real_replace, real_unlink = os.fsync, os.replace, os.unlink

        def sync(fd: int) -> None:
            real_sync(fd)
            with self._lock:
                path = Path(os.readlink(f"/proc/self/fd/{fd}"))
                if path.is_dir():
                    self._names |= {str(one): one.stat().st_ino for one in path.iterdir() if one.is_file()}
                    here = [name for name in self._names if Path(name).parent == path and not Path(name).exists()]
                    for name in here:
                        del self._names[name]
                else:
                    self._contents[os.fstat(fd).st_ino] = os.pread(fd, os.fstat(fd).st_size, 0)
                self.syncs += 1
                self.after()

        def replace(source: str | Path, target: str | Path) -> None:
            with self._lock:
                real_replace(source, target)
                self.after()

        def unlink(path: str | Path, **given: int) -> None:
            with self._lock:
                number = os.stat(path).st_ino if os.path.exists(path) else -1
                last = number >= 0 and os.stat(path).st_nlink == 1
                real_unlink(path, **given)
                if last and number not in self._names.values():
                    self._contents.pop(number, None)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(os, "unlink", unlink)

    def know_all(self) -> None:
        """What is there now is on the disk."""
        for path in self._folder.rglob("*"):
            if path.is_file():
                self._names[str(path)] = path.stat().st_ino
                self._contents[path.stat().st_ino] = path.read_bytes()

    def cut(self, out: Path, names_at_once: bool) -> Path:
        """Make the folder that a power cut at this moment would leave; return it."""
        with self._lock:
            names = dict(self._names)
            if names_at_once:
                names = {str(one): one.stat().st_ino for one in self._folder.rglob("*") if one.is_file()}
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            for name, number in names.items():
                path = out / Path(name).relative_to(self._folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._contents.get(number, b""))
        return out


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files of this process get no larger [bytes]: the kernel rejects writes as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
