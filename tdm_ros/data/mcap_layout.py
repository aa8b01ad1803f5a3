"""Layout of the records of an MCAP file: validity and content.

Source: mcap.dev/spec; the library mcap parses the fields.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Message, Metadata, Schema, Statistics
from mcap.writer import MCAP0_MAGIC

LONGEST = 1 << 30
"""Largest size of a record [bytes]."""
WINDOW = 1 << 20
HEAD = struct.Struct("<BQ")
"""Head of a record: opcode and length of the content."""
MESSAGE = struct.Struct("<HIQQ")
"""Head of a message: channel, sequence number, log and publish time [ns]."""
CHUNK = struct.Struct("<QQQII")
"""Head of a chunk: first and last time [ns], size [bytes], checksum, length of the compression's name."""
U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
BROKEN = (McapError, EOFError, ValueError, LookupError, struct.error, MemoryError, RuntimeError)
"""Exceptions of a parser on damaged bytes."""
_S, _D = "string", "data"
_LAYOUT: dict[int, tuple[int | str, ...]] = {
    Opcode.HEADER: (_S, _S),
    Opcode.FOOTER: (20,),
    Opcode.SCHEMA: (2, _S, _S, _S),
    Opcode.CHANNEL: (4, _S, _S, _S),
    Opcode.CHUNK: (28, _S, _D),
    Opcode.MESSAGE_INDEX: (2, _S),
    Opcode.CHUNK_INDEX: (32, _S, 8, _S, 16),
    Opcode.ATTACHMENT: (16, _S, _S, _D, 4),
    Opcode.ATTACHMENT_INDEX: (40, _S, _S),
    Opcode.STATISTICS: (42, _S),
    Opcode.METADATA: (_S, _S),
    Opcode.METADATA_INDEX: (16, _S),
    Opcode.SUMMARY_OFFSET: (17,),
    Opcode.DATA_END: (4,),
}
"""Parts of each kind of record except messages: a number of bytes, or a field after a length of 4 or 8 bytes."""
_PARSED: dict[int, Any] = {
    Opcode.SCHEMA: Schema,
    Opcode.CHANNEL: Channel,
    Opcode.METADATA: Metadata,
    Opcode.STATISTICS: Statistics,
}


class Window:
    """File, open for reading, with the size that it had when it was opened; only a part is in memory."""

    def __init__(self, fd: int) -> None:
        self._fd, self.size = fd, os.fstat(fd).st_size
        self._low, self._held = 0, b""

    def get(self, at: int, count: int) -> bytes:
        """Bytes from an offset on; fewer at the end of the file, zeros where it was truncated meanwhile."""
        low = at - self._low
        if 0 <= low <= (end := low + count) <= len(self._held):
            return self._held[low:end]
        count = max(0, min(count, self.size - at))
        if low < 0 or low + count > len(self._held):
            self._low, self._held = at, os.pread(self._fd, max(count, min(WINDOW, self.size - at)), at)
            low = 0
        return self._held[low : low + count].ljust(count, b"\0")


class Memory:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def get(self, at: int, count: int) -> bytes:
        """Bytes from an offset on; fewer at the end."""
        return self._data[at : at + count]


Source = Window | Memory


