"""Completes the files of a killed writer: beside the original, which is kept, and with every whole record."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Message

from tdm_ros.durable import put_in_place, sync_folder
from tdm_ros.replay.log_file import write_copy
from tdm_ros.replay.mcap_files import mcap_files
from tdm_ros.replay.mcap_records import RecordReader
from tdm_ros.replay.mcap_summary import is_finished
from tdm_ros.replay.unpacking import UnpacksTooFarError

KEPT = ".torn"
"""What the name of an original ends in; readers look for .mcap."""


@dataclass(frozen=True)
class Recovered:
    """What became of a file.

    Parameters
    ----------
    path : Path
    messages : int
    kept : Path or None
        The original; None if the file was left as it is.
    sentence : str
        For a person.
    """

    path: Path
    messages: int
    kept: Path | None
    sentence: str


def recover(path: Path) -> Recovered:
    """Write the whole records of a file beside it and let the result take its name; the original is kept.

    A file that holds no MCAP is left alone.

    Raises
    ------
    OSError
        If there is no room for it; then nothing has changed.
    """
    reader = RecordReader(path)
    part = path.with_name(f"{path.name}.part")
    try:
        count = write_copy(part, reader)
        if not reader.is_mcap and path.stat().st_size:
            return Recovered(path, 0, None, f"{'; '.join(reader.problems)}: left as it is")
        check = RecordReader(part)
        found = sum(isinstance(one, Message) for one in check)
        if found != count or check.problems:
            raise OSError(f"{part} has {found} messages, expected {count}: {'; '.join(check.problems)}")
        kept = _keep(path)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)
    why = "; ".join(reader.problems) or f"{path} was not finished"
    return Recovered(path, count, kept, f"{why}: {count} messages are recovered, the original is {kept.name}")


def _keep(path: Path) -> Path:
    """Give the file a second name, so that it is never without one."""
    number = 0
    while True:
        kept = path.with_name(f"{path.name}{KEPT}{f'-{number}' if number else ''}")
        try:
            os.link(path, kept)
        except FileExistsError:
            number += 1
            continue
        except OSError:  # the file system has one name for a file
            shutil.copy2(path, kept)
            put_in_place(kept, kept)
        sync_folder(path.parent)
        return kept


def recover_all(folder: Path) -> list[Recovered]:
    """Finish every unfinished file of a log; only the holder of the folder's lock may call this.

    A finished file is left alone, even if some of its bytes were changed: readers take what is whole.
    """
    found = []
    for path in mcap_files(folder):
        try:
            if not is_finished(path):
                found.append(recover(path))
        except (OSError, UnpacksTooFarError) as error:
            found.append(Recovered(path, 0, None, f"{path} cannot be recovered now: {error}"))
    return found
