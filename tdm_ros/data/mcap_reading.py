"""Read whatever is whole in an MCAP file: a torn end, a damaged spot or a foreign file gives a sentence, no error."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, DataEnd, Footer, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import MCAP0_MAGIC

from tdm_ros.data import recording as data

HEADER = struct.Struct("<BQ")
LONGEST = 1 << 30
"""No record of a log is longer [bytes]."""
_SPOT = re.compile(rb"(?=[\x02-\x0f].{4}\x00{4})", re.DOTALL)
"""Where a record may begin: its kind, and a length below 4 GiB; looked ahead for, as such places may overlap."""
_BROKEN = (McapError, EOFError, ValueError, LookupError, StopIteration, struct.error, MemoryError, RuntimeError)


class McapFile:
    """One file, read once.

    Parameters
    ----------
    path : Path
    advance : callable
        Told how many bytes were taken in, for a progress bar.
    """

    def __init__(self, path: Path, advance: Callable[[int], Any] = lambda count: None) -> None:
        self._path, self._advance = path, advance
        self._bytes = path.read_bytes()
        self._channels: dict[int, int] = {}
        self._schemas: dict[int, Schema] = {}
        self._found: list[data.Channel] = []
        self._messages: list[data.Message] = []
        self._metadata: list[tuple[str, dict[str, str]]] = []
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._attachments = 0

    def read(self) -> data.Recording:
        """Everything that is whole."""
        if self._begins_well():
            for record in self._records():
                self._take(record)
            if self._attachments:
                self._problems.append(f"{self._path}: {self._attachments} attachments are left out")
        self._advance(len(self._bytes))
        return data.Recording(
            str(self._path),
            tuple(self._found),
            self._messages,
            tuple(self._metadata),
            tuple(self._problems),
            tuple(self._notes),
        )

    def _begins_well(self) -> bool:
        head = self._bytes[:16]
        if head.startswith(MCAP0_MAGIC):
            return True
        if not head:
            sentence = "is empty: its writer was killed before the first message, or it was not copied"
        elif head.startswith(b"SQLite format 3"):
            sentence = "is a rosbag2 in SQLite: `ros2 bag convert` makes MCAP of it (storage_id: mcap)"
        elif head.startswith(b"#ROSBAG"):
            sentence = "is a bag of ROS 1: `rosbags-convert` makes MCAP of it"
        else:
            sentence = f"is no MCAP file: it begins with {head[:8]!r}, not with {MCAP0_MAGIC!r}"
        self._problems.append(f"{self._path} {sentence}")
        return False

    def _records(self) -> Iterator[Any]:
        """Records one after the other; what can not be read is skipped up to where it goes on."""
        at, size, crc_since = len(MCAP0_MAGIC), len(self._bytes), 0
        before, last = at, None
        while at < size:
            record, end = self._record(at)
            if record is None:
                end = self._resume(before, at)
                if end < at:
                    at = before
                    if isinstance(last, Message):
                        self._messages.pop()
                self._say_lost(at, end)
                crc_since = -1
            elif isinstance(record, DataEnd) and record.data_section_crc and crc_since == 0:
                if zlib.crc32(memoryview(self._bytes)[:at]) != record.data_section_crc:
                    self._problems.append(f"{self._path}: the checksum does not match, some byte in it was changed")
            elif isinstance(record, Footer):
                if not self._bytes.endswith(MCAP0_MAGIC):
                    self._notes.append(f"{self._path} is cut behind its last message: its very end is missing")
                return
            else:
                yield record
            at, before, last = end, at, record
        if size == at and not self._problems:
            self._notes.append(f"{self._path} is not finished: it is still being written, or its writer was killed")

    def _record(self, at: int) -> tuple[Any, int]:
        """The record at an offset and where the next one is; None if there is none that is whole."""
        end = self._end(at)
        if end is None:
            return None, at
        try:
            record = _parsed(self._bytes[at:end])
        except _BROKEN:
            return None, at
        if isinstance(record, Message) and record.channel_id not in self._channels:
            return None, at
        return record, end

    def _end(self, at: int) -> int | None:
        if at + HEADER.size > len(self._bytes):
            return None
        opcode, length = HEADER.unpack_from(self._bytes, at)
        end = at + HEADER.size + length
        known = 0 < opcode <= max(Opcode) or opcode >= 0x80
        return end if known and length <= LONGEST and end <= len(self._bytes) else None

    def _resume(self, before: int, at: int) -> int:
        """Where a record begins again that is followed by another, or by the end.

        The record ``before`` may have a wrong length, so that it is looked for in that one, too. There it must be
        followed by one that is whole: what a message holds must not be taken for records.
        """
        for spot in _SPOT.finditer(self._bytes, before + 1):
            start = spot.start()
            record, end = self._record(start)
            if not record or start == at:
                continue
            if start < at:
                follows = self._record(end)[0] is not None
            else:
                follows = end == len(self._bytes) or self._end(end) is not None or isinstance(record, Footer)
            if follows:
                return start
        return len(self._bytes)

    def _say_lost(self, at: int, end: int) -> None:
        if end < len(self._bytes):
            text = f"is damaged: {end - at} bytes from byte {at} on can not be read, what follows them can"
        else:
            text = f"ends in the middle of a record: its last {end - at} bytes can not be read"
        self._problems.append(f"{self._path} {text}")

    def _take(self, record: Any) -> None:
        if isinstance(record, Schema):
            self._schemas.setdefault(record.id, record)
        elif isinstance(record, Channel) and record.id not in self._channels:
            schema = self._schemas.get(record.schema_id) or Schema(id=0, data=b"", encoding="", name="")
            self._channels[record.id] = len(self._found)
            self._found.append(
                data.Channel(
                    record.topic,
                    schema.name,
                    schema.data,
                    schema.encoding,
                    record.message_encoding,
                    tuple(record.metadata.items()),
                )
            )
        elif isinstance(record, Message):
            self._messages.append(
                data.Message(
                    self._channels[record.channel_id],
                    record.log_time,
                    record.publish_time,
                    record.sequence,
                    record.data,
                )
            )
        elif isinstance(record, Chunk):
            self._open(record)
        elif isinstance(record, Metadata):
            self._metadata.append((record.name, dict(record.metadata)))
        elif isinstance(record, Attachment):
            self._attachments += 1

    def _open(self, chunk: Chunk) -> None:
        try:
            for record in breakup_chunk(chunk, validate_crc=True):
                self._take(record)
        except Exception as error:  # each compression has errors of its own
            text = f"{type(error).__name__}: {error}".strip(": ")
            self._problems.append(f"{self._path}: a chunk is damaged and its messages are left out ({text})")


def _parsed(data: bytes) -> Any:
    """The record in these bytes, () if it is of a kind that is not known here."""
    opcode, length = HEADER.unpack_from(data)
    if opcode == Opcode.MESSAGE:
        return Message.read(ReadDataStream(BytesIO(data[HEADER.size :])), length)
    if opcode not in list(Opcode):
        return ()
    return next(iter(StreamReader(BytesIO(data), skip_magic=True, emit_chunks=True).records))
