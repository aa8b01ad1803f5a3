"""The durable log: transitions in MCAP, readable by `ros2 bag` and Foxglove, and by plain Python without ROS.

A message is with the operating system before `McapWriter.write` returns, so that killing the process loses
nothing that was written. Files are not chunked for the same reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Footer, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import Writer
from mcap_ros2.decoder import DecoderFactory

from tdm_ros.control.identity import CycleRange
from tdm_ros.replay.store import Step

LOG_FOLDER = "log_mcap"
TRANSITION_TOPIC = "/transition"
EPISODE_TOPIC = "/episode"
LIBRARY = "tdm_ros"


@dataclass(frozen=True)
class LoggedTransition:
    """A transition with what the log knows about it.

    Parameters
    ----------
    step : Step
    episode, number, cycle : int
        Episode (0 for drives home), step within it, and the arm's cycle of the first state.
    stamp_ns : int
        Time of the first state [ns, ROS time]. It identifies nothing and orders nothing: clocks are set.
    source : int
        Who commanded it, `ArmState.SOURCE_*`.
    limited : bool
        The limiter changed the command.
    last : bool
        Nothing that follows belongs to the same piece: time limit, terminal state, interruption, lost cycle.
    run, arm : str
        Run of the node `arm`, which with the cycle identifies the transition, and the arm's name; "" in older logs.
    """

    step: Step
    episode: int
    number: int
    cycle: int
    stamp_ns: int
    source: int
    limited: bool
    last: bool
    run: str = ""
    arm: str = ""


class TimeSpan(NamedTuple):
    """What a person discarded, as older logs have it: stamps from ``begin_ns`` up to, but without, ``end_ns`` [ns].

    It applies to transitions that name no run, and to no others.
    """

    begin_ns: int
    end_ns: int


Discarded = CycleRange | TimeSpan


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
        self._file = path.open("xb")
        self._writer = _start(self._file)
        self._ids = {}
        for channel in channels:
            schema = self._writer.register_schema(channel.type_name, "ros2msg", channel.definition.encode())
            qos = {"offered_qos_profiles": channel.qos}
            self._ids[channel.topic] = self._writer.register_channel(channel.topic, "cdr", schema, qos)
        self._file.flush()
        self.count = self._newest_ns = 0

    def write(self, topic: str, data: bytes, stamp_ns: int) -> None:
        """Append one CDR message and hand it to the operating system.

        It counts as published at ``stamp_ns`` and as logged then too, or with the one before it if that is later: a
        transition is known a cycle late, and players want the times in a file never to go back.

        Raises
        ------
        KeyError
            If the topic is not among the channels.
        OSError
            If the disk is full or gone.
        """
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._writer.add_message(self._ids[topic], self._newest_ns, data, stamp_ns, self.count)
        self._file.flush()
        self.count += 1

    def close(self) -> None:
        """Write the summary that makes the file complete."""
        if not self._file.closed:
            _finish(self._writer)
            self._file.close()


def _start(file: Any) -> Writer:
    writer = Writer(file, use_chunking=False, enable_data_crcs=True)
    writer.start(profile="ros2", library=LIBRARY)
    return writer


def _finish(writer: Writer) -> None:
    """Write the summary. Flushed before: the library leaves what is unwritten out of the checksum."""
    writer.flush()
    writer.finish()


def segments(directory: Path) -> list[Path]:
    """The files of a log in the order in which they were written."""
    return sorted(directory.glob("[0-9]*.mcap"))


def next_segment(directory: Path) -> Path:
    """Where the next file of a log goes."""
    numbers = [int(path.stem) for path in segments(directory) if path.stem.isdigit()]
    return directory / f"{max(numbers, default=-1) + 1:04d}.mcap"


def _records(path: Path) -> Iterator[Any]:
    """Every whole record of a file; a torn tail, or what is being written right now, ends it quietly."""
    with path.open("rb") as file:
        try:
            yield from StreamReader(file, record_size_limit=1 << 28).records
        except (McapError, EOFError, ValueError, IndexError, KeyError):
            return


def is_finished(path: Path) -> bool:
    """Whether the file was closed properly."""
    return any(isinstance(record, Footer) for record in _records(path))


def recover(path: Path) -> int:
    """Rewrite the file of a killed writer as a finished one, atomically; return how many messages it has."""
    part = path.with_suffix(".part")
    schema_ids: dict[int, int] = {}
    channel_ids: dict[int, int] = {}
    count = 0
    with part.open("wb") as file:
        writer = _start(file)
        for record in _records(path):
            if isinstance(record, Schema) and record.id not in schema_ids:
                schema_ids[record.id] = writer.register_schema(record.name, record.encoding, record.data)
            elif isinstance(record, Channel) and record.id not in channel_ids:
                channel_ids[record.id] = writer.register_channel(
                    record.topic, record.message_encoding, schema_ids[record.schema_id], record.metadata
                )
            elif isinstance(record, Message):
                writer.add_message(
                    channel_ids[record.channel_id],
                    record.log_time,
                    record.data,
                    record.publish_time,
                    record.sequence,
                )
                count += 1
        _finish(writer)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    return count


def recover_all(directory: Path) -> list[Path]:
    """Finish every torn file of a log and return which they were. Only the log's one writer may call this."""
    torn = [path for path in segments(directory) if not is_finished(path)]
    for path in torn:
        recover(path)
    return torn


