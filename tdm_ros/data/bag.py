"""Write a recording as a bag of rosbag2: indexed MCAP files and metadata.yaml, for `ros2 bag play` and `info`."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from tdm_ros.data.mcap_reading import McapFile
from tdm_ros.data.recording import Recording

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
    write_metadata(part, [(FIRST, recording)])
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
        writer.finish()
        file.flush()
        os.fsync(file.fileno())


def describe_log(folder: Path) -> Path:
    """Write metadata.yaml beside the files of a log, so that `ros2 bag` plays the folder; return its path."""
    return write_metadata(folder, [(path.name, McapFile(path).read()) for path in bag_files(folder)])


def write_metadata(folder: Path, files: Sequence[tuple[str, Recording]]) -> Path:
    """Write metadata.yaml for files whose content is known; a crash leaves the old one or the new one."""
    counts: Counter[str] = Counter()
    topics: dict[str, dict[str, Any]] = {}
    for _, recording in files:
        for channel in recording.channels:
            topics.setdefault(
                channel.topic, _topic(channel.topic, channel.type_name, channel.encoding, channel.metadata)
            )
        counts.update(recording.channels[message.channel].topic for message in recording.messages)
    spans = [(name, *_span(recording), len(recording.messages)) for name, recording in files]
    filled = [span for span in spans if span[3]]
    start = min((span[1] for span in filled), default=0)
    end = max((span[1] + span[2] for span in filled), default=0)
    content = {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": end - start},
        "starting_time": {"nanoseconds_since_epoch": start},
        "message_count": sum(counts.values()),
        "topics_with_message_count": [
            {"topic_metadata": topic, "message_count": counts[name]} for name, topic in topics.items()
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [span[0] for span in spans],
        "files": [
            {
                "path": name,
                "starting_time": {"nanoseconds_since_epoch": first},
                "duration": {"nanoseconds": length},
                "message_count": count,
            }
            for name, first, length, count in spans
        ],
        "custom_data": {},
        "ros_distro": "jazzy",
    }
    path, part = folder / METADATA, folder / f"{METADATA}.part"
    part.write_text(yaml.safe_dump({"rosbag2_bagfile_information": content}, sort_keys=False), encoding="utf-8")
    os.replace(part, path)
    return path


def _span(recording: Recording) -> tuple[int, int]:
    times = [message.log_time for message in recording.messages]
    return (min(times), max(times) - min(times)) if times else (0, 0)


def _topic(topic: str, type_name: str, encoding: str, metadata: Sequence[tuple[str, str]]) -> dict[str, Any]:
    said = dict(metadata)
    try:
        profiles = yaml.safe_load(said.get("offered_qos_profiles", "")) or []
    except yaml.YAMLError:
        profiles = []
    return {
        "name": topic,
        "type": type_name,
        "serialization_format": encoding,
        "offered_qos_profiles": profiles,
        "type_description_hash": said.get("topic_type_hash", ""),
    }
