"""Serialised transitions from columns, and the differences to the original bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType
from mcap_ros2.writer import Writer
from numpy.typing import NDArray

from tdm_ros.data.recording import TRANSITION_TYPE, Channel, decoder

NUMBERS = {
    **{name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
    **{"float32": "float32", "float64": "float64", "bool": "bool"},
}
"""Types of a field that become a column, and their dtypes."""
LARGEST_PATCH = 64
"""A message that differs in more bytes from a cleanly written one is carried along [bytes]."""
BATCH = 4096
_FIELD = re.compile(r"^\s*(?P<type>[\w/]+)(?P<array>\[\])?\s+(?P<name>\w+)\s*(?:#.*)?$")


@dataclass(frozen=True)
class Field:
    """One field of a message definition.

    Parameters
    ----------
    name, kind : str
        ``kind`` is a key of `NUMBERS`, ``string`` or ``std_msgs/Header``.
    vector : bool
    """

    name: str
    kind: str
    vector: bool


def fields_of(channel: Channel) -> list[Field] | None:
    """The fields of a channel whose messages can be rows, or None."""
    if channel.type_name != TRANSITION_TYPE or (channel.schema_encoding, channel.encoding) != ("ros2msg", "cdr"):
        return None
    text = channel.schema.decode(errors="replace").partition("\n====")[0]
    found = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#") or "=" in line.partition("#")[0]:
            continue
        match = _FIELD.match(line)
        if match is None:
            return None
        one = Field(match["name"], match["type"], bool(match["array"]))
        allowed = ("float32", "float64") if one.vector else (*NUMBERS, "string", "std_msgs/Header")
        if one.kind not in allowed or (one.kind == "std_msgs/Header") != (one.name == "header"):
            return None
        found.append(one)
    return found if decoder(channel) is not None else None


def dtypes(fields: Iterable[Field]) -> dict[str, str]:
    """Columns of these fields, and what each is made of."""
    kinds: dict[str, str] = {}
    for one in fields:
        if one.kind == "std_msgs/Header":
            kinds |= {"stamp_ns": "int64", "frame_id": "object"}
        else:
            kinds[one.name] = NUMBERS.get(one.kind, "object")
    return kinds


def encoded(columns: dict[str, NDArray[Any]], definition: Channel) -> Iterator[bytes]:
    """The bytes of each row as the definition's text has them, with clean padding."""
    fields = fields_of(definition) or []
    count = len(next(iter(columns.values()), ()))
    for start in range(0, count, BATCH):
        buffer = BytesIO()
        writer = Writer(buffer, compression=CompressionType.NONE)
        schema = writer.register_msgdef(definition.type_name, definition.schema.decode())
        for row in range(start, min(start + BATCH, count)):
            writer.write_message("row", schema, _message(columns, fields, row), 0)
        writer.finish()
        buffer.seek(0)
        yield from (r.data for r in StreamReader(buffer).records if isinstance(r, McapMessage))


def _message(columns: dict[str, NDArray[Any]], fields: Iterable[Field], row: int) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for one in fields:
        if one.kind == "std_msgs/Header":
            sec, nanosec = divmod(int(columns["stamp_ns"][row]), 1_000_000_000)
            stamp = {"sec": max(-(2**31), min(sec, 2**31 - 1)), "nanosec": nanosec}
            message["header"] = {"stamp": stamp, "frame_id": columns["frame_id"][row]}
        elif one.vector:
            value = columns[one.name][row]
            message[one.name] = [] if np.isnan(value).all() else value.tolist()
        else:
            value = columns[one.name][row]
            message[one.name] = value if one.kind == "string" else value.item()
    return message


def difference(clean: bytes, data: bytes) -> bytes | None:
    """What turns ``clean`` into ``data``, three bytes for each that differs; None if that is too much."""
    if clean == data:
        return b""
    if len(clean) != len(data) or len(data) > 0xFFFF:
        return None
    other = np.frombuffer(clean, np.uint8) != np.frombuffer(data, np.uint8)
    where = np.flatnonzero(other)
    if len(where) > LARGEST_PATCH:
        return None
    return b"".join(int(at).to_bytes(2, "little") + data[at : at + 1] for at in where)


def patched(clean: bytes, patch: bytes) -> bytes:
    """Undo `difference`."""
    if not patch:
        return clean
    data = bytearray(clean)
    for at in range(0, len(patch), 3):
        data[int.from_bytes(patch[at : at + 2], "little")] = patch[at + 2]
    return bytes(data)
