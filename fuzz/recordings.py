"""Targets that read recordings: the log, its recovery and index, a bag's metadata, conversion, Parquet and LeRobot."""

from __future__ import annotations

import json
import struct
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType

from fuzz.target import Target, empty, joined, parts_of
from tdm_ros.data.bag import write_log_metadata, write_mcap
from tdm_ros.data.counting import as_table, count_file, overview
from tdm_ros.data.export import FORMATS, export
from tdm_ros.data.lerobot import DATA, INFO, TEXT_ROWS, read_lerobot
from tdm_ros.data.log import TransitionLog, count_messages
from tdm_ros.data.log_index import INDEX, add_to_index, read_index
from tdm_ros.data.log_writer import recover, recover_all
from tdm_ros.data.mcap_records import Budget
from tdm_ros.data.parquet import ROWS, read_parquet
from tdm_ros.data.recording import Channel, DataError, Message, Recording
from tdm_ros.data.sources import read, read_mcap
from tdm_ros.data.summary import check, summarise
from tdm_ros.data.table import to_table
from tdm_ros.tasks import SAWYER_REACH

TASK = SAWYER_REACH["velocity"]
FILE = "0000.mcap"
UNPACKED = 64 << 20
"""Bound on unpacked data here [bytes]."""
TRANSITION = """\
std_msgs/Header header
uint64 cycle
uint32 episode
uint32 step
float32[] observation
float32[] action
float32[] next_observation
float32[] achieved_goal
float32[] next_achieved_goal
float32[] desired_goal
uint8 source
bool limited
bool terminated
bool truncated
string task
string run
string arm
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
"""Definition of a transition without its comments, so that the inputs are small."""


def _transition(cycle: int) -> bytes:
    """CDR bytes of a transition of `TASK`."""
    out = bytearray(b"\x00\x01\x00\x00")

    def add(form: str, *values: Any) -> None:
        out.extend(bytes(-(len(out) - 4) % struct.calcsize(form[-1])))
        out.extend(struct.pack(f"<{form}", *values))

    def text(value: str) -> None:
        add("I", len(value) + 1)
        out.extend(value.encode() + b"\0")

    add("i", 1_700_000_000)
    add("I", 50_000_000 * cycle % 1_000_000_000)
    text("base")
    add("Q", cycle)
    add("I", 1)
    add("I", cycle)
    sizes = [TASK.observation.size, TASK.action.size, TASK.observation.size, *[TASK.goal.size] * 3]
    for size in sizes:
        add("I", size)
        add(f"{size}f", *[0.1 + 0.01 * cycle] * size)
    out.extend([1, 0, 0, cycle == 2])
    for value in (TASK.fingerprint, "0123456789abcdef", ""):
        text(value)
    return bytes(out)


@cache
def a_recording() -> Recording:
    """Three transitions and a message of another program."""
    ours = Channel.of_ros("/transition", "tdm_ros/msg/Transition", TRANSITION, "- history: keep_last\n  depth: 9\n")
    other = Channel.of_ros("/other", "std_msgs/msg/Bool", "bool data\n")
    found = [Message(0, 10 + i, 10 + i, i, _transition(i)) for i in range(3)]
    return Recording("seed", (ours, other), [*found, Message(1, 20, 20, 3, b"\x00\x01\x00\x00\x01")])


@cache
def mcap_bytes(compression: CompressionType = CompressionType.ZSTD) -> bytes:
    path = empty("seed") / FILE
    write_mcap(path, a_recording(), compression)
    return path.read_bytes()


def _files() -> list[bytes]:
    """Whole, truncated and damaged files."""
    plain, packed = mcap_bytes(CompressionType.NONE), mcap_bytes()
    damaged = bytearray(plain)
    damaged[len(plain) // 2] ^= 0xFF
    return [
        packed,
        mcap_bytes(CompressionType.LZ4),
        plain[: len(plain) * 2 // 3],
        packed[: len(packed) // 2],
        bytes(damaged),
    ]


def _log(data: bytes) -> Path:
    folder = empty("log")
    (folder / FILE).write_bytes(data)
    return folder


def handle_log(data: bytes) -> None:
    """Read a file as the training does, and as `tdm_ros data inspect` and `validate` do."""
    folder = _log(data)
    found = read_mcap(folder / FILE, Budget(len(data), UNPACKED))
    table = to_table(found)
    summarise(found, table)
    check(found, table)
    log = TransitionLog(folder, TASK.fingerprint)
    known = list(log.read())
    list(log.read_after(lambda one: one.cycle < 1))
    assert len(known) <= len(found.messages)
    count_messages(folder)


def handle_recovery(data: bytes) -> None:
    """Recover a file. Whatever was read from it before is read after, and the second recovery changes nothing."""
    folder = _log(data)
    before = read_mcap(folder / FILE, Budget(len(data), UNPACKED)).messages
    recover_all(folder)
    recover(folder / FILE)
    after = read_mcap(folder / FILE, Budget(len(data), UNPACKED)).messages
    assert [one.data for one in after] == [one.data for one in before], "a recovered file has other messages"
    handle_metadata_of(folder)


def handle_metadata_of(folder: Path) -> None:
    """Write what `ros2 bag` reads beside a log."""
    write_log_metadata(folder)


def handle_index(data: bytes) -> None:
    """Read an index whose lines have right checksums, which a fuzzer would not guess."""
    folder = empty("index")
    (folder / FILE).write_bytes(mcap_bytes())
    lines = [line for line in data.splitlines() if line]
    (folder / INDEX).write_bytes(b"".join(b"\n%08x %s\n" % (zlib.crc32(line), line) for line in lines))
    for file in read_index(folder).values():
        assert isinstance(file.count + file.count_of("/transition"), int)
    count_messages(folder)
    list(TransitionLog(folder, TASK.fingerprint).read(newest=1))
    assert as_table([overview(folder)])
    write_log_metadata(folder)


def _index_seeds() -> list[bytes]:
    folder = empty("seed")
    (folder / FILE).write_bytes(mcap_bytes())
    add_to_index(folder / FILE, count_file(folder / FILE).tally)
    line = (folder / INDEX).read_bytes().strip().partition(b" ")[2]
    name, size, *rest = json.loads(line)
    return [
        line,
        json.dumps([name, size, *rest[:2], []]).encode(),
        line + b"\n" + line.replace(FILE.encode(), b"1.mcap"),
    ]


def handle_qos(data: bytes) -> None:
    """Write the metadata of a log whose file has any text as the quality of service of a topic."""
    folder = empty("qos")
    channel = Channel.of_ros("/a", "std_msgs/msg/Bool", "bool data", data.decode(errors="replace"))
    write_mcap(folder / FILE, Recording("seed", (channel,), [Message(0, 1, 1, 0, b"\x00\x01\x00\x00\x01")]))
    write_log_metadata(folder)


def handle_convert(data: bytes) -> None:
    """Convert a file to each format, and read back what can be read."""
    folder = _log(data[1:])
    form = FORMATS[data[0] % len(FORMATS)] if data else FORMATS[0]
    found = read(folder / FILE, unpack_limit=UNPACKED)
    out = empty("out") / ("a.npz" if form == "npz" else "a")
    count = export(found, form, out).transitions
    if form in ("parquet", "lerobot"):
        assert len(to_table(read(out, unpack_limit=UNPACKED))) == count


@cache
def _exported(form: str) -> Path:
    out = empty(f"exported_{form}") / "a"
    export(a_recording(), form, out)
    return out


def handle_parquet(data: bytes) -> None:
    """Read a file of a dataset, of any bytes."""
    folder = empty("parquet")
    (folder / ROWS).parent.mkdir()
    (folder / ROWS).write_bytes(data)
    found = read_parquet(folder, Budget(len(data), UNPACKED))
    summarise(found, found.table)


def handle_lerobot(data: bytes) -> None:
    """Read a LeRobot dataset of two files of any bytes; an empty one stands for that of a good dataset."""
    texts, rows = parts_of(data, 2)
    folder, good = empty("lerobot"), _exported("lerobot")
    for name, content in ((INFO, b"{}"), (TEXT_ROWS, texts), (DATA, rows)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content or (good / name).read_bytes())
    found = read_lerobot(folder, Budget(len(data), UNPACKED))
    summarise(found, found.table)


def _parquet_seeds() -> list[bytes]:
    return [(_exported("parquet") / ROWS).read_bytes()]


def _lerobot_seeds() -> list[bytes]:
    folder = _exported("lerobot")
    return [joined((folder / TEXT_ROWS).read_bytes(), b""), joined(b"", (folder / DATA).read_bytes())]


def _convert_seeds() -> list[bytes]:
    return [bytes([number]) + mcap_bytes() for number in range(len(FORMATS))]


QOS_SEEDS = [b"- history: keep_last\n  depth: 1000\n  lifespan: {sec: 9, nsec: 8}\n", b"- 2026-01-01\n- !!bool yes\n"]
TARGETS = [
    Target("log", handle_log, (ValueError,), seeds=_files),
    Target("log_recovery", handle_recovery, (DataError,), seeds=_files),
    Target("log_index", handle_index, seeds=_index_seeds, max_len=1024),
    Target("log_metadata", handle_qos, seeds=partial(list, QOS_SEEDS), max_len=512),
    Target("convert", handle_convert, (DataError,), seeds=_convert_seeds),
    Target("parquet", handle_parquet, (DataError,), seeds=_parquet_seeds, max_len=16384),
    Target("lerobot", handle_lerobot, (DataError,), seeds=_lerobot_seeds, max_len=16384),
]
