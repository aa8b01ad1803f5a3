"""Removal of the oldest files of a log, by size or by age, when nobody writes it."""

from __future__ import annotations

from pathlib import Path

from tdm_ros.data.bag import remove_metadata, write_log_metadata
from tdm_ros.data.log import mcap_files
from tdm_ros.data.mcap_layout import is_finished
from tdm_ros.data.recording import DataError
from tdm_ros.data.sources import log_folder
from tdm_ros.files import FolderLock, sync_folder


def prune(path: Path, keep_bytes: float, newer_than_s: float) -> list[Path]:
    """Remove the oldest finished files of a run or log folder, while it is larger or they are older; return them.

    ``newer_than_s`` is the time of the last change of a file that is kept [s since 1970]. The newest file, files that
    are not finished and originals of recovered files are kept. Raises DataError if there is no log, FolderInUseError if
    it is being written.
    """
    folder = log_folder(path)
    files = mcap_files(folder) if folder.is_dir() else []
    if not files:
        raise DataError(f"{path} contains no log: give a run folder or its log_mcap")
    lock = FolderLock(folder, "tdm_ros data prune")
    try:
        size, removed = sum(one.stat().st_size for one in files), []
        for one in files[:-1]:
            status = one.stat()
            if size <= keep_bytes and status.st_mtime >= newer_than_s:
                break
            if is_finished(one):
                removed.append(one)
                size -= status.st_size
        if removed:
            remove_metadata(folder)
            for one in removed:
                one.unlink()
            sync_folder(folder)
            write_log_metadata(folder)
    finally:
        lock.release()
    return removed
