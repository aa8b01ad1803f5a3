"""Durable file replacement: after a crash or power cut a file is either old or new, never partial."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder: a file whose name it does not have is lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_in_place(part: Path, path: Path) -> None:
    """Give a file that was written under another name its own, once the disk has what is in it."""
    fd = os.open(part, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(part, path)
    sync_folder(path.parent)


def write_durably(path: Path, content: str | bytes) -> None:
    """Replace the content of a file.

    Raises
    ------
    OSError
        If that fails; then the old content is still there, and nothing else is.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