def _messages(directory: Path, topic: str) -> Iterator[tuple[Schema, Message]]:
    for path in segments(directory):
        schemas: dict[int, Schema] = {}
        wanted: dict[int, Schema] = {}
        for record in _records(path):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel) and record.topic == topic:
                wanted[record.id] = schemas[record.schema_id]
            elif isinstance(record, Message) and record.channel_id in wanted:
                yield wanted[record.channel_id], record


def count_messages(directory: Path, topic: str = TRANSITION_TOPIC) -> int:
    """Number of whole messages of a topic in a log."""
    return sum(1 for _ in _messages(directory, topic))


def read_transitions(directory: Path, task_fingerprint: str) -> Iterator[LoggedTransition]:
    """Read every transition of a log in the order in which they were written; a torn tail is left out.

    Raises
    ------
    ValueError
        If a transition belongs to another task, or can not be decoded.
    """
    decoders: dict[bytes, Any] = {}
    for schema, record in _messages(directory, TRANSITION_TOPIC):
        decode = decoders.get(schema.data)
        if decode is None:
            decode = decoders[schema.data] = DecoderFactory().decoder_for("cdr", schema)
        if decode is None:
            raise ValueError(f"log {directory}: schema {schema.name} has encoding {schema.encoding}, expected ros2msg")
        message = decode(record.data)
        if message.task != task_fingerprint:
            raise ValueError(
                f"log {directory} was recorded for task {message.task}, this is {task_fingerprint}; "
                "choose another run directory"
            )
        yield from_message(message)


def read_discarded(directory: Path, task_fingerprint: str) -> tuple[Discarded, ...]:
    """Read which transitions of a log a person discarded; they are still in it.

    Raises
    ------
    ValueError
        If the announcements can not be decoded.
    """
    found: set[Discarded] = set()
    decoders: dict[bytes, Any] = {}
    for schema, record in _messages(directory, EPISODE_TOPIC):
        if schema.data not in decoders:
            decoders[schema.data] = DecoderFactory().decoder_for("cdr", schema)
        decode = decoders[schema.data]
        if decode is None:
            raise ValueError(f"log {directory}: schema {schema.name} has encoding {schema.encoding}, expected ros2msg")
        message = decode(record.data)
        if message.task == task_fingerprint:
            found |= set(discarded_of(message))
    return tuple(sorted(found, key=str))


def discarded_of(message: Any) -> Iterator[Discarded]:
    """Which transitions an `Episode` message, decoded here or received by a node, says are discarded."""
    if hasattr(message, "discarded_run"):
        columns = (message.discarded_run, message.discarded_from_cycle, message.discarded_to_cycle)
        for run, begin, end in zip(*columns, strict=False):
            yield CycleRange(run, int(begin), int(end))
    elif hasattr(message, "discarded_from"):
        for first, last in zip(message.discarded_from, message.discarded_to, strict=False):
            yield TimeSpan(_nanoseconds(first), _nanoseconds(last))


def _nanoseconds(stamp: Any) -> int:
    nanoseconds = stamp.nanosec if hasattr(stamp, "nanosec") else stamp.nanosecond
    return int(stamp.sec) * 1_000_000_000 + int(nanoseconds)


def from_message(message: Any) -> LoggedTransition:
    """Copy a `Transition` message, decoded here or received by a node, into arrays of our own."""

    def vector(values: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array(values, np.float32)

    return LoggedTransition(
        step=Step(
            vector(message.observation),
            vector(message.action),
            vector(message.next_observation),
            vector(message.achieved_goal),
            vector(message.next_achieved_goal),
            vector(message.desired_goal),
            bool(message.terminated),
        ),
        episode=int(message.episode),
        number=int(message.step),
        cycle=int(message.cycle),
        stamp_ns=_nanoseconds(message.header.stamp),
        source=int(message.source),
        limited=bool(message.limited),
        last=bool(message.terminated or message.truncated),
        run=str(getattr(message, "run", "")),
        arm=str(getattr(message, "arm", "")),
    )
