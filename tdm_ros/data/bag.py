"""Writer of bags for rosbag2: indexed MCAP files and metadata.yaml, for `ros2 bag play` and `info`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from tdm_ros.data.log import mcap_files
from tdm_ros.data.log_index import BagFile, add_to_index, read_index, summarised
from tdm_ros.data.recording import Channel, Recording
from tdm_ros.data.sources import read_mcap
from tdm_ros.files import sync_folder, write_durably
from tdm_ros.safe_yaml import read_yaml

METADATA = "metadata.yaml"
VERSION = 9
"""Version of rosbag2's metadata, as in Jazzy."""
FIRST = "0000.mcap"
LIBRARY = "tdm_ros"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C, where it is built, writes the entries of a thousand files in a tenth of a second."""


def write_bag(folder: Path, recording: Recording) -> Path:
    """Write the messages in their order into a new folder; a crash leaves no folder.

    Raises FileExistsError if the folder exists: a recording is never overwritten.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists, and a recording is never overwritten: give another --out")
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    part.mkdir(parents=True)
    write_mcap(part / FIRST, recording)
    write_metadata(part, [bag_file_of(FIRST, recording)])
    part.rename(folder)
    sync_folder(folder.parent)
    return folder


def write_mcap(
    path: Path, recording: Recording, compression: CompressionType = CompressionType.ZSTD, chunk_bytes: int = 1 << 20
) -> None:
    """Write a recording into a finished file, and wait until it is on the disk."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_bytes, compression, enable_data_crcs=True)
        writer.start(profile="ros2", library=LIBRARY)
        channels = register(writer, recording.channels)
        for message in recording.messages:
            writer.add_message(
                channels[message.channel], message.log_time, message.data, message.publish_time, message.sequence
            )
        for name, content in recording.metadata:
            writer.add_metadata(name, content)
        writer.flush()  # the library leaves pending data out of the checksum
        writer.finish()
        file.flush()
        os.fsync(file.fileno())


def register(writer: Writer, channels: Sequence[Channel]) -> list[int]:
    """Declare channels, and each of their types once; return their numbers in the file."""
    schemas: dict[tuple[str, str, bytes], int] = {}
    numbers = []
    for channel in channels:
        kind = (channel.type_name, channel.schema_encoding, channel.schema)
        if kind not in schemas:
            schemas[kind] = writer.register_schema(*kind) if any(kind) else 0
        numbers.append(writer.register_channel(channel.topic, channel.encoding, schemas[kind], dict(channel.metadata)))
    return numbers


def bag_file_of(name: str, recording: Recording) -> BagFile:
    """Entry of a file whose content is in memory."""
    times = [message.log_time for message in recording.messages]
    counts = Counter(message.channel for message in recording.messages)
    topics = tuple((channel, counts[i]) for i, channel in enumerate(recording.channels))
    return BagFile(name, min(times, default=0), max(times, default=0), topics)


def read_bag_file(path: Path) -> BagFile | None:
    """Entry of a file on disk, from its summary if it has one; None if it is no MCAP file."""
    if file := summarised(path):
        return file
    found = read_mcap(path)
    return bag_file_of(path.name, found) if found.channels or not found.problems else None


def write_log_metadata(folder: Path) -> Path:
    """Write metadata.yaml beside the files of a log, so that `ros2 bag` plays the folder; return its path.

    Finished files are described by the index; one that is missing there, as in older logs, is added.
    """
    index = read_index(folder)
    files = []
    for path in mcap_files(folder):
        if path.name not in index:
            with suppress(OSError):  # no room: the next time
                add_to_index(path)
        files.append(index.get(path.name) or read_bag_file(path))
    return write_metadata(folder, [file for file in files if file is not None])


def remove_metadata(folder: Path) -> None:
    """Remove metadata.yaml before a file is added, since a killed writer could not update it."""
    (folder / METADATA).unlink(missing_ok=True)


def write_metadata(folder: Path, files: Sequence[BagFile]) -> Path:
    """Write metadata.yaml; a crash leaves the old or the new content."""
    topics: dict[str, dict[str, Any]] = {}
    for channel, count in (topic for file in files for topic in file.topics):
        if channel.topic not in topics:
            topics[channel.topic] = {"topic_metadata": _topic(channel), "message_count": 0}
        topics[channel.topic]["message_count"] += count
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
    path = folder / METADATA
    write_durably(path, yaml.dump({"rosbag2_bagfile_information": content}, Dumper=_DUMPER, sort_keys=False))
    return path


def _topic(channel: Channel) -> dict[str, Any]:
    metadata = dict(channel.metadata)
    try:
        profiles = read_yaml(metadata.get("offered_qos_profiles", "")) or []
    except yaml.YAMLError:  # text of another program
        profiles = []
    return {
        "name": channel.topic,
        "type": channel.type_name,
        "serialization_format": channel.encoding,
        "offered_qos_profiles": profiles,
        "type_description_hash": metadata.get("topic_type_hash", ""),
    }
