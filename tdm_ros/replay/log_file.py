"""One file of the log: MCAP in small chunks with checksums, each handed to the operating system before it counts.

A chunk holds what was written between two flushes, usually one cycle, so that killing the process loses nothing that
was flushed, a damaged byte costs one cycle, and readers that know only chunked files (Rerun) read ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Channel, Message
from mcap.writer import CompressionType, Writer

from tdm_ros.durable import sync_folder
from tdm_ros.replay.mcap_records import RecordReader

LIBRARY = "tdm_ros"
_NEVER = 1 << 62
_COPIED_CHUNK = 1 << 14


@dataclass(frozen=True)
class LogChannel:
    """A topic of the log.

    Parameters
    ----------
    topic, type_name : str
        For example ``/transition`` and ``tdm_ros/msg/Transition``.
    definition : str
        Text of the message definition, dependencies included (``ros2msg`` encoding).
    qos : str
        Offered QoS profiles as YAML, for replay.
    """

    topic: str
    type_name: str
    definition: str
    qos: str = ""


class _Stream:
    """Gives a file what the library writes, and keeps what the disk does not take until it does."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.pending = bytearray()
        self.written = 0

    def write(self, data: bytes) -> int:
        self.pending += data
        return len(data)

    def tell(self) -> int:
        return self.written + len(self.pending)

    def flush(self) -> None:
        while self.pending:
            count = os.write(self.fd, self.pending)
            self.written += count
            del self.pending[:count]


class McapWriter:
    """Appends serialised messages to one new MCAP file.

    Parameters
    ----------
    path : Path
        Must not exist yet.
    channels : list of LogChannel

    Raises
    ------
    FileExistsError
        If the file exists: a log is never overwritten.
    """

    def __init__(self, path: Path, channels: list[LogChannel]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._stream = _Stream(_create(path))
        self._writer = _start(self._stream, _NEVER)
        self._ids = {}
        for channel in channels:
            schema = self._writer.register_schema(channel.type_name, "ros2msg", channel.definition.encode())
            qos = {"offered_qos_profiles": channel.qos}
            self._ids[channel.topic] = self._writer.register_channel(channel.topic, "cdr", schema, qos)
        self.count = self._newest_ns = self._held = 0
        self._closed = self._finished = False
        try:
            self._writer.flush()
        except OSError:
            os.close(self._stream.fd)
            path.unlink(missing_ok=True)
            raise

    @property
    def size(self) -> int:
        """Bytes that the file has, those that the disk has not taken yet included."""
        return self._stream.tell() + self._held

    @property
    def waiting(self) -> int:
        """Bytes that the disk has not taken yet."""
        return len(self._stream.pending) + self._held

    def write(self, topic: str, data: bytes, stamp_ns: int, flush: bool = True) -> None:
        """Append one CDR message and hand it, and what waits, to the operating system.

        It counts as published at ``stamp_ns`` and as logged then too, or with the one before it if that is later: a
        transition is known a cycle late, and players want the times in a file never to go back. With ``flush`` false
        it waits for the next message, or for `flush`.

        Raises
        ------
        KeyError
            If the topic is not among the channels.
        OSError
            If the disk is full or was removed. The message is kept, and written with the next one that the disk takes.
        """
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._writer.add_message(self._ids[topic], self._newest_ns, data, stamp_ns, self.count)
        self._held += len(data)
        self.count += 1
        if flush:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the operating system.

        Raises
        ------
        OSError
            If the disk does not take it. It is kept.
        """
        self._held = 0
        self._writer.flush()

    def sync(self) -> None:
        """Wait until the disk has what was flushed; of a complete file it has."""
        if not self._closed:
            os.fsync(self._stream.fd)

    def is_in_place(self) -> bool:
        """Whether the file of our name is the one that we write, and was not removed or replaced."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        mine = os.fstat(self._stream.fd)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def move(self, path: Path) -> None:
        """Write all that was written again, under a new name, and go on there: the old name was removed.

        Raises
        ------
        OSError
            If that fails; then nothing has changed.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        old, fresh = self._stream.fd, _create(path)
        try:
            at = 0
            while at < self._stream.written:
                block = os.pread(old, 1 << 20, at)
                while block:
                    count = os.write(fresh, block)
                    at, block = at + count, block[count:]
            os.fsync(fresh)
            sync_folder(path.parent)
        except BaseException:
            os.close(fresh)
            path.unlink(missing_ok=True)
            raise
        os.dup2(fresh, old, inheritable=False)  # a sync in another thread goes on with the new file
        os.close(fresh)
        self.path = path

    def close(self) -> None:
        """Write the summary that makes the file complete, and wait until the disk has it.

        Raises
        ------
        OSError
            If the disk does not take it; then it may be called again.
        """
        if self._closed:
            return
        if not self._finished:
            self._finished = True
            _finish(self._writer)
        self._stream.flush()
        self.sync()
        os.close(self._stream.fd)
        self._closed = True


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _start(stream: object, chunk_bytes: int) -> Writer:
    writer = Writer(stream, chunk_size=chunk_bytes, compression=CompressionType.NONE, enable_data_crcs=True)  # type: ignore[arg-type]
    writer.start(profile="ros2", library=LIBRARY)
    return writer


def _finish(writer: Writer) -> None:
    """Write the summary. Flushed before: the library leaves what is unwritten out of the checksum."""
    writer.flush()
    writer.finish()


def write_copy(path: Path, reader: RecordReader) -> int:
    """Write everything that a reader gives into a finished file; return how many messages that is."""
    schemas: dict[int, int] = {}
    channels: dict[int, int] = {}
    count = 0
    with path.open("wb") as file:
        writer = _start(file, _COPIED_CHUNK)
        for record in reader:
            if isinstance(record, Message):
                writer.add_message(
                    channels[record.channel_id], record.log_time, record.data, record.publish_time, record.sequence
                )
                count += 1
            elif isinstance(record, Channel):
                schema = reader.definitions.schemas.get(record.schema_id)
                if schema and schema.id not in schemas:
                    schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[record.id] = writer.register_channel(
                    record.topic, record.message_encoding, schemas[schema.id] if schema else 0, record.metadata
                )
            else:
                writer.add_metadata(record.name, record.metadata)
        _finish(writer)
        file.flush()
        os.fsync(file.fileno())
    return count
