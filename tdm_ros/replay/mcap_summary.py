"""Summary section of a finished MCAP file: definitions and counts, without reading the rest."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from mcap.opcode import Opcode
from mcap.records import Statistics
from mcap.writer import MCAP0_MAGIC

from tdm_ros.replay.mcap_layout import BROKEN, HEAD, Definitions, Source, Window, records_in

_OFFSET = struct.Struct("<BQBQQ")
_FOOTER_BYTES = 37


@dataclass(frozen=True)
class Summary:
    """Content of a file, from its end.

    Parameters
    ----------
    definitions : Definitions
    statistics : Statistics or None
        The library's: numbers of messages by channel, first and last time.
    """

    definitions: Definitions
    statistics: Statistics | None

    def count(self, topic: str) -> int | None:
        """Number of messages of a topic; None if the file does not say."""
        if self.statistics is None:
            return None
        numbers = [number for number, channel in self.definitions.channels.items() if channel.topic == topic]
        return sum(self.statistics.channel_message_counts.get(number, 0) for number in numbers)


def is_finished(path: Path) -> bool:
    """Whether a file has the end that its writer gives it last; what is before may be damaged."""
    with path.open("rb") as file:
        return _footer(Window(file.fileno())) is not None


def read_summary(path: Path) -> Summary | None:
    """The summary of a file; None if there is none that passes its checksum."""
    with path.open("rb") as file:
        return summary_of(Window(file.fileno()))


def summary_of(source: Source) -> Summary | None:
    """The same of what is open."""
    found = _footer(source)
    if found is None or not 0 < found[0] <= source.size - _FOOTER_BYTES:
        return None
    start, offsets, checksum = found
    data = source.get(start, source.size - 12 - start)  # the checksum covers the footer up to itself
    if checksum and zlib.crc32(data) != checksum:
        return None
    data = data[: -(_FOOTER_BYTES - 12)]
    definitions, statistics = Definitions(), None
    try:
        for low, high in _groups(data, start, offsets):
            for record in records_in(data[low:high]):
                definitions.add(record)
                statistics = record if isinstance(record, Statistics) else statistics
    except BROKEN:
        return None
    return Summary(definitions, statistics)


def _footer(source: Source) -> tuple[int, int, int] | None:
    """Where the summary and the table of its parts begin, and its checksum."""
    tail = source.get(source.size - _FOOTER_BYTES, _FOOTER_BYTES) if source.size >= _FOOTER_BYTES else b""
    if not tail.endswith(MCAP0_MAGIC) or not tail.startswith(HEAD.pack(Opcode.FOOTER, 20)):
        return None
    start, offsets, checksum = struct.unpack("<QQI", tail[9:29])
    return start, offsets, checksum


def _groups(data: bytes, start: int, offsets: int) -> list[tuple[int, int]]:
    """The parts that are wanted: the indexes of all chunks may be a thousand times as long."""
    if not start <= offsets <= start + len(data):
        return [(0, len(data))]
    wanted = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS)
    rows = _OFFSET.iter_unpack(data[offsets - start :])
    return [(at - start, at - start + length) for _, _, kind, at, length in rows if kind in wanted and at >= start]
