"""Recordings from the paths that the user gives: MCAP files, bags, and all other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mcap.records import Channel, Message, Schema

from tdm_ros.data import lerobot_files, npz_file, parquet_files
from tdm_ros.data import recording as data
from tdm_ros.data.log import LOG_FOLDER, mcap_files
from tdm_ros.data.mcap_records import Budget, RecordReader, UnpacksTooFarError
from tdm_ros.data.recording import DataError, Recording, joined

_NONE = Schema(id=0, data=b"", encoding="", name="")


def read_mcap(
    path: Path, advance: Callable[[int], Any] = lambda count: None, budget: Budget | None = None
) -> data.Recording:
    """Read a file, as `RecordReader` does.

    Parameters
    ----------
    path : Path
    advance : callable
        Called with the number of bytes that were taken in, for a progress bar.
    budget : Budget, optional

    Raises
    ------
    UnpacksTooFarError
        If it would fill the memory.
    """
    reader = RecordReader(path, advance, budget)
    channels: dict[int, int] = {}
    found: list[data.Channel] = []
    messages: list[data.Message] = []
    metadata: list[tuple[str, dict[str, str]]] = []
    for one in reader:
        if isinstance(one, Message):
            messages.append(
                data.Message(channels[one.channel_id], one.log_time, one.publish_time, one.sequence, one.data)
            )
        elif isinstance(one, Channel):
            schema = reader.definitions.schemas.get(one.schema_id, _NONE)
            channels[one.id] = len(found)
            pairs = tuple(one.metadata.items())
            found.append(
                data.Channel(one.topic, schema.name, schema.data, schema.encoding, one.message_encoding, pairs)
            )
        else:
            metadata.append((one.name, dict(one.metadata)))
    problems = [*reader.problems, *_undecodable(path, found, messages)]
    return data.Recording(str(path), tuple(found), messages, tuple(metadata), tuple(problems), tuple(reader.notes))


def _undecodable(path: Path, channels: list[data.Channel], messages: list[data.Message]) -> Iterator[str]:
    """A sentence for each topic whose messages nobody can decode, though they may be ours."""
    counts = Counter(message.channel for message in messages)
    for number, channel in enumerate(channels):
        if not counts[number] or channel.type_name not in ("", data.TRANSITION_TYPE, data.EPISODE_TYPE):
            continue
        what = f"{path}: {counts[number]} messages of {channel.topic} cannot be decoded: "
        if not channel.schema:
            yield (
                f"{what}the file has no definition of their type {channel.type_name or ''}".rstrip()
                + ", as the recorder did not find it; source the workspace with tdm_ros before `ros2 bag record`"
            )
        elif (channel.schema_encoding, channel.encoding) != ("ros2msg", "cdr"):
            yield f"{what}they are {channel.encoding} by {channel.schema_encoding}, expected cdr by ros2msg"


READERS = {
    npz_file.is_ours: npz_file.read_npz,
    lerobot_files.is_ours: lerobot_files.read_lerobot,
    parquet_files.is_ours: parquet_files.read_parquet,
}


def log_folder(path: Path) -> Path:
    """The folder of the MCAP files: that of a run is inside it."""
    return path / LOG_FOLDER if (path / LOG_FOLDER).is_dir() else path


def is_recording(path: Path) -> bool:
    """Whether there is something that `read` may read."""
    if path.is_file() and path.suffix == ".mcap":
        return True
    return any(ours(path) for ours in READERS) or (path.is_dir() and bool(mcap_files(log_folder(path))))


def read(path: Path, progress: bool = False, unpack_limit: int | None = None) -> Recording:
    """Read an MCAP file, a folder of them, a run's folder, or what `tdm_ros data convert` made.

    Parameters
    ----------
    path : Path
    progress : bool
        Show a progress bar.
    unpack_limit : int, optional
        Memory that it may take when unpacked [bytes]; by default as `Budget` has it.

    Raises
    ------
    DataError
        If there is nothing of the kind, or it would take more memory.
    """
    try:
        for ours, reader in READERS.items():
            if ours(path):
                return reader(path, Budget(_size(path), unpack_limit))
        files = [path] if path.is_file() else mcap_files(log_folder(path)) if path.is_dir() else []
        if not files:
            raise DataError(_why_nothing(path))
        from tqdm import tqdm

        total = sum(map(_size, files))
        budget = Budget(total, unpack_limit)
        with tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=None if progress else True) as bar:
            return joined(str(path), [read_mcap(file, bar.update, budget) for file in files])
    except UnpacksTooFarError as error:
        raise DataError(str(error)) from error


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def read_whole(path: Path, progress: bool = False, unpack_limit: int | None = None) -> Recording:
    """The same where at least one message is needed.

    Raises
    ------
    DataError
        If nothing in it is whole; the sentence says why.
    """
    found = read(path, progress, unpack_limit)
    if not found.messages:
        raise DataError("; ".join(found.problems) or f"{path} holds no message: nothing was recorded")
    return found


def _why_nothing(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist; `tdm_ros data list` shows what was recorded"
    if any(path.glob("*.mcap.zstd")):
        return f"{path} is compressed as a whole, as rosbag2 does on request: unpack it with `zstd -d {path}/*.zstd`"
    if any(path.glob("*.db3")):
        return f"{path} is a rosbag2 in SQLite: `ros2 bag convert` makes MCAP of it (storage_id: mcap)"
    return f"{path} holds no recording: no .mcap file, no {LOG_FOLDER}/; `tdm_ros data list` shows what was recorded"


def find(roots: Sequence[Path]) -> Iterator[Path]:
    """Every recording below some folders: a run once, not each of its files."""
    for root in roots:
        if not root.exists():
            raise DataError(f"{root} does not exist: give a folder of runs or a recording")
        if is_recording(root):
            yield root
        elif root.is_dir():
            for path in sorted(root.iterdir()):
                hidden = path.name.startswith(".") or path.name == "checkpoint" or path.is_symlink()
                if not hidden and (path.is_dir() or is_recording(path)):
                    yield from find([path])
