"""Reader of the log of a run: transitions and announcements from its files, in plain Python without ROS."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.records import Message, Schema
from mcap_ros2.decoder import DecoderFactory

from tdm_ros.data.mcap_layout import read_summary
from tdm_ros.data.mcap_records import RecordReader
from tdm_ros.replay.store import Step
from tdm_ros.types import CycleRange


def mcap_files(folder: Path) -> list[Path]:
    """The MCAP files of a folder, in the order of the numbers in their names; no folders, pipes or broken links."""

    def key(path: Path) -> list[Any]:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted((path for path in folder.glob("*.mcap") if path.is_file()), key=key)


def number_of(path: Path) -> int:
    """Of a file of the log; -1 for a file that is named otherwise."""
    return int(path.stem) if path.stem.isdecimal() and path.stem.isascii() else -1


def next_segment(folder: Path, after: int = -1) -> Path:
    """Where the next file of a log goes: behind those that are there, and behind ``after``."""
    taken = map(number_of, folder.glob("*.mcap"))
    return folder / f"{max([after, *taken]) + 1:04d}.mcap"


LOG_FOLDER = "log_mcap"
TRANSITION_TOPIC = "/transition"
EPISODE_TOPIC = "/episode"


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


class TransitionLog:
    """The log of one arm, with all that is whole in damaged files.

    Parameters
    ----------
    folder : Path
        May not exist yet.
    task_fingerprint : str
    """

    def __init__(self, folder: Path, task_fingerprint: str) -> None:
        self._folder, self._task = folder, task_fingerprint
        self._decoders: dict[bytes, Any] = {}
        self._others: Counter[str] = Counter()
        self.unreadable = 0
        """Messages that cannot be decoded: some byte of them was changed."""
        self.discarded: set[Discarded] = set()
        """What a person discarded, as far as the announcements were read."""

    def read(self, newest: int | None = None) -> Iterator[LoggedTransition]:
        """Read every transition, oldest first; or only those of the last files, which hold at least ``newest``.

        Raises
        ------
        ValueError
            If they belong to another task, or cannot be decoded.
        """
        matched = False
        for path in self._last_files(newest):
            for topic, schema, record in _wanted(path, TRANSITION_TOPIC, EPISODE_TOPIC):
                if topic == EPISODE_TOPIC:
                    message = self._decode(schema, record)
                    if message is not None and message.task == self._task:
                        self.discarded |= set(discarded_of(message))
                elif (found := self._transition(schema, record)) is not None:
                    matched = True
                    yield found
        if not matched:
            self._reject_other_task(least=1)

    def _last_files(self, newest: int | None) -> list[Path]:
        paths = mcap_files(self._folder)
        if newest is None:
            return paths
        count, first = 0, len(paths)
        while first and count < newest:
            first -= 1
            count += _count(paths[first], TRANSITION_TOPIC)
        return paths[first:]

    def read_after(self, known: Callable[[LoggedTransition], bool]) -> Iterator[LoggedTransition]:
        """Read the transitions behind those that are known, without reading those.

        Parameters
        ----------
        known : callable
            Whether a transition is known; then so are all before it.

        Raises
        ------
        ValueError
            As `read`.
        """
        later: list[list[tuple[str, Schema, Message]]] = []
        for path in reversed(mcap_files(self._folder)):
            later.append(list(_wanted(path, TRANSITION_TOPIC)))
            first = next(filter(None, (self._transition(*one[1:]) for one in later[-1])), None)
            if first is not None and known(first):
                break
        for found in reversed(later):
            start = bisect_left(found, True, key=lambda one: not self._is_known(one, known))
            yield from filter(None, (self._transition(schema, record) for _, schema, record in found[start:]))

    def _is_known(self, one: tuple[str, Schema, Message], known: Callable[[LoggedTransition], bool]) -> bool:
        found = self._transition(*one[1:])
        return found is None or known(found)

    def _transition(self, schema: Schema, record: Message) -> LoggedTransition | None:
        message = self._decode(schema, record)
        if message is None:
            return None
        if message.task == self._task:
            return from_message(message)
        self._others[message.task] += 1
        self._reject_other_task(least=2)
        return None

    def _reject_other_task(self, least: int) -> None:
        """Raise if so many transitions are of one other task; a single one may be a byte that was changed."""
        for task, count in self._others.items():
            if count >= least:
                raise ValueError(
                    f"log {self._folder} was recorded for task {task}, this is {self._task}; "
                    "choose another run directory"
                )

    def _decode(self, schema: Schema, record: Message) -> Any:
        if schema.data not in self._decoders:
            self._decoders[schema.data] = DecoderFactory().decoder_for("cdr", schema)
        decode = self._decoders[schema.data]
        if decode is None:
            raise ValueError(
                f"log {self._folder}: schema {schema.name} has encoding {schema.encoding}, expected ros2msg"
            )
        try:
            return decode(record.data)
        except Exception:  # damaged bytes do anything to it: a length of gigabytes, no UTF-8, past the end
            self.unreadable += 1
            return None


def _wanted(path: Path, *topics: str) -> Iterator[tuple[str, Schema, Message]]:
    reader = RecordReader(path)
    for record in reader:
        if not isinstance(record, Message):
            continue
        channel = reader.definitions.channels[record.channel_id]
        schema = reader.definitions.schemas.get(channel.schema_id)
        if channel.topic in topics and schema is not None:
            yield channel.topic, schema, record


def count_messages(folder: Path, topic: str = TRANSITION_TOPIC, since: str = "") -> int:
    """Number of whole messages of a topic in a log.

    Finished files say how many they have, so that only those that are not finished are read.

    Parameters
    ----------
    folder : Path
    topic : str
    since : str
        Name of the first file that counts.
    """
    first = number_of(Path(since))
    return sum(_count(path, topic) for path in mcap_files(folder) if number_of(path) >= first)


def _count(path: Path, topic: str) -> int:
    summary = read_summary(path)
    count = summary.count(topic) if summary else None
    return sum(1 for _ in _wanted(path, topic)) if count is None else count


def read_transitions(folder: Path, task_fingerprint: str) -> Iterator[LoggedTransition]:
    """Read every transition of a log, oldest first; `TransitionLog` gives more."""
    yield from TransitionLog(folder, task_fingerprint).read()


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
