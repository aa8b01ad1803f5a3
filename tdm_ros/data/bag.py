"""Write a recording as a bag of rosbag2: indexed MCAP files and metadata.yaml, for `ros2 bag play` and `info`."""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from tdm_ros.data.mcap_reading import McapFile
from tdm_ros.data.recording import Channel, Recording

METADATA = "metadata.yaml"
VERSION = 9
"""Of rosbag2's metadata: that of Jazzy."""
FIRST = "0000.mcap"


def bag_files(folder: Path) -> list[Path]:
    """The MCAP files of a folder, in the order of the numbers in their names."""

    def key(path: Path) -> list[Any]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]

    return sorted(folder.glob("*.mcap"), key=key)


def write_bag(folder: Path, recording: Recording) -> Path:
    """Write a new folder that holds the messages in their order; a crash leaves no folder.

    Raises
    ------
    FileExistsError
        If the folder exists: a recording is never overwritten.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists, and a recording is never overwritten: give another --out")
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    part.mkdir(parents=True)
    _write_mcap(part / FIRST, recording)
    write_metadata(part, [described(FIRST, recording)])
    part.rename(folder)
    return folder


def _write_mcap(path: Path, recording: Recording) -> None:
    with path.open("xb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD, enable_data_crcs=True)
        writer.start(profile="ros2", library="tdm_ros")
        schemas: dict[tuple[str, str, bytes], int] = {}
        channels = []
        for channel in recording.channels:
            kind = (channel.type_name, channel.schema_encoding, channel.schema)
            if kind not in schemas:
                schemas[kind] = writer.register_schema(*kind) if any(kind) else 0
            channels.append(
                writer.register_channel(channel.topic, channel.encoding, schemas[kind], dict(channel.metadata))
            )
        for message in recording.messages:
            writer.add_message(
                channels[message.channel], message.log_time, message.data, message.publish_time, message.sequence
            )
        for name, content in recording.metadata:
            writer.add_metadata(name, content)
        writer.flush()  # else the library leaves what is unwritten out of the checksum
        writer.finish()
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True)
class BagFile:
    """What metadata.yaml says of a file.

    Parameters
    ----------
    name : str
    start_ns, end_ns : int
        Of its messages; 0 without any.
    topics : tuple of (Channel, int)
        Each with how many messages it has.
    """

    name: str
    start_ns: int
    end_ns: int
    topics: tuple[tuple[Channel, int], ...]

    @property
    def count(self) -> int:
        """Number of messages."""
        return sum(count for _, count in self.topics)


def described(name: str, recording: Recording) -> BagFile:
    """A file whose content is known."""
    times = [message.log_time for message in recording.messages]
    counts = Counter(message.channel for message in recording.messages)
    topics = tuple((channel, counts[i]) for i, channel in enumerate(recording.channels))
    return BagFile(name, min(times, default=0), max(times, default=0), topics)


def _summarised(path: Path) -> BagFile:
    """The same from the summary at the end of a finished file, however long it is."""
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    if summary is None or summary.statistics is None:
        raise McapError("no summary")
    said = summary.statistics
    topics = tuple(
        (
            Channel(
                one.topic, summary.schemas[one.schema_id].name, b"", "", one.message_encoding, _pairs(one.metadata)
            ),
            said.channel_message_counts.get(number, 0),
        )
        for number, one in summary.channels.items()
    )
    return BagFile(path.name, said.message_start_time, said.message_end_time, topics)


def _pairs(metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(metadata.items())


def describe_log(folder: Path) -> Path:
    """Write metadata.yaml beside the files of a log, so that `ros2 bag` plays the folder; return its path."""
    files = []
    for path in bag_files(folder):
        try:
            files.append(_summarised(path))
        except (McapError, EOFError, ValueError, LookupError, struct.error):  # not finished
            files.append(described(path.name, McapFile(path).read()))
    return write_metadata(folder, files)


def forget_description(folder: Path) -> None:
    """Remove metadata.yaml: a file is about to be added, and a killed writer could not add it there."""
    (folder / METADATA).unlink(missing_ok=True)


def write_metadata(folder: Path, files: Sequence[BagFile]) -> Path:
    """Write metadata.yaml; a crash leaves the old one or the new one."""
    topics: dict[str, dict[str, Any]] = {}
    for channel, count in (topic for file in files for topic in file.topics):
        entry = topics.setdefault(channel.topic, {"topic_metadata": _topic(channel), "message_count": 0})
        entry["message_count"] += count
    filled = [file for file in files if file.count]
    start, end = min((file.start_ns for file in filled), default=0), max((file.end_ns for file in filled), default=0)
    content = {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(file.count for file in files),
        "topics_with_message_count": list(topics.values()),
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [
            {
                "path": file.name,
                "starting_time": {"nanoseconds_since_epoch": file.start_ns},
                "duration": {"nanoseconds": file.end_ns - file.start_ns},
                "message_count": file.count,
            }
            for file in files
        ],
        "custom_data": {},
        "ros_distro": "jazzy",
    }
    path, part = folder / METADATA, folder / f"{METADATA}.part"
    part.write_text(yaml.safe_dump({"rosbag2_bagfile_information": content}, sort_keys=False), encoding="utf-8")
    os.replace(part, path)
    return path


def _topic(channel: Channel) -> dict[str, Any]:
    said = dict(channel.metadata)
    try:
        profiles = yaml.safe_load(said.get("offered_qos_profiles", "")) or []
    except yaml.YAMLError:
        profiles = []
    return {
        "name": channel.topic,
        "type": channel.type_name,
        "serialization_format": channel.encoding,
        "offered_qos_profiles": profiles,
        "type_description_hash": said.get("topic_type_hash", ""),
    }
