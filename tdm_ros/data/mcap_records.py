"""Whole records of an MCAP file, also if it is truncated, zeroed or has changed bytes. Bounded decompression.

A chunk has a checksum, a message outside of a chunk has none. Such a message is accepted if a record follows it and,
where the writer numbers its messages, if the next one is not inside it: a wrong length must not hide others. After a
damaged place, reading continues with the next record whose length matches its content and which another record follows.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard
from mcap.opcode import Opcode
from mcap.records import Channel, Message, Metadata
from mcap.writer import MCAP0_MAGIC

from tdm_ros.data.mcap_layout import (
    BROKEN,
    CHUNK,
    MESSAGE,
    U32,
    U64,
    WINDOW,
    Definitions,
    Memory,
    Source,
    Window,
    end_of,
    is_cdr,
    is_cut,
    parsed,
    records_in,
    summary_of,
)
from tdm_ros.data.recording import DataError
from tdm_ros.data.repeats import RepeatedMessages

LEAST_BUDGET = 1 << 30
UNPACKS_BY = 20
"""Files may unpack to `LEAST_BUDGET` [bytes] or, if that is more, to this multiple of their size."""
_PORTION = 1 << 20


class Budget:
    """Memory left for unpacking; the files of one recording, of ``size`` bytes, share it."""

    def __init__(self, size: int, limit: int | None = None) -> None:
        self.limit = max(LEAST_BUDGET, UNPACKS_BY * size) if limit is None else limit
        self._left = self.limit

    def take(self, count: int, name: object) -> None:
        """Subtract a number of bytes. Raises DataError with the remedy if fewer are left."""
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"{name} unpacks to more than {self.limit / 1e9:.3g} GB, expected at most {UNPACKS_BY} times its size "
                "or 1 GB: it is damaged, or made to fill the memory; if you trust it, give a larger --unpack-limit"
            )


def is_zstd(data: bytes) -> bool:
    """Whether bytes begin with the head of a zstd frame, which no serialised message of ROS 2 does."""
    return data.startswith(zstandard.FRAME_HEADER)


def unpack(compression: str, data: bytes, budget: Budget, name: object) -> tuple[bytes, str]:
    """Decompress as far as possible; return the data, and "" or the error in the rest.

    Raises DataError if it is more than the budget has left.
    """
    portions = {"zstd": _zstd, "lz4": _lz4}.get(compression)
    if portions is None:
        return b"", f"compression {compression!r} is unknown, expected zstd or lz4"
    parts: list[bytes] = []
    try:
        for part in portions(data):
            budget.take(len(part), name)
            parts.append(part)
    except (zstandard.ZstdError, RuntimeError, EOFError, MemoryError) as error:
        return b"".join(parts), f"{type(error).__name__}: {error}"
    return b"".join(parts), ""


def _zstd(data: bytes) -> Iterator[bytes]:
    expected = zstandard.get_frame_parameters(data).content_size
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data)
    found = 0
    while part := reader.read(_PORTION):
        found += len(part)
        yield part
    if expected != zstandard.CONTENTSIZE_UNKNOWN and found != expected:
        raise EOFError(f"{found} bytes, expected {expected}")


def _lz4(data: bytes) -> Iterator[bytes]:
    decompressor, rest = lz4.frame.LZ4FrameDecompressor(), data
    while not decompressor.eof:
        part = decompressor.decompress(rest, _PORTION)
        rest = b""
        yield part
        if not part and decompressor.needs_input:
            raise EOFError("it is truncated")


SMALL_CHUNK = 1 << 16
"""A damaged chunk up to this size is left out; of a larger one, whole messages are kept [bytes]."""
MESSAGE_COST = 256
"""Memory of a message besides its data [bytes]."""
ZEROS = bytes(64)
"""A message without a checksum that ends in these, with only zeros after it, was truncated by a power cut."""
MOST_SENTENCES = 20
"""Largest number of damaged places that are reported one by one."""
_SPOT = re.compile(rb"(?=[\x01-\x0f].{4}\x00{4})", re.DOTALL)
"""Possible begin of a record: opcode, and a length below 4 GiB; a lookahead, since such places may overlap."""


class RecordReader:
    """Iterator over the channels, messages and metadata of one file, each channel before its messages; for one use.

    A message that is in the file twice is read once.
    """

    def __init__(self, path: Path, budget: Budget | None = None) -> None:
        self.path = path
        self.budget = budget or Budget(path.stat().st_size)
        self.definitions = Definitions()
        self.is_mcap = False
        """Whether the file contains any record."""
        self.problems: list[str] = []
        """One sentence per loss or omission."""
        self.notes: list[str] = []
        """One sentence per unusual property without a loss."""
        self.left_out: Counter[str] = Counter()
        self.repeated = 0
        """Number of messages that were left out, since they are in the file twice."""
        self._announced: set[int] = set()

    def __iter__(self) -> Iterator[Channel | Message | Metadata]:
        with self.path.open("rb") as file:
            source = Window(file.fileno())
            if summary := summary_of(source):
                self.definitions = summary.definitions
            start = self._begin(source)
            if start is not None:
                self.is_mcap = True
                yield from self._once(_Scan(self, source, start).records())
                if self.repeated:
                    self.left_out["messages that are in it twice"] = self.repeated
                self.problems += [f"{self.path}: {n} {what} are left out" for what, n in self.left_out.items()]

    def _once(self, records: Iterator[Any]) -> Iterator[Any]:
        repeats = RepeatedMessages()
        for one in records:
            if isinstance(one, Message) and repeats.add(one):
                self.repeated += 1
            else:
                yield one

    def _begin(self, source: Window) -> int | None:
        """Offset of the first record; None if this is no MCAP file."""
        head = source.get(0, 16)
        if head.startswith(MCAP0_MAGIC):
            return len(MCAP0_MAGIC)
        if is_zstd(head):
            sentence = f"is compressed as a whole, as rosbag2 does on request: unpack it with `zstd -d {self.path}`"
        elif (first := _Scan(self, source, 0).resume(0, -1)) < source.size:
            self.problems.append(f"{self.path} is damaged: its first {first} bytes cannot be read")
            return first
        elif head.startswith(b"SQLite format 3"):
            sentence = "is a rosbag2 in SQLite: `ros2 bag convert` makes MCAP of it (storage_id: mcap)"
        elif head.startswith(b"#ROSBAG"):
            sentence = "is a bag of ROS 1: `rosbags-convert` makes MCAP of it"
        elif not head:
            sentence = "is empty: its writer was killed before the first message, or it was not copied"
        else:
            sentence = f"is no MCAP file: it begins with {head[:8]!r}, not with {MCAP0_MAGIC!r}"
        self.problems.append(f"{self.path} {sentence}")
        return None

    def passed(self, record: Any) -> Iterator[Channel | Message | Metadata]:
        """Items of the iteration for a record of the file."""
        is_message = isinstance(record, Message)
        if not is_message:
            self.definitions.add(record)
        if is_message or isinstance(record, Channel):
            number = record.channel_id if is_message else record.id
            channel = self.definitions.channels.get(number)
            if channel is None:
                self.left_out[f"messages of channel {number}, whose definition is lost,"] += 1
                return
            if number not in self._announced:
                self._announced.add(number)
                yield channel
            if is_message:
                yield self._unpacked(record, channel)
        elif isinstance(record, Metadata):
            yield record

    def _unpacked(self, message: Message, channel: Channel) -> Message:
        """Message without the compression per message that rosbag2 has as an option."""
        if channel.message_encoding != "cdr" or not is_zstd(message.data):
            return message
        data, problem = unpack("zstd", message.data, self.budget, self.path)
        if problem:
            return message
        return Message(message.channel_id, message.log_time, data, message.publish_time, message.sequence)


class _Scan:
    """Records of a file or of a damaged chunk of it, in order."""

    def __init__(self, reader: RecordReader, source: Source, start: int, top: bool = True) -> None:
        self._reader, self._source, self._top = reader, source, top
        self._at = start
        self._pending: tuple[int, Message] | None = None
        self._numbered = True
        self._damaged = 0
        self._from_start = top and start == len(MCAP0_MAGIC)
        self._crc = zlib.crc32(MCAP0_MAGIC)

    def records(self) -> Iterator[Any]:
        """Whole records."""
        while True:
            at = self._at
            end = self._whole(at)
            if end is None and at < self._source.size:
                yield from self._skip()
                continue
            opcode = self._source.get(at, 1)[0] if end else None
            if self._pending is not None:
                if self._hides_others(at, opcode):
                    continue
                yield from self._release()
            if end is None or opcode == Opcode.FOOTER:
                break
            self._at = end
            yield from self._take(at, opcode, end)
        if self._top:
            self._note_the_end(opcode == Opcode.FOOTER)

    def _take(self, at: int, opcode: int | None, end: int) -> Iterator[Any]:
        record = self._source.get(at, end - at)
        if opcode == Opcode.DATA_END:
            self._compare_checksum(U32.unpack(record[9:])[0])
        elif self._from_start:
            self._crc = zlib.crc32(record, self._crc)
        if opcode == Opcode.MESSAGE_INDEX:
            return
        body = record[9:]
        del record  # it may be large
        if opcode == Opcode.CHUNK:
            yield from self._chunk(body)
        elif opcode == Opcode.ATTACHMENT:
            self._reader.left_out["attachments"] += 1
        elif opcode is not None and opcode >= 0x80:
            self._reader.left_out["records of a kind that MCAP does not define"] += 1
        elif opcode in (Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA):
            try:
                record = parsed(opcode, body)
            except BROKEN:
                self._lose(at, end)
                return
            if opcode == Opcode.MESSAGE:
                self._pending = at, record
            else:
                yield from self._reader.passed(record)

    def _release(self) -> Iterator[Any]:
        """Accept the pending message."""
        if self._pending is not None:
            (_, message), self._pending = self._pending, None
            yield from self._reader.passed(message)

    def _whole(self, at: int, searched: bool = False) -> int | None:
        """End of the record at an offset; None if there is none that can be accepted."""
        end = end_of(self._source, at)
        if end is None:
            return None
        opcode = self._source.get(at, 1)[0]
        if opcode >= 0x80:
            return None if searched or not self._leads_on(end) else end
        if opcode != Opcode.MESSAGE:
            return end
        head = self._source.get(at + 9, MESSAGE.size + 4)
        channel = self._reader.definitions.channels.get(MESSAGE.unpack_from(head)[0])
        if channel is None:
            return end if not searched and is_cdr(head[MESSAGE.size :]) else None
        sound = not searched or channel.message_encoding != "cdr" or is_cdr(head[MESSAGE.size :])
        return end if sound else None

    def _leads_on(self, at: int) -> bool:
        """Whether a record that MCAP defines, or the end, follows those that it does not."""
        while at < self._source.size and self._source.get(at, 1)[0] >= 0x80:
            end = end_of(self._source, at)
            if end is None:
                return False
            at = end
        return at == self._source.size or self._whole(at) is not None

    def _skip(self) -> Iterator[Any]:
        """Continue after a damaged place."""
        at, pending = self._at, self._pending
        resumed = self.resume(pending[0] + 1 if pending else at + 1, at)
        if pending and (
            resumed < at  # its length is wrong
            or self._follows(pending[1], resumed)
            or (pending[1].data.endswith(ZEROS) and self._only_zeros(at))  # truncated, and filled up
        ):
            at, self._pending = pending[0], None
        yield from self._release()
        if resumed == self._source.size:
            yield from self._cut_chunk(at)
        self._lose(at, resumed)
        self._at = resumed

    def resume(self, start: int, at: int) -> int:
        """Offset of the next record after ``start`` that another record or the end follows.

        The record before ``at`` may have a wrong length and contain further records. A chain of these must lead beyond
        ``at``, since the content of a message must not be mistaken for records.
        """
        seen: set[int] = set()
        for spot in self._spots(start):
            end = self._whole(spot, searched=True) if spot != at else None
            if spot < at:
                while end is not None and end <= at and end not in seen:
                    seen.add(end)
                    end = self._whole(end, searched=True)
                if end is not None and end <= at:
                    continue
            if end is not None and (self._whole(end) is not None or is_cut(self._source, end)):
                return spot
        return self._source.size

    def _spots(self, start: int) -> Iterator[int]:
        while start + 9 <= self._source.size:
            block = self._source.get(start, WINDOW)
            for spot in _SPOT.finditer(block):
                yield start + spot.start()
            start += max(1, len(block) - 8)

    def _follows(self, message: Message, at: int) -> bool:
        """Whether the message at an offset was written directly after another."""
        return self._numbered and self._number_at(at) == message.sequence + 1

    def _number_at(self, at: int) -> int | None:
        head = self._source.get(at, 15)
        return int(U32.unpack(head[11:])[0]) if len(head) == 15 and head[0] == Opcode.MESSAGE else None

    def _hides_others(self, at: int, opcode: int | None) -> bool:
        """Drop the pending message if the next written one is inside it: its length is wrong."""
        if self._pending is None or opcode not in (Opcode.MESSAGE, Opcode.DATA_END, None):
            return False
        start, message = self._pending
        number = self._number_at(at)
        if number is not None and number <= message.sequence:
            self._numbered = False
        if not self._numbered or number == message.sequence + 1:
            return False
        for spot in self._spots(start + 9 + MESSAGE.size):
            if spot >= at:
                return False
            end = self._whole(spot, searched=True) if self._follows(message, spot) else None
            while end is not None and end < at:
                end = self._whole(end, searched=True)
            if end == at:
                self._lose(start, spot)
                self._pending, self._at = None, spot
                return True
        return False

    def _lose(self, at: int, end: int) -> None:
        self._from_start = False
        if not self._top:
            return
        path, size = self._reader.path, self._source.size
        self._damaged += 1
        if end == size and self._only_zeros(at):
            text = f"ends in {size - at} zeros, as after a power cut; the records before them are read"
        elif end == size:
            text = f"ends in the middle of a record: its last {size - at} bytes cannot be read"
        else:
            text = f"is damaged: {end - at} bytes from byte {at} on cannot be read, the records after them are"
        if self._damaged <= MOST_SENTENCES:
            self._reader.problems.append(f"{path} {text}")

    def _only_zeros(self, at: int) -> bool:
        """Whether the next `WINDOW` bytes are zeros."""
        return not self._source.get(at, WINDOW).strip(b"\0")

    def _compare_checksum(self, expected: int) -> None:
        if self._from_start and expected and expected != self._crc:
            self._reader.problems.append(
                f"{self._reader.path}: the checksum does not match, so a byte of the file was changed"
            )
        self._from_start = False

    def _note_the_end(self, finished: bool) -> None:
        reader = self._reader
        if self._damaged > MOST_SENTENCES:
            reader.problems.append(f"{reader.path} is damaged in {self._damaged - MOST_SENTENCES} more places")
        if finished and self._source.get(self._source.size - 8, 8) != MCAP0_MAGIC:
            reader.notes.append(f"{reader.path} is truncated after its last message: its end is missing")
        elif not finished and not self._damaged:
            reader.notes.append(f"{reader.path} is not finished: it is still being written, or its writer was killed")

    def _chunk(self, body: bytes) -> Iterator[Any]:
        """Records of a chunk of valid length."""
        _, _, size, checksum, name = CHUNK.unpack_from(body)
        compression = body[CHUNK.size : CHUNK.size + name].decode(errors="replace")
        data, problem = body[CHUNK.size + name + 8 :], ""
        if compression:
            data, problem = unpack(compression, data, self._reader.budget, self._reader.path)
        if not problem and (zlib.crc32(data) != checksum if checksum else len(data) != size):
            problem = "its checksum does not match" if checksum else f"{len(data)} bytes, expected {size}"
        records: list[Any] = []
        if not problem:
            try:
                records = list(records_in(data))
            except BROKEN as error:
                problem = f"{type(error).__name__}: {error}"
        if problem:
            yield from self._damaged_chunk(b"" if compression else data, problem)
            return
        for record in records:
            if compression and isinstance(record, Message):
                self._reader.budget.take(MESSAGE_COST, self._reader.path)
            yield from self._reader.passed(record)

    def _damaged_chunk(self, data: bytes, problem: str) -> Iterator[Any]:
        """Definitions of a damaged chunk, and messages of a large one that are consistent; none of a compressed one."""
        found = list(_Scan(self._reader, Memory(data), 0, top=False).records())
        kept = [one for one in found if len(data) > SMALL_CHUNK or not isinstance(one, Message)]
        count = sum(isinstance(one, Message) for one in kept)
        text = f"{count} messages with consistent lengths are kept" if count else "its messages are left out"
        self._reader.problems.append(f"{self._reader.path}: a chunk is damaged and {text} ({problem})")
        yield from kept

    def _cut_chunk(self, at: int) -> Iterator[Any]:
        """Whole records of a compressed chunk that the end of the file truncates."""
        head = self._source.get(at, 9 + CHUNK.size)
        if (
            len(head) < 9 + CHUNK.size
            or head[0] != Opcode.CHUNK
            or at + 9 + U64.unpack(head[1:9])[0] <= self._source.size
        ):
            return
        start, name = at + len(head), CHUNK.unpack(head[9:])[4]
        compression = self._source.get(start, min(name, 8)).decode(errors="replace")
        if compression:
            packed = self._source.get(start + name + 8, self._source.size)
            data, _ = unpack(compression, packed, self._reader.budget, self._reader.path)
            yield from _Scan(self._reader, Memory(data), 0, top=False).records()
