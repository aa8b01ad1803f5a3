"""Reader of the log of a run: transitions and announcements from its files, in plain Python without ROS."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mcap.records import Message, Schema
from mcap_ros2.decoder import DecoderFactory

from tdm_ros.data.log_index import BagFile, read_index, summarised
from tdm_ros.data.mcap_records import RecordReader
from tdm_ros.data.recording import decoded
from tdm_ros.data.repeats import TransitionsOnce
from tdm_ros.data.transition_cdr import parser_of, to_transition
from tdm_ros.types import CycleRange, Discarded, LoggedTransition, Step, TimeSpan

T = TypeVar("T")


def mcap_files(folder: Path) -> list[Path]:
    """MCAP files of a folder, in the order of the numbers in their names; no folders, pipes or broken links."""

    def key(path: Path) -> list[Any]:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted((path for path in folder.glob("*.mcap") if path.is_file()), key=key)


def file_sizes(folder: Path) -> tuple[tuple[str, int], ...]:
    """Name and size [bytes] of each file of a log, damaged ones too, without those that end or move meanwhile."""
    found = []
    for path in sorted(folder.glob("*.mcap*")):
        with suppress(OSError):
            found.append((path.name, path.stat().st_size))
    return tuple(found)


def number_of(path: Path) -> int:
    """Number in the name of a file of the log; -1 for other names."""
    return int(path.stem) if path.stem.isdecimal() and path.stem.isascii() else -1


def next_segment(folder: Path, after: int = -1) -> Path:
    """Path of the next file of a log, with a number above those of the present files and above ``after``."""
    taken = map(number_of, folder.glob("*.mcap"))
    return folder / f"{max([after, *taken]) + 1:04d}.mcap"


LOG_FOLDER = "log_mcap"
TRANSITION_TOPIC = "/transition"
EPISODE_TOPIC = "/episode"


class TransitionLog:
    """Log of one arm; of damaged files, every whole message. The folder may not exist yet."""

    def __init__(self, folder: Path, task_fingerprint: str) -> None:
        self._folder, self._task = folder, task_fingerprint
        self._decoders: dict[bytes, Any] = {}
        self._parsers: dict[bytes, Any] = {}
        self._others: Counter[str] = Counter()
        self.unreadable = 0
        """Number of messages that cannot be decoded, since a byte of them was changed."""
        self.repeated = 0
        """Number of messages and transitions that were left out, since they had been read before."""
        self.discarded: set[Discarded] = set()
        """What the operator discarded, by the announcements that were read."""

    def read(self, newest: int | None = None) -> Iterator[LoggedTransition]:
        """Read every transition once, oldest first; or only those of the last files, which contain at least ``newest``.

        Raises ValueError if they have another task, or an encoding that is not ROS 2's.
        """
        matched, once = False, TransitionsOnce()
        for path in self._last_files(newest):
            for topic, schema, record in self._wanted(path, TRANSITION_TOPIC, EPISODE_TOPIC):
                if topic == EPISODE_TOPIC:
                    self.discarded |= self._discarded(schema, record)
                elif (found := self._transition(schema, record)) is not None:
                    matched = True
                    if once.is_new(found.run, found.cycle):
                        yield found
        self.repeated += once.repeated
        if not matched:
            self._reject_other_task(least=1)

    def check_task(self) -> None:
        """Raise ValueError, as `read` does, if the newest transitions are of another task; it reads at most three.

        A writer calls it before it adds a file: nobody could continue a log of two tasks.
        """
        for path in reversed(mcap_files(self._folder)):
            first = [self._decode(*one[1:]) for one in islice(self._wanted(path, TRANSITION_TOPIC), 3)]
            if tasks := [one.task for one in first if isinstance(getattr(one, "task", None), str)]:
                if self._task not in tasks:  # a single one may be due to a changed byte
                    self._others.update(tasks)
                    self._reject_other_task(least=1)
                return

    def _last_files(self, newest: int | None) -> list[Path]:
        paths = mcap_files(self._folder)
        if newest is None:
            return paths
        count, first, index = 0, len(paths), read_index(self._folder)
        while first and count < newest:
            first -= 1
            count += _count(paths[first], TRANSITION_TOPIC, index)
        return paths[first:]

    def read_after(self, known: Callable[[LoggedTransition], bool]) -> Iterator[LoggedTransition]:
        """Read the transitions after the known ones once, without all of the latter. Raises ValueError as `read`.

        All before one that is ``known`` are assumed to be known.
        """
        later: list[list[tuple[str, Schema, Message]]] = []
        for path in reversed(mcap_files(self._folder)):
            later.append(list(self._wanted(path, TRANSITION_TOPIC)))
            first = next(filter(None, (self._transition(*one[1:]) for one in later[-1])), None)
            if first is not None and known(first):
                break
        once = TransitionsOnce()
        for found in reversed(later):
            start = bisect_left(found, True, key=lambda one: not self._is_known(one, known))
            yield from once.of(filter(None, (self._transition(schema, record) for _, schema, record in found[start:])))
        self.repeated += once.repeated

    def _wanted(self, path: Path, *topics: str) -> Iterator[tuple[str, Schema, Message]]:
        reader = RecordReader(path)
        yield from _wanted(reader, *topics)
        self.repeated += reader.repeated

    def _is_known(self, one: tuple[str, Schema, Message], known: Callable[[LoggedTransition], bool]) -> bool:
        found = self._transition(*one[1:])
        return found is None or known(found)

    def _transition(self, schema: Schema, record: Message) -> LoggedTransition | None:
        if schema.data not in self._parsers:
            self._parsers[schema.data] = parser_of(schema.name, schema.encoding, schema.data)
        raw = self._parsers[schema.data](record.data)
        message = self._decode(schema, record) if raw is None else raw
        task = getattr(message, "task", None)
        if isinstance(task, str) and task != self._task:
            self._others[task] += 1
            self._reject_other_task(least=2)
            return None
        if raw is not None:
            return to_transition(record.data, raw)
        return None if message is None else self._converted(message, from_message)

    def _discarded(self, schema: Schema, record: Message) -> set[Discarded]:
        message = self._decode(schema, record)
        if getattr(message, "task", None) != self._task:
            return set()
        return self._converted(message, lambda one: set(discarded_of(one))) or set()

    def _converted(self, message: Any, convert: Callable[[Any], T]) -> T | None:
        """Converted message; None for one of a changed definition, which lacks fields or has others."""
        try:
            return convert(message)
        except (AttributeError, TypeError, ValueError, OverflowError):
            self.unreadable += 1
            return None

    def _reject_other_task(self, least: int) -> None:
        """Raise if at least so many transitions have one other task; a single one may be due to a changed byte."""
        for task, count in self._others.items():
            if count >= least:
                raise ValueError(
                    f"log {self._folder} was recorded for task {task}, this is {self._task}; "
                    "choose another run directory"
                )

    def _decode(self, schema: Schema, record: Message) -> Any:
        if schema.data not in self._decoders:
            self._decoders[schema.data] = _decoder_of(schema)
        decode = self._decoders[schema.data]
        if decode is None:
            raise ValueError(
                f"log {self._folder}: schema {schema.name} has encoding {schema.encoding}, expected ros2msg"
            )
        message = decoded(decode, record.data)
        self.unreadable += message is None
        return message


def _decoder_of(schema: Schema) -> Any:
    """Function that decodes messages of a definition; None for another encoding.

    Of a damaged definition, whose messages cannot be decoded, it returns None for each.
    """
    try:
        return DecoderFactory().decoder_for("cdr", schema)
    except Exception:  # the parser raises anything
        return lambda data: None


def _wanted(reader: RecordReader, *topics: str) -> Iterator[tuple[str, Schema, Message]]:
    for record in reader:
        if not isinstance(record, Message):
            continue
        channel = reader.definitions.channels[record.channel_id]
        schema = reader.definitions.schemas.get(channel.schema_id)
        if channel.topic in topics and schema is not None:
            yield channel.topic, schema, record


def count_messages(folder: Path, topic: str = TRANSITION_TOPIC, since: str = "") -> int:
    """Number of whole messages of a topic in a log, from the file named ``since`` on.

    The index has the counts of finished files, and their summaries have them too: only unfinished files are read.
    """
    first, index = number_of(Path(since)), read_index(folder)
    return sum(_count(path, topic, index) for path in mcap_files(folder) if number_of(path) >= first)


def _count(path: Path, topic: str, index: dict[str, BagFile]) -> int:
    file = index.get(path.name) or summarised(path)
    return sum(1 for _ in _wanted(RecordReader(path), topic)) if file is None else file.count_of(topic)


def read_transitions(folder: Path, task_fingerprint: str) -> Iterator[LoggedTransition]:
    """Read every transition of a log, oldest first, as `TransitionLog.read` does."""
    yield from TransitionLog(folder, task_fingerprint).read()


def discarded_of(message: Any) -> Iterator[Discarded]:
    """Discarded transitions that an `Episode` message, decoded here or received by a node, contains."""
    if hasattr(message, "discarded_run"):
        columns = (message.discarded_run, message.discarded_from_cycle, message.discarded_to_cycle)
        for run, begin, end in zip(*columns, strict=False):
            yield CycleRange(run, int(begin), int(end))
    elif hasattr(message, "discarded_from"):
        for first, last in zip(message.discarded_from, message.discarded_to, strict=False):
            yield TimeSpan(nanoseconds(first), nanoseconds(last))


def nanoseconds(stamp: Any) -> int:
    """Time of a stamp of a message, decoded here or received by a node [ns]."""
    nanoseconds = stamp.nanosec if hasattr(stamp, "nanosec") else stamp.nanosecond
    return int(stamp.sec) * 1_000_000_000 + int(nanoseconds)


def from_message(message: Any) -> LoggedTransition:
    """Copy a `Transition` message, decoded here or received by a node, into NumPy arrays."""

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
        stamp_ns=nanoseconds(message.header.stamp),
        source=int(message.source),
        limited=bool(message.limited),
        last=bool(message.terminated or message.truncated),
        run=str(getattr(message, "run", "")),
        arm=str(getattr(message, "arm", "")),
    )