@dataclass
class Definitions:
    """Schemas and channels by number; the first definition of a number is valid."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)

    def add(self, record: Any) -> None:
        """Add a record, if it is a definition."""
        if isinstance(record, Schema):
            self.schemas.setdefault(record.id, record)
        elif isinstance(record, Channel):
            self.channels.setdefault(record.id, record)


def end_of(source: Source, at: int) -> int | None:
    """End of the record at an offset, if its kind is known and its length matches its content.

    Content of a message, and of a kind that MCAP reserves for applications, is arbitrary: only its length is checked.
    """
    head = source.get(at, 9)
    if len(head) < 9:
        return None
    opcode, length = HEAD.unpack(head)
    end = at + 9 + int(length)
    if length > LONGEST or end > source.size:
        return None
    if opcode == Opcode.MESSAGE:
        return end if length >= MESSAGE.size else None
    if opcode >= 0x80:
        return end
    if opcode not in _LAYOUT or (opcode == Opcode.FOOTER and end + 8 < source.size):
        return None
    return end if _fits(source, _LAYOUT[opcode], at + 9, end) else None


def _fits(source: Source, layout: tuple[int | str, ...], at: int, end: int) -> bool:
    for part in layout:
        if isinstance(part, int):
            at += part
        else:
            width = U32 if part == _S else U64
            if at + width.size > end:
                return False
            at += width.size + int(width.unpack(source.get(at, width.size))[0])
        if at > end:
            return False
    return at == end


def is_cut(source: Source, at: int) -> bool:
    """Whether a record begins at an offset and continues beyond the end."""
    head = source.get(at, 9)
    if len(head) < 9:
        return True
    opcode, length = HEAD.unpack(head)
    return bool(0 < opcode <= max(Opcode) and length <= LONGEST and at + 9 + length > source.size)


def parsed(opcode: int, body: bytes) -> Any:
    """Parsed record; None for kinds that are not needed. Raises one of `BROKEN` if it is damaged."""
    if opcode == Opcode.MESSAGE:
        channel, sequence, log_time, publish_time = MESSAGE.unpack_from(body)
        return Message(channel, log_time, body[MESSAGE.size :], publish_time, sequence)
    kind = _PARSED.get(opcode)
    return kind and kind.read(ReadDataStream(BytesIO(body)))


def records_in(data: bytes) -> Iterator[Any]:
    """Records of bytes that contain nothing else; raises one of `BROKEN` otherwise."""
    at = 0
    while at < len(data):
        opcode, length = HEAD.unpack_from(data, at)
        end = at + 9 + length
        if end > len(data):
            raise ValueError("a record is cut")
        yield parsed(opcode, data[at + 9 : end])
        at = end


def is_cdr(data: bytes) -> bool:
    """Whether bytes begin with the head of a serialised ROS 2 message: representation, options."""
    return len(data) >= 4 and data[0] == 0 and data[1] <= 0x0B and data[2] == 0


_OFFSET = struct.Struct("<BQBQQ")
_FOOTER_BYTES = 37


@dataclass(frozen=True)
class Summary:
    """Summary at the end of a file; its statistics are the number of messages by channel, first and last time."""

    definitions: Definitions
    statistics: Statistics | None


def is_finished(path: Path) -> bool:
    """Whether a file has the footer, which its writer writes last; its content may be damaged."""
    with path.open("rb") as file:
        return _footer(Window(file.fileno())) is not None


def read_summary(path: Path) -> Summary | None:
    """Summary of a file; None if there is none with a valid checksum."""
    with path.open("rb") as file:
        return summary_of(Window(file.fileno()))


def summary_of(source: Source) -> Summary | None:
    """Summary of an open file; None if there is none with a valid checksum."""
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
    """Offsets of the summary and of the table of its parts, and its checksum."""
    tail = source.get(source.size - _FOOTER_BYTES, _FOOTER_BYTES) if source.size >= _FOOTER_BYTES else b""
    if not tail.endswith(MCAP0_MAGIC) or not tail.startswith(HEAD.pack(Opcode.FOOTER, 20)):
        return None
    start, offsets, checksum = struct.unpack("<QQI", tail[9:29])
    return start, offsets, checksum


def _groups(data: bytes, start: int, offsets: int) -> list[tuple[int, int]]:
    """Ranges of definitions and statistics; the indexes of all chunks may be a thousand times as long."""
    if not start <= offsets <= start + len(data):
        return [(0, len(data))]
    wanted = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS)
    rows = _OFFSET.iter_unpack(data[offsets - start :])
    return [(at - start, at - start + length) for _, _, kind, at, length in rows if kind in wanted and at >= start]
