"""Transitions as columns, and back to messages.

A message becomes a row if its columns give its bytes again. Serialisers of ROS 2 leave in the padding between fields
whatever was in memory, so a row keeps the few bytes in which its message differs from a cleanly written one. What can
not be had that way (another topic, vectors of another length, damaged bytes) is carried along as it is. So nothing that
a conversion takes in can come out otherwise, whatever it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType
from mcap_ros2.writer import Writer
from numpy.typing import NDArray

from tdm_ros.data.recording import TRANSITION_TYPE, Channel, Message, Recording, decoded, decoder, tasks_in

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


INDEX = ("position", "channel", "log_time_ns", "publish_time_ns", "sequence")
"""Where a row stood in the recording; columns of integers."""

ROW_COST = 1024
"""What a transition takes in memory while messages are made of rows [bytes]."""


@dataclass
class Table:
    """Rows, and all that is no row.

    Parameters
    ----------
    columns : dict
        Field -> (N,) or (N, D); ``stamp_ns`` and ``frame_id`` stand for the header. A vector without elements is a row
        of NaN.
    index : dict
        `INDEX` -> (N,) int64 or uint64.
    patches : list of bytes
        For each row what its bytes and those made from the columns differ by.
    carried : list of (int, Message)
        Position and message of what is no row.
    channels, metadata
        As in `Recording`.
    """

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    index: dict[str, NDArray[Any]] = field(default_factory=dict)
    patches: list[bytes] = field(default_factory=list)
    carried: list[tuple[int, Message]] = field(default_factory=list)
    channels: tuple[Channel, ...] = ()
    metadata: tuple[tuple[str, dict[str, str]], ...] = ()

    def __len__(self) -> int:
        return len(self.patches)


def to_table(recording: Recording, advance: Callable[[int], Any] = lambda count: None, exact: bool = True) -> Table:
    """Take a recording apart; `to_recording` puts it together again, byte by byte.

    Parameters
    ----------
    recording : Recording
    advance : callable
        Called with the number of messages that were taken in, for a progress bar.
    exact : bool
        Whether to keep the bytes; then rows are those of the definition that most transitions have, others are carried.
        Without it all are rows, those of older versions with empty values for what they lack, in half of the time.
    """
    counts = Counter(message.channel for message in recording.messages)
    fields_by = {i: found for i, c in enumerate(recording.channels) if (found := fields_of(c))}
    most = max(fields_by, key=lambda i: counts[i], default=None)
    definition = None if most is None else recording.channels[most]
    if exact and definition:
        fields_by = {i: found for i, found in fields_by.items() if recording.channels[i].schema == definition.schema}
    table = Table(channels=recording.channels, metadata=recording.metadata)
    fields = list({one.name: one for found in fields_by.values() for one in found}.values())
    decoders = {i: decoder(recording.channels[i]) for i in fields_by}
    candidates: list[tuple[int, Message, dict[str, Any]]] = []
    for position, message in enumerate(recording.messages):
        advance(1)
        decode = decoders.get(message.channel)
        found = decode and decoded(decode, message.data)
        values = None if found is None else _values(found, fields)
        if values is None:
            table.carried.append((position, message))
        else:
            candidates.append((position, message, values))
    sizes = _sizes([values for _, _, values in candidates], fields)
    tasks = tasks_in(Counter(values.get("task", "") for _, _, values in candidates))
    fitting = []
    for candidate in candidates:
        values = candidate[2]
        if values.get("task", "") in tasks and all(len(values[name]) in (0, size) for name, size in sizes.items()):
            fitting.append(candidate)
        else:
            table.carried.append(candidate[:2])
    if definition:
        _fill(table, fitting, fields, sizes, definition if exact else None)
    table.carried.sort(key=lambda pair: pair[0])
    return table


def _values(message: Any, fields: Sequence[Field]) -> dict[str, Any] | None:
    """The values of a message, None where a column cannot hold one: NumPy's strings lose a zero at their end."""
    values: dict[str, Any] = {}
    for one in fields:
        value = getattr(message, one.name, _lacking(one))
        if one.kind == "std_msgs/Header":
            stamp = value.stamp
            values["stamp_ns"] = stamp.sec * 1_000_000_000 + stamp.nanosec
            values["frame_id"] = value.frame_id
        else:
            values[one.name] = np.array(value, one.kind) if one.vector else value
    return None if any(isinstance(value, str) and "\0" in value for value in values.values()) else values


