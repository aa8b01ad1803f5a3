"""Fast decoding of serialised transitions of the two definitions that the collector has written, with and without run.

Everything else (other definitions, big-endian or damaged bytes) is left to the general decoder, which takes several
times as long and gives the same result.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tdm_ros.data.recording import TRANSITION_TYPE
from tdm_ros.types import LoggedTransition, Step

_HEADER = ("std_msgs/Header", ("builtin_interfaces/Time stamp", "string frame_id"))
_TIME = ("builtin_interfaces/Time", ("int32 sec", "uint32 nanosec"))
_OLDER = (
    *("std_msgs/Header header", "uint64 cycle", "uint32 episode", "uint32 step"),
    *("float32[] observation", "float32[] action", "float32[] next_observation"),
    *("float32[] achieved_goal", "float32[] next_achieved_goal", "float32[] desired_goal"),
    *("uint8 source", "bool limited", "bool terminated", "bool truncated", "string task"),
)
_STRINGS = {_OLDER: 1, (*_OLDER, "string run", "string arm"): 3}
"""Number of the strings at the end, by the fields of the definition."""
_CDR_LITTLE_ENDIAN = b"\0\1"
_STAMP = struct.Struct("<iII")
_NUMBERS = struct.Struct("<QII")
_FLAGS = struct.Struct("<4B")
_U32 = struct.Struct("<I")
_ORIGIN = 4
"""Offset from which alignment is counted: the size of the head."""


class Raw(NamedTuple):
    """Fields of a transition, and the places of its vectors in the bytes, [offset, number of values)."""

    stamp_ns: int
    cycle: int
    episode: int
    step: int
    vectors: list[tuple[int, int]]
    """Six, in the order of the definition."""
    source: int
    limited: bool
    terminated: bool
    truncated: bool
    task: str
    run: str
    arm: str


def parser_of(name: str, encoding: str, definition: bytes) -> Callable[[bytes], Raw | None]:
    """Parser of the transitions of a definition, dependencies included.

    It returns None for bytes that are left to the general decoder: all of them, if the definition is not one of ours.
    """
    sections = re.split(r"^={3,}$", definition.decode(errors="replace"), flags=re.MULTILINE)
    fields, *others = map(_lines, sections)
    used = {lines[0].removeprefix("MSG: "): lines[1:] for lines in others if lines}
    strings = _STRINGS.get(fields)
    if strings is None or used != dict((_HEADER, _TIME)) or (name, encoding) != (TRANSITION_TYPE, "ros2msg"):
        return lambda data: None

    def parse(data: bytes) -> Raw | None:
        try:
            return _parse(data, strings)
        except (struct.error, UnicodeDecodeError):
            return None

    return parse


def _lines(section: str) -> tuple[str, ...]:
    """Lines of a part of a definition, without comments and repeated spaces."""
    lines = (" ".join(line.partition("#")[0].split()) for line in section.splitlines())
    return tuple(line for line in lines if line)


def _parse(data: bytes, strings: int) -> Raw | None:
    if data[:2] != _CDR_LITTLE_ENDIAN:
        return None
    sec, nanosec, length = _STAMP.unpack_from(data, _ORIGIN)
    at = _ORIGIN + _STAMP.size + length
    data[_ORIGIN + _STAMP.size : at].decode()
    at += (_ORIGIN - at) % 8
    cycle, episode, step = _NUMBERS.unpack_from(data, at)
    at += _NUMBERS.size
    vectors = []
    for _ in range(6):
        (count,) = _U32.unpack_from(data, at)
        vectors.append((at + 4, count))
        at += 4 + 4 * count
    source, limited, terminated, truncated = _FLAGS.unpack_from(data, at)
    at += _FLAGS.size
    texts = ["", "", ""]
    for number in range(strings):
        at += -at % 4
        (length,) = _U32.unpack_from(data, at)
        at += 4 + length
        texts[number] = data[at - length : at - 1].decode() if length else ""
    if sec < 0 or at > len(data):
        return None
    stamp_ns = sec * 1_000_000_000 + nanosec
    return Raw(stamp_ns, cycle, episode, step, vectors, source, limited != 0, terminated != 0, truncated != 0, *texts)


def to_transition(data: bytes, raw: Raw) -> LoggedTransition:
    """Transition with arrays of its own, from the bytes that were parsed."""
    values = np.frombuffer(data, "<f4", len(data) // 4).astype(np.float32)
    seen, action, after, achieved, reached, goal = (values[at // 4 : at // 4 + count] for at, count in raw.vectors)
    return LoggedTransition(
        Step(seen, action, after, achieved, reached, goal, raw.terminated),
        raw.episode,
        raw.step,
        raw.cycle,
        raw.stamp_ns,
        raw.source,
        raw.limited,
        last=raw.terminated or raw.truncated,
        run=raw.run,
        arm=raw.arm,
    )
