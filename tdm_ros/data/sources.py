"""Recordings from the paths that the user gives: MCAP files, bags, run folders, Parquet and LeRobot datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mcap.records import Channel, Message, Schema

from tdm_ros.data import recording as data
from tdm_ros.data.lerobot import is_lerobot, read_lerobot
from tdm_ros.data.log import LOG_FOLDER, mcap_files
from tdm_ros.data.mcap_records import Budget, RecordReader
from tdm_ros.data.parquet import is_parquet, read_parquet
from tdm_ros.data.recording import DataError, Recording, joined

_NONE = Schema(id=0, data=b"", encoding="", name="")


def read_mcap(path: Path, budget: Budget | None = None) -> data.Recording:
    """Read an MCAP file. Raises DataError if the budget does not allow it."""
    return collect(RecordReader(path, budget))


def collect(reader: RecordReader) -> data.Recording:
    """Recording of what a reader finds."""
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
            channels[one.id] = len(found)
            found.append(declared(reader, one))
        else:
            metadata.append((one.name, dict(one.metadata)))
    counts = Counter(message.channel for message in messages)
    problems = [*reader.problems, *undecodable(reader.path, [(one, counts[i]) for i, one in enumerate(found)])]
    return data.Recording(
        str(reader.path), tuple(found), messages, tuple(metadata), tuple(problems), tuple(reader.notes)
    )


def declared(reader: RecordReader, channel: Channel) -> data.Channel:
    """Channel of a file, with its definition."""
    schema = reader.definitions.schemas.get(channel.schema_id, _NONE)
    pairs = tuple(channel.metadata.items())
    return data.Channel(channel.topic, schema.name, schema.data, schema.encoding, channel.message_encoding, pairs)


def undecodable(path: Path, channels: Sequence[tuple[data.Channel, int]]) -> Iterator[str]:
    """One sentence per topic that may have messages of tdm_ros which cannot be decoded, from the number of each."""
    for channel, count in channels:
        if not count or channel.type_name not in ("", data.TRANSITION_TYPE, data.EPISODE_TYPE):
            continue
        what = f"{path}: {count} messages of {channel.topic} cannot be decoded: "
        if not channel.schema:
            yield (
                f"{what}the file has no definition of their type {channel.type_name or ''}".rstrip()
                + ", since the recorder did not find it; source the workspace with tdm_ros before `ros2 bag record`"
            )
        elif (channel.schema_encoding, channel.encoding) != ("ros2msg", "cdr"):
            yield f"{what}they are {channel.encoding} by {channel.schema_encoding}, expected cdr by ros2msg"


DATASETS = {is_lerobot: read_lerobot, is_parquet: read_parquet}


def log_folder(path: Path) -> Path:
    """Folder of the MCAP files of a run folder, bag or log."""
    return path / LOG_FOLDER if (path / LOG_FOLDER).is_dir() else path


def is_recording(path: Path) -> bool:
    """Whether a path has a layout that `read` reads."""
    if path.is_file() and path.suffix == ".mcap":
        return True
    return any(has_layout(path) for has_layout in DATASETS) or (path.is_dir() and bool(mcap_files(log_folder(path))))


def read(path: Path, progress: bool = False, unpack_limit: int | None = None) -> Recording:
    """Read an MCAP file, a folder of them, a run folder, or a Parquet or LeRobot dataset of `tdm_ros data convert`.

    Unpacked data may take ``unpack_limit`` bytes, by default as `Budget`. Raises DataError if there is no recording, or
    it unpacks to more.
    """
    for has_layout, reader in DATASETS.items():
        if has_layout(path):
            return reader(path, Budget(_size(path), unpack_limit))
    if path.suffix == ".npz" and path.is_file():
        raise DataError(f"{path} is an exported npz file, which is not read back: use the original log")
    files = [path] if path.is_file() else mcap_files(log_folder(path)) if path.is_dir() else []
    if not files:
        raise DataError(why_nothing(path))
    from tqdm import tqdm

    total = sum(map(_size, files))
    budget, parts = Budget(total, unpack_limit), []
    with tqdm(total=total, unit="B", unit_scale=True, leave=False, disable=None if progress else True) as bar:
        for file in files:
            parts.append(read_mcap(file, budget))
            bar.update(_size(file))
    return joined(str(path), parts)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def read_nonempty(path: Path, progress: bool = False, unpack_limit: int | None = None) -> Recording:
    """Read as `read` does a recording with at least one message.

    Raises DataError if it has none; the sentence has the reason.
    """
    found = read(path, progress, unpack_limit)
    if not found.messages:
        raise DataError("; ".join(found.problems) or f"{path} contains no message: nothing was recorded")
    return found


def why_nothing(path: Path) -> str:
    """Sentence on a path that contains no recording."""
    if not path.exists():
        return f"{path} does not exist; `tdm_ros data list` shows what was recorded"
    if any(path.glob("*.mcap.zstd")):
        return f"{path} is compressed as a whole, as rosbag2 does on request: unpack it with `zstd -d {path}/*.zstd`"
    if any(path.glob("*.db3")):
        return f"{path} is a rosbag2 in SQLite: `ros2 bag convert` makes MCAP of it (storage_id: mcap)"
    return f"{path} contains no recording: no .mcap file, no {LOG_FOLDER}/; `tdm_ros data list` shows what was recorded"


def find(roots: Sequence[Path]) -> Iterator[Path]:
    """Recordings below some folders: each run once, not each of its files."""
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
