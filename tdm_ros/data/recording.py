"""Recording in memory: the messages of an MCAP log in order, byte by byte, and its damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

TRANSITION_TYPE = "tdm_ros/msg/Transition"
EPISODE_TYPE = "tdm_ros/msg/Episode"


class DataError(ValueError):
    """A recording cannot be used; the text is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Channel:
    """A topic as a file declares it.

    Parameters
    ----------
    topic, type_name : str
        For example ``/transition`` and ``tdm_ros/msg/Transition``.
    schema : bytes
        Text of the message definition.
    schema_encoding, encoding : str
        ``ros2msg`` and ``cdr`` in what ROS 2 records.
    metadata : tuple of (str, str)
        In its order; ``offered_qos_profiles`` is there.
    """

    topic: str
    type_name: str
    schema: bytes
    schema_encoding: str = "ros2msg"
    encoding: str = "cdr"
    metadata: tuple[tuple[str, str], ...] = ()


class Message(NamedTuple):
    """One message as it stands in the file."""

    channel: int
    """Index into `Recording.channels`."""
    log_time: int
    """[ns]"""
    publish_time: int
    """[ns]"""
    sequence: int
    data: bytes


@dataclass(frozen=True)
class Recording:
    """What could be read.

    Parameters
    ----------
    name : str
        Where it came from, for sentences.
    channels : tuple of Channel
    messages : list of Message
        In the order of the files.
    metadata : tuple of (str, dict)
        MCAP's own metadata records: name, content.
    problems : tuple of str
        A sentence for everything that was lost or left out.
    notes : tuple of str
        A sentence for what is unusual, with nothing lost.
    """

    name: str
    channels: tuple[Channel, ...] = ()
    messages: list[Message] = field(default_factory=list)
    metadata: tuple[tuple[str, dict[str, str]], ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def with_messages(self, messages: list[Message]) -> Recording:
        """The same recording with only these messages."""
        return replace(self, messages=messages)

    def of_type(self, type_name: str) -> Iterator[tuple[int, Any]]:
        """Decode the messages of a type; yields position in `messages` and message. Those that fail are left out."""
        decoders = {i: decoder(c) for i, c in enumerate(self.channels) if c.type_name == type_name}
        for position, message in enumerate(self.messages):
            decode = decoders.get(message.channel)
            found = decode and decoded(decode, message.data)
            if found is not None:
                yield position, found

    def not_taken(self, taken: int) -> list[str]:
        """A sentence, if ``taken`` is not the number of its transitions; a missing definition has its own."""
        ours = {i for i, c in enumerate(self.channels) if c.type_name == TRANSITION_TYPE and decoder(c)}
        other = sum(message.channel in ours for message in self.messages) - taken
        if other <= 0:
            return []
        return [
            f"{self.name}: {other} transitions cannot be decoded, or are of another shape or task than the others: "
            "their bytes were changed, or they were recorded by another version"
        ]

    def count(self, type_name: str) -> int:
        """Number of messages of a type."""
        wanted = {i for i, c in enumerate(self.channels) if c.type_name == type_name}
        return sum(message.channel in wanted for message in self.messages)


def tasks_in(counts: Counter[str]) -> set[str]:
    """Tasks of transitions, of the numbers by which each is named.

    One that a single transition names beside others is none: a byte of that transition was changed.
    """
    return {task for task, count in counts.items() if count > 1} or set(counts)


def decoder(channel: Channel) -> Any:
    """What turns the bytes of a channel into messages, or None where it is not ROS 2's encoding."""
    schema = Schema(id=1, name=channel.type_name, encoding=channel.schema_encoding, data=channel.schema)
    try:
        return DecoderFactory().decoder_for(channel.encoding, schema)
    except Exception:  # whatever a foreign definition does to the parser
        return None


def decoded(decode: Any, data: bytes) -> Any:
    """The message, or None if the bytes are none of its kind."""
    try:
        return decode(data)
    except Exception:  # damaged bytes do anything to it: a length of gigabytes, no UTF-8, past the end
        return None


def joined(name: str, parts: Sequence[Recording]) -> Recording:
    """Several recordings after one another; channels that say the same become one."""
    channels: dict[Channel, int] = {}
    messages: list[Message] = []
    for part in parts:
        index = [channels.setdefault(channel, len(channels)) for channel in part.channels]
        messages += [message._replace(channel=index[message.channel]) for message in part.messages]
    return Recording(
        name,
        tuple(channels),
        messages,
        tuple(record for part in parts for record in part.metadata),
        tuple(problem for part in parts for problem in part.problems),
        tuple(note for part in parts for note in part.notes),
    )
