"""Metadata of a table as JSON and flat arrays, the same in every format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.data.recording import Channel, DataError, Message
from tdm_ros.data.table import Table

FORMAT = "tdm_ros recording"
VERSION = 1


def header(table: Table) -> str:
    """Channels and metadata records."""
    channels = [
        {
            "topic": channel.topic,
            "type": channel.type_name,
            "schema": channel.schema.decode("utf-8", "surrogateescape"),
            "schema_encoding": channel.schema_encoding,
            "encoding": channel.encoding,
            "metadata": list(channel.metadata),
        }
        for channel in table.channels
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "channels": channels, "metadata": list(table.metadata)})


def take_header(table: Table, text: str, name: str) -> None:
    """Fill channels and metadata from `header` text.

    Raises
    ------
    DataError
        If it is none, or one of a later version.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT or found["version"] != VERSION:
            raise DataError(
                f"{name} has format {found['format']!r}, version {found['version']}; this program reads {FORMAT!r}, "
                f"version {VERSION}: convert the recording again"
            )
        table.channels = tuple(
            Channel(
                one["topic"],
                one["type"],
                one["schema"].encode("utf-8", "surrogateescape"),
                one["schema_encoding"],
                one["encoding"],
                tuple((key, value) for key, value in one["metadata"]),
            )
            for one in found["channels"]
        )
        table.metadata = tuple((key, dict(content)) for key, content in found["metadata"])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise DataError(f"{name} is damaged: its header cannot be read ({type(error).__name__}: {error})") from error


def carried_columns(table: Table) -> dict[str, Any]:
    """What is no row, as columns: the integers as arrays, ``data`` as a list of bytes."""
    position = [at for at, _ in table.carried]
    messages = [message for _, message in table.carried]
    return {
        "position": np.array(position, np.int64),
        "channel": np.array([m.channel for m in messages], np.int64),
        "log_time_ns": np.array([m.log_time for m in messages], np.uint64),
        "publish_time_ns": np.array([m.publish_time for m in messages], np.uint64),
        "sequence": np.array([m.sequence for m in messages], np.int64),
        "data": [m.data for m in messages],
    }


def take_carried(table: Table, columns: dict[str, Any]) -> None:
    """Fill ``carried`` from what `carried_columns` gave."""
    keys = ("channel", "log_time_ns", "publish_time_ns", "sequence")
    for row, position in enumerate(columns["position"]):
        channel, log_time, publish_time, sequence = (int(columns[key][row]) for key in keys)
        table.carried.append((int(position), Message(channel, log_time, publish_time, sequence, columns["data"][row])))


def flat(parts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Byte strings as one array, and where each ends."""
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64) if parts else np.zeros(0, np.int64)
    return np.frombuffer(b"".join(parts), np.uint8), ends


def parts(content: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    """Undo `flat`."""
    starts = [0, *ends[:-1].tolist()]
    whole = content.tobytes()
    return [whole[a:b] for a, b in zip(starts, ends.tolist(), strict=True)] if len(ends) else []
