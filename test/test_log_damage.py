"""Damage to a file of a log or a bag costs the damaged records alone."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcap.opcode import Opcode
from mcap.records import Message
from mcap.writer import CompressionType
from recording_for_tests import recording, write_file, write_log

from tdm_ros.data.mcap_layout import records_in
from tdm_ros.data.mcap_records import Budget, RecordReader, unpack

RECORDING = recording()
WHOLE = [message.data for message in RECORDING.messages]
FORMS = ("log", "unfinished log", "without chunks", "unfinished without chunks", "zstd", "lz4", "one chunk")
DEFINING = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.CHUNK)


@cache
def file_of(form: str) -> bytes:
    with TemporaryDirectory() as name:
        folder = Path(name)
        close = not form.startswith("unfinished")
        if "log" in form:
            return write_log(folder, RECORDING, close).read_bytes()
        path = folder / "some.mcap"
        if "without" in form:
            return write_file(path, RECORDING, close, use_chunking=False, enable_data_crcs=True)
        kind = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}.get(form, CompressionType.NONE)
        return write_file(path, RECORDING, compression=kind, chunk_size=2000 if form != "one chunk" else 1 << 30)


@dataclass(frozen=True)
class Unit:
    """A record of the file and the messages that are lost with it."""

    start: int
    end: int
    opcode: int
    data: tuple[bytes, ...]


@cache
def units(form: str) -> tuple[Unit, ...]:
    return tuple(_units(file_of(form)))


def _units(data: bytes) -> Iterator[Unit]:
    at, end = 8, len(data) - (8 if data.endswith(b"\x89MCAP0\r\n") else 0)
    while at < end:
        opcode, length = struct.unpack_from("<BQ", data, at)
        body = data[at + 9 : at + 9 + length]
        inside: tuple[bytes, ...] = (body[22:],) if opcode == Opcode.MESSAGE else ()
        if opcode == Opcode.CHUNK:
            name = struct.unpack_from("<I", body, 28)[0]
            kind, rest = body[32 : 32 + name].decode(), body[40 + name :]
            rest = unpack(kind, rest, Budget(0), "")[0] if kind else rest
            inside = tuple(one.data for one in records_in(rest) if isinstance(one, Message))
        yield Unit(at, at + 9 + length, opcode, inside)
        at += 9 + length


def read(data: bytes) -> tuple[list[bytes], RecordReader]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "0000.mcap"
        path.write_bytes(data)
        reader = RecordReader(path)
        return [one.data for one in reader if isinstance(one, Message)], reader


def untouched(form: str, low: int, high: int) -> Counter[bytes]:
    """Messages of the records that the bytes from ``low`` up to ``high`` are no part of.

    None where the definitions are lost, too: in the first records and in the summary behind the data.
    """

    def away(unit: Unit) -> bool:
        return unit.end <= low or unit.start >= high

    first = next(i for i, unit in enumerate(units(form)) if unit.data)
    defined = all(away(unit) for unit in units(form)[: first + 1] if unit.opcode in DEFINING)
    end = next((unit.start for unit in units(form) if unit.opcode == Opcode.DATA_END), None)
    if not defined and (end is None or high > end):
        return Counter()
    return Counter(data for unit in units(form) if away(unit) for data in unit.data)


@pytest.mark.parametrize("form", FORMS)
def test_whole_file_gives_every_message_and_no_problem(form: str) -> None:
    found, reader = read(file_of(form))
    assert found == WHOLE
    assert reader.problems == [] and ["not finished" in one for one in reader.notes] == [True] * form.startswith("unf")


def damaged(data: bytes, unit: Unit, kind: str) -> tuple[bytes, int, int]:
    middle = (unit.start + unit.end) // 2
    if kind == "torn":
        return data[:middle], middle, len(data)
    if kind == "zeroed":
        return data[: unit.start] + bytes(unit.end - unit.start) + data[unit.end :], unit.start, unit.end
    if kind == "duplicated":
        return data[: unit.end] + data[unit.start : unit.end] + data[unit.end :], 0, 0
    at = {"kind flipped": 0, "length flipped": 1, "content flipped": middle - unit.start}[kind] + unit.start
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :], at, at + 1


@pytest.mark.parametrize("kind", ["torn", "zeroed", "duplicated", "kind flipped", "length flipped", "content flipped"])
@pytest.mark.parametrize("form", FORMS)
def test_damage_to_each_kind_of_record_costs_that_record_alone(form: str, kind: str) -> None:
    data = file_of(form)
    of_kind: dict[int, list[Unit]] = {}
    for unit in units(form):
        of_kind.setdefault(unit.opcode, []).append(unit)
    for opcode, some in of_kind.items():
        for unit in {some[0], some[len(some) // 2], some[-1]}:
            torn, low, high = damaged(data, unit, kind)
            found, reader = read(torn)
            missing = untouched(form, low, high) - Counter(found)
            assert not missing, f"{Opcode(opcode).name} at {unit.start}: {missing.total()} messages are lost"
            if kind in ("torn", "zeroed") and unit.data:
                assert reader.problems, f"{Opcode(opcode).name} at {unit.start}"
            if kind == "duplicated":
                assert found == WHOLE, f"{Opcode(opcode).name} at {unit.start}"
                assert not unit.data or f"{len(unit.data)} messages that are in it twice" in reader.problems[-1]
            if kind == "content flipped" and opcode == Opcode.CHUNK:
                assert "chunk is damaged" in reader.problems[0]


@pytest.mark.parametrize("form", FORMS)
def test_copy_of_a_damaged_record_is_read(form: str) -> None:
    """A message of a damaged record counts as read only if it was."""
    data = file_of(form)
    unit = [one for one in units(form) if one.data][-1]
    at = data.index(unit.data[-1], unit.start) + 60 if unit.data[-1] in data else unit.end - 20
    torn = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 : unit.end] + data[unit.start :]
    found, _ = read(torn)
    assert not Counter(WHOLE) - Counter(found)
    assert unit.opcode == Opcode.MESSAGE or found == WHOLE or len(unit.data) == len(WHOLE)


def test_equal_messages_without_numbers_are_no_copies(tmp_path: Path) -> None:
    """A writer that numbers nothing may receive equal messages at one time of a simulation."""
    some = [RECORDING.messages[number]._replace(sequence=0, log_time=7, publish_time=7) for number in (3, 4, 4)]
    data = write_file(tmp_path / "some.mcap", RECORDING.with_messages(some), use_chunking=False)
    assert read(data)[0] == [one.data for one in some]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.timeout(300)
def test_cut_at_any_length_gives_every_whole_record(form: str) -> None:
    data, number = file_of(form), list(FORMS).index(form)
    for length in range(number % 3, len(data), 3 if number else 1):  # all of the first form, a third of the others
        found, reader = read(data[:length])
        assert not untouched(form, length, len(data)) - Counter(found), f"cut at {length}"
        assert found == WHOLE[: len(found)] and (reader.problems or reader.notes), f"cut at {length}"


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=150, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_flip_of_any_bit_costs_one_record_at_most(form: str, share: float, bit: int) -> None:
    data = bytearray(file_of(form))
    at = int(share * len(data))
    data[at] ^= 1 << bit
    found, _ = read(bytes(data))
    assert not untouched(form, at, at + 1) - Counter(found)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=80, deadline=None)
@given(
    share=st.floats(0, 1, exclude_max=True),
    junk=st.one_of(st.binary(min_size=1, max_size=3000), st.integers(1, 9000).map(bytes)),
)
@example(share=0.26073189786358314, junk=b"\0\0\0\0\0\0\x80R")  # a record of a foreign kind that is a byte too long
@example(share=0.0, junk=b"#ROSBAG")  # the head of a file of another format
def test_bytes_written_over_a_file_cost_the_overwritten_records_alone(form: str, share: float, junk: bytes) -> None:
    data = file_of(form)
    at = int(share * max(0, len(data) - len(junk)))
    changed = data[:at] + junk + data[at + len(junk) :]
    found, reader = read(changed)
    assert not untouched(form, at, at + len(junk)) - Counter(found)
    if form in ("log", "without chunks") and changed != data and 8 <= at < data.rindex(WHOLE[-1]):
        assert reader.problems, "the checksum of the whole file covers these bytes"


@pytest.mark.parametrize("more", [1, 5, 30, 200, 1 << 56])
def test_wrong_length_of_a_message_costs_that_message_alone_and_is_reported(more: int) -> None:
    data = file_of("without chunks")
    at = data.index(WHOLE[7]) - 30
    length = (int.from_bytes(data[at : at + 8], "little") + more).to_bytes(8, "little")
    found, reader = read(data[:at] + length + data[at + 8 :])
    assert found == [*WHOLE[:7], *WHOLE[8:]]
    assert f"{len(WHOLE[7]) + 31} bytes from byte {at - 1} on cannot be read, the records after" in reader.problems[0]


def test_changed_bit_in_a_message_is_reported() -> None:
    data = bytearray(file_of("without chunks"))
    data[data.index(WHOLE[7]) + 100] ^= 1
    found, reader = read(bytes(data))
    assert len(found) == len(WHOLE) and "checksum" in reader.problems[0]


@settings(max_examples=60, deadline=None)
@given(tail=st.integers(1, 70_000), share=st.floats(0, 1))
def test_zeros_behind_a_file_as_a_power_cut_leaves_them_cost_nothing(tail: int, share: float) -> None:
    form = "unfinished log"
    length = int(share * len(file_of(form)))
    found, reader = read(file_of(form)[:length] + bytes(tail))
    assert not untouched(form, length, len(file_of(form))) - Counter(found)
    assert length < 8 or reader.problems


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_message_without_checksum_that_zeros_fill_up_is_left_out(cut: int) -> None:
    form = "unfinished without chunks"
    whole = [unit for unit in units(form) if unit.opcode == Opcode.MESSAGE][20]
    found, reader = read(file_of(form)[: whole.end - 70 - cut] + bytes(5000))
    assert found == WHOLE[:20]
    assert reader.problems


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_at_all_raise(data: bytes) -> None:
    for head in (b"", b"\x89MCAP0\r\n"):
        assert read(head + data)[0] == []


@pytest.mark.parametrize("bit", range(64))
def test_any_bit_of_the_magic_bytes_costs_nothing(bit: int) -> None:
    for form in FORMS:
        data = bytearray(file_of(form))
        data[bit // 8] ^= 1 << (bit % 8)
        found, reader = read(bytes(data))
        assert found == WHOLE
        assert "first 8 bytes" in reader.problems[0]


def test_first_chunk_damaged_costs_no_definition() -> None:
    data = bytearray(file_of("zstd"))
    first = next(unit for unit in units("zstd") if unit.opcode == Opcode.CHUNK)
    data[first.end - 20] ^= 0xFF
    found, reader = read(bytes(data))
    assert found == WHOLE[len(first.data) :] and len(found) > 20
    assert "a chunk is damaged" in reader.problems[0]


def test_cut_inside_a_chunk_gives_the_messages_before_the_cut() -> None:
    for form in ("one chunk", "zstd"):
        chunk = next(unit for unit in units(form) if unit.opcode == Opcode.CHUNK)
        found, _ = read(file_of(form)[: chunk.end - 10])
        assert len(found) >= len(chunk.data) - 1 or form == "zstd"
        assert found == WHOLE[: len(found)]


def test_message_that_holds_a_file_is_not_taken_for_one() -> None:
    """A message may hold records; those are its own."""
    inner = file_of("without chunks")
    made = recording()
    held = made.messages[3]._replace(data=b"\0\1\0\0" + inner)
    with TemporaryDirectory() as folder:
        outer = made.with_messages([*made.messages[:3], held, *made.messages[4:]])
        data = write_file(Path(folder) / "some.mcap", outer, use_chunking=False)
    assert read(data)[0] == [m.data for m in outer.messages]
    at = data.rindex(made.messages[4].data) - 31
    found, _ = read(data[:at] + b"\xff" * 20 + data[at + 20 :])
    assert found == [m.data for m in outer.messages if m.sequence != 4]
