"""Index of a log: size, times and numbers of messages of each finished file, one line with a checksum per file.

The writer appends a line when it has finished a file, so that a long log is opened, counted, listed and described
without reading its files. A line that is missing, damaged or of a file of another size is ignored: the file is read.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from tdm_ros.data.mcap_layout import read_summary
from tdm_ros.data.recording import Channel
from tdm_ros.data.tally import Tally

INDEX = "index.jsonl"
_TIMES = 1 << 64


@dataclass(frozen=True)
class BagFile:
    """Entry of a file in the index and in metadata.yaml."""

    name: str
    start_ns: int
    end_ns: int
    """Times of its first and last message; 0 without messages."""
    topics: tuple[tuple[Channel, int], ...]
    """Each with its number of messages; the channels are without the definition of their messages."""
    tally: Tally | None = None
    """What its transitions and episodes are; None if nobody has counted."""

    @property
    def count(self) -> int:
        """Number of messages."""
        return sum(count for _, count in self.topics)

    def count_of(self, topic: str) -> int:
        """Number of messages of a topic."""
        return sum(count for channel, count in self.topics if channel.topic == topic)


def summarised(path: Path) -> BagFile | None:
    """Entry of a finished file, from its summary; None if it has no valid one."""
    summary = read_summary(path)
    if summary is None or summary.statistics is None:
        return None
    statistics, schemas = summary.statistics, summary.definitions.schemas
    topics = []
    for number, one in summary.definitions.channels.items():
        kind = schemas[one.schema_id].name if one.schema_id in schemas else ""
        channel = Channel(one.topic, kind, b"", "", one.message_encoding, tuple(one.metadata.items()))
        topics.append((channel, statistics.channel_message_counts.get(number, 0)))
    return BagFile(path.name, statistics.message_start_time, statistics.message_end_time, tuple(topics))


def add_to_index(path: Path, tally: Tally | None = None) -> None:
    """Append the line of a finished file, and wait until it is on the disk. Raises OSError if there is no room."""
    file = summarised(path)
    if file is None:
        return
    topics = [[one.topic, one.type_name, one.encoding, dict(one.metadata), count] for one, count in file.topics]
    numbers = None if tally is None else tally.as_json()
    text = json.dumps([file.name, path.stat().st_size, file.start_ns, file.end_ns, topics, numbers])
    line = f"\n{zlib.crc32(text.encode()):08x} {text}\n"  # begins a line even after one that is cut
    fd = os.open(path.parent / INDEX, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, line.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def read_index(folder: Path) -> dict[str, BagFile]:
    """Entries by file name, of files that have the size in their line."""
    try:
        lines = (folder / INDEX).read_bytes().splitlines()
    except OSError:
        return {}
    found: dict[str, BagFile] = {}
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text) or not text:
            continue
        try:
            size, file = _parsed(text)
        except (ValueError, TypeError, AttributeError, OverflowError):  # of another version
            continue
        if _size_of(folder / file.name) == size:
            found[file.name] = file
    return found


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _parsed(text: bytes) -> tuple[int, BagFile]:
    name, size, start_ns, end_ns, topics, *rest = json.loads(text)
    if not 0 <= int(start_ns) < _TIMES or not 0 <= int(end_ns) < _TIMES:
        raise ValueError(f"the times are {start_ns} and {end_ns} ns, expected numbers below 2^64")
    channels = tuple(
        (Channel(topic, kind, b"", "", encoding, tuple(metadata.items())), int(count))
        for topic, kind, encoding, metadata, count in topics
    )
    tally = Tally.of_json(rest[0]) if rest else None
    return size, BagFile(str(name), int(start_ns), int(end_ns), channels, tally)