def _lacking(field: Field) -> Any:
    """What stands for a field that an older definition lacks."""
    return () if field.vector else "" if field.kind == "string" else 0


def _sizes(rows: Sequence[dict[str, Any]], fields: Sequence[Field]) -> dict[str, int]:
    """The usual length of each vector."""
    sizes = {}
    for one in fields:
        if one.vector:
            lengths = Counter(len(row[one.name]) for row in rows if len(row[one.name]))
            sizes[one.name] = lengths.most_common(1)[0][0] if lengths else 0
    return sizes


def _fill(
    table: Table,
    rows: Sequence[tuple[int, Message, dict[str, Any]]],
    fields: Sequence[Field],
    sizes: dict[str, int],
    definition: Channel | None,
) -> None:
    """Columns of the rows that give their bytes again, by the definition; the others are carried."""
    kinds = dtypes(fields)
    columns = {name: _column([row[2][name] for row in rows], kind, sizes.get(name)) for name, kind in kinds.items()}
    keep, patches = [], []
    made = encoded(columns, definition) if definition else (message.data for _, message, _ in rows)
    for number, clean in enumerate(made):
        patch = difference(clean, rows[number][1].data)
        if patch is None:
            table.carried.append(rows[number][:2])
        else:
            keep.append(number)
            patches.append(patch)
    table.columns = {name: column[keep] for name, column in columns.items()}
    kept = [rows[number] for number in keep]
    table.patches = patches
    table.index = {
        "position": np.array([row[0] for row in kept], np.int64),
        "channel": np.array([row[1].channel for row in kept], np.int64),
        "log_time_ns": np.array([row[1].log_time for row in kept], np.uint64),
        "publish_time_ns": np.array([row[1].publish_time for row in kept], np.uint64),
        "sequence": np.array([row[1].sequence for row in kept], np.int64),
    }


def _column(values: list[Any], kind: str, size: int | None) -> NDArray[Any]:
    if size is None:
        column = np.empty(len(values), kind)
        column[:] = values
        return column
    column = np.full((len(values), size), np.nan, kind)
    for row, value in enumerate(values):
        if len(value):
            column[row] = value
    return column


def in_order(table: Table, rows: NDArray[np.int64]) -> Table:
    """The same content with some of the rows, in this order; others must have been carried."""
    return replace(
        table,
        columns={name: column[rows] for name, column in table.columns.items()},
        index={name: values[rows] for name, values in table.index.items()},
        patches=[table.patches[row] for row in rows],
    )


def carry_others(table: Table, keep: NDArray[np.bool_], recording: Recording) -> Table:
    """The same content with only the rows of a mask, (N,) bool; the others are carried as they are."""
    moved = [int(position) for position in table.index["position"][~keep]] if len(table) else []
    carried = sorted(table.carried + [(at, recording.messages[at]) for at in moved], key=lambda pair: pair[0])
    return replace(in_order(table, np.flatnonzero(keep)), carried=carried)


def to_recording(table: Table, name: str) -> Recording:
    """Put the messages together again, each with the bytes that it had, in the order that they had."""
    messages: list[tuple[int, Message]] = list(table.carried)
    if len(table):
        definition = table.channels[int(table.index["channel"][0])]
        index = {key: values.tolist() for key, values in table.index.items()}
        for row, clean in enumerate(encoded(table.columns, definition)):
            at = {key: values[row] for key, values in index.items()}
            message = Message(
                at["channel"],
                at["log_time_ns"],
                at["publish_time_ns"],
                at["sequence"],
                patched(clean, table.patches[row]),
            )
            messages.append((at["position"], message))
    messages.sort(key=lambda pair: pair[0])
    return Recording(name, table.channels, [message for _, message in messages], table.metadata)
