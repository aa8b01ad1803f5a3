"""Recording in memory: serialised messages in the order of the log, and sentences on its damage."""

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
    """A recording cannot be used; the text is one sentence with the reason and the remedy."""


@dataclass(frozen=True)
class Channel:
    """Topic as declared in a file."""

    topic: str
    type_name: str
    """For example ``/transition`` and ``tdm_ros/msg/Transition``."""
    schema: bytes
    """Text of the message definition."""
    schema_encoding: str = "ros2msg"
    encoding: str = "cdr"
    """``ros2msg`` and ``cdr`` in recordings of ROS 2."""
    metadata: tuple[tuple[str, str], ...] = ()
    """In the order of the file; contains ``offered_qos_profiles``."""

    @classmethod
    def of_ros(cls, topic: str, type_name: str, definition: str, qos: str = "") -> Channel:
        """Channel with the text of a message definition, dependencies included, and the offered QoS profiles (YAML)."""
        return cls(topic, type_name, definition.encode(), metadata=(("offered_qos_profiles", qos),))


class Message(NamedTuple):
    """One serialised message with its entry in the file."""

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
    """Readable content of some files."""

    name: str
    """Its path, for error messages."""
    channels: tuple[Channel, ...] = ()
    messages: list[Message] = field(default_factory=list)
    """In the order of the files."""
    metadata: tuple[tuple[str, dict[str, str]], ...] = ()
    """MCAP's own metadata records: name, content."""
    problems: tuple[str, ...] = ()
    """One sentence per loss or omission."""
    notes: tuple[str, ...] = ()
    """One sentence per unusual property without a loss."""

    def with_messages(self, messages: list[Message]) -> Recording:
        """Copy of the recording with these messages only."""
        return replace(self, messages=messages)

    def of_type(self, type_name: str) -> Iterator[tuple[int, Any]]:
        """Position in `messages` and content of each message of a type; damaged ones are left out."""
        decoders = {i: decoder(c) for i, c in enumerate(self.channels) if c.type_name == type_name}
        for position, message in enumerate(self.messages):
            decode = decoders.get(message.channel)
            found = decode and decoded(decode, message.data)
            if found is not None:
                yield position, found

    def not_taken(self, taken: int) -> list[str]:
        """Sentence on the transitions beyond the ``taken`` ones; a missing definition has a sentence of its own."""
        ours = {i for i, c in enumerate(self.channels) if c.type_name == TRANSITION_TYPE and decoder(c)}
        other = sum(message.channel in ours for message in self.messages) - taken
        return [not_decoded(self.name, other)] if other > 0 else []

    def count(self, type_name: str) -> int:
        """Number of messages of a type."""
        wanted = {i for i, c in enumerate(self.channels) if c.type_name == type_name}
        return sum(message.channel in wanted for message in self.messages)


def not_decoded(name: str, count: int) -> str:
    """Sentence on transitions that are left out."""
    return (
        f"{name}: {count} transitions cannot be decoded, or have another shape or task than the others: "
        "their bytes were changed, or they were recorded by another version"
    )


def tasks_in(counts: Counter[str]) -> set[str]:
    """Tasks of transitions, from the number of transitions per task.

    A task of a single transition, beside others with more, is ignored: a byte of that transition was changed.
    """
    return {task for task, count in counts.items() if count > 1} or set(counts)


def decoder(channel: Channel) -> Any:
    """Function that decodes the messages of a channel; None if it does not have ROS 2's encoding."""
    schema = Schema(id=1, name=channel.type_name, encoding=channel.schema_encoding, data=channel.schema)
    try:
        return DecoderFactory().decoder_for(channel.encoding, schema)
    except Exception:  # the parser raises anything on a foreign definition
        return None


def decoded(decode: Any, data: bytes) -> Any:
    """Decoded message; None if the bytes are damaged."""
    try:
        return decode(data)
    except Exception:  # damaged bytes: a length of gigabytes, invalid UTF-8, past the end
        return None


def joined(name: str, parts: Sequence[Recording]) -> Recording:
    """Concatenate recordings; equal channels become one."""
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
