"""MCAP file as a recording in memory: every whole message, and one sentence for each damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mcap.records import Channel, Message, Schema

from tdm_ros.data import recording as data
from tdm_ros.replay.mcap_records import RecordReader
from tdm_ros.replay.unpacking import Budget

_NONE = Schema(id=0, data=b"", encoding="", name="")


def read_mcap(
    path: Path, advance: Callable[[int], Any] = lambda count: None, budget: Budget | None = None
) -> data.Recording:
    """Read a file, as `RecordReader` does.

    Parameters
    ----------
    path : Path
    advance : callable
        Called with the number of bytes that were taken in, for a progress bar.
    budget : Budget, optional

    Raises
    ------
    UnpacksTooFarError
        If it would fill the memory.
    """
    reader = RecordReader(path, advance, budget)
    channels: dict[int, int] = {}
    found: list[data.Channel] = []
    messages: list[data.Message] = []
    metadata: list[tuple[str, dict[str, str]]] = []
    for one in reader:
        if isinstance(one, Message):
            messages.append(
                data.Message(channels[one.channel_id], one.log_time, one.publish_time, one.sequence, one.data)
            )
        elif isinstance(one, Channel):
            schema = reader.definitions.schemas.get(one.schema_id, _NONE)
            channels[one.id] = len(found)
            pairs = tuple(one.metadata.items())
            found.append(
                data.Channel(one.topic, schema.name, schema.data, schema.encoding, one.message_encoding, pairs)
            )
        else:
            metadata.append((one.name, dict(one.metadata)))
    problems = [*reader.problems, *_undecodable(path, found, messages)]
    return data.Recording(str(path), tuple(found), messages, tuple(metadata), tuple(problems), tuple(reader.notes))


def _undecodable(path: Path, channels: list[data.Channel], messages: list[data.Message]) -> Iterator[str]:
    """A sentence for each topic whose messages nobody can decode, though they may be ours."""
    counts = Counter(message.channel for message in messages)
    for number, channel in enumerate(channels):
        if not counts[number] or channel.type_name not in ("", data.TRANSITION_TYPE, data.EPISODE_TYPE):
            continue
        what = f"{path}: {counts[number]} messages of {channel.topic} cannot be decoded: "
        if not channel.schema:
            yield (
                f"{what}the file has no definition of their type {channel.type_name or ''}".rstrip()
                + ", as the recorder did not find it; source the workspace with tdm_ros before `ros2 bag record`"
            )
        elif (channel.schema_encoding, channel.encoding) != ("ros2msg", "cdr"):
            yield f"{what}they are {channel.encoding} by {channel.schema_encoding}, expected cdr by ros2msg"
