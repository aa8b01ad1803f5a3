"""A small file that unpacks to gigabytes is rejected with a sentence, and never fills the memory."""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC
from recording_for_tests import DEFINITIONS, PARTS, TYPES, messages, recording, write_file, write_log

from tdm_ros.data.bag import write_bag
from tdm_ros.data.log import TRANSITION_TOPIC
from tdm_ros.data.log_writer import recover_all
from tdm_ros.data.recording import TRANSITION_TYPE, DataError
from tdm_ros.data.sources import find, read, read_mcap, read_nonempty

RECORDING = recording()
TRANSITIONS = [m for m in RECORDING.messages if RECORDING.channels[m.channel].type_name == TRANSITION_TYPE]
GB = 10**9
PROGRAM = """
import sys
from tdm_ros.cli import main
status = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
MEMORY_KB = 600_000
"""More than the program takes without any data, less than a bomb [kB]."""


def packed(compression: str, size: int) -> bytes:
    """So many zeros, compressed, without ever holding them."""
    block, count = bytes(1 << 20), size >> 20
    if compression == "lz4":
        compressor = lz4.frame.LZ4FrameCompressor()
        parts = [compressor.begin(), *(compressor.compress(block) for _ in range(count)), compressor.flush()]
    else:
        stream = zstandard.ZstdCompressor().compressobj()
        parts = [*(stream.compress(block) for _ in range(count)), stream.flush()]
    return b"".join(parts)


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(body)) + body


def chunk(compression: str, size: int) -> bytes:
    data, name = packed(compression, size), compression.encode()
    head = struct.pack("<QQQII", 0, 0, size, 0, len(name)) + name
    return record(Opcode.CHUNK, head + struct.pack("<Q", len(data)) + data)


def bomb(path: Path, *chunks: bytes) -> Path:
    path.write_bytes(MCAP0_MAGIC + record(Opcode.HEADER, bytes(8)) + b"".join(chunks))
    return path


def parquet_bomb(folder: Path) -> Path:
    """One text, two thousand times: a dictionary contains it once."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = folder / "bomb" / "data" / "train.parquet"
    path.parent.mkdir(parents=True)
    task = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 10**6]))
    parquet.write_table(pa.table({"task": task}), path, compression="zstd", store_schema=False)
    return folder / "bomb"


def wide_bomb(folder: Path) -> Path:
    """Two hundred million equal numbers."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = folder / "bomb" / "data" / "train.parquet"
    path.parent.mkdir(parents=True)
    with parquet.ParquetWriter(path, pa.schema({"cycle": pa.int64()}), compression="zstd") as writer:
        for _ in range(200):
            writer.write_table(pa.table({"cycle": np.zeros(10**6, np.int64)}))
    return folder / "bomb"


BOMBS: dict[str, Callable[[Path], Path]] = {
    "one zstd chunk": lambda folder: bomb(folder / "bomb.mcap", chunk("zstd", 2 * GB)),
    "one lz4 chunk": lambda folder: bomb(folder / "bomb.mcap", chunk("lz4", 2 * GB)),
    "many chunks": lambda folder: bomb(folder / "bomb.mcap", *[chunk("zstd", 200 << 20)] * 20),
    "Parquet texts": parquet_bomb,
    "Parquet numbers": wide_bomb,
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS.keys())
def test_small_file_that_unpacks_to_gigabytes_is_rejected_and_takes_no_memory(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    total = path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    assert total < 10_000_000
    command = [sys.executable, "-c", PROGRAM, "data", "inspect", str(path), "--unpack-limit", "0.1"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run(command, capture_output=True, text=True, env=env)
    assert ended.returncode == 2, ended.stderr
    assert "unpacks to more than 0.1 GB" in ended.stderr and "--unpack-limit" in ended.stderr
    peak_kb = int(ended.stdout.split()[-2])
    assert peak_kb < MEMORY_KB, f"it took {peak_kb / 1e3:.0f} MB"


def test_limit_holds_for_all_files_of_a_recording_together_and_without_being_given(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    for number in range(3):
        bomb(folder / f"bag_{number}.mcap", chunk("zstd", 4 << 20))
    with pytest.raises(DataError, match=r"bag_1\.mcap unpacks to more than 0\.006 GB"):
        read(folder, unpack_limit=6_000_000)
    read(folder, unpack_limit=20_000_000)
    with pytest.raises(DataError, match=r"unpacks to more than 1\.07 GB"):
        read(bomb(tmp_path / "bomb.mcap", chunk("zstd", 2 * GB)))


def test_recovery_leaves_a_file_that_unpacks_to_gigabytes_alone(tmp_path: Path) -> None:
    path = bomb(tmp_path / "0000.mcap", chunk("zstd", 2 * GB))
    before = path.read_bytes()
    (found,) = recover_all(tmp_path)
    assert "cannot be recovered now" in found and "unpacks to more than" in found
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["0000.mcap"]


def test_what_a_recording_usually_unpacks_to_is_read(tmp_path: Path) -> None:
    repeated = (message._replace(sequence=number) for number, message in enumerate(RECORDING.messages * 200))
    many = RECORDING.with_messages(list(repeated))
    write_file(tmp_path / "some.mcap", many)
    assert len(read(tmp_path / "some.mcap").messages) == len(many.messages)


# What others record


def test_messages_that_rosbag2_compressed_one_by_one_are_read(tmp_path: Path) -> None:
    compress = zstandard.ZstdCompressor().compress
    made = RECORDING.with_messages([m._replace(data=compress(m.data)) for m in RECORDING.messages])
    write_file(tmp_path / "bag_0.mcap", made)
    found = read_nonempty(tmp_path)
    assert [m.data for m in found.messages] == [m.data for m in RECORDING.messages] and found.problems == ()
    assert sum(1 for _ in found.of_type(TRANSITION_TYPE)) == len(TRANSITIONS)


def test_messages_that_unpack_to_gigabytes_are_rejected(tmp_path: Path) -> None:
    made = RECORDING.with_messages([RECORDING.messages[0]._replace(data=packed("zstd", 2 * GB))])
    write_file(tmp_path / "bag_0.mcap", made)
    with pytest.raises(DataError, match="unpacks to more than"):
        read(tmp_path, unpack_limit=10**7)


def test_file_that_rosbag2_compressed_as_a_whole_names_the_remedy(tmp_path: Path) -> None:
    data = write_file(tmp_path / "bag_0.mcap", RECORDING)
    (tmp_path / "bag_0.mcap").unlink()
    path = tmp_path / "bag_0.mcap.zstd"
    path.write_bytes(zstandard.compress(data) + data[8:])  # as if a record of MCAP was among the compressed bytes
    with pytest.raises(DataError, match=r"compressed as a whole.*`zstd -d .*\*\.zstd`"):
        read_nonempty(tmp_path)
    with pytest.raises(DataError, match=r"compressed as a whole.*`zstd -d .*bag_0\.mcap\.zstd`"):
        read_nonempty(path)


@pytest.mark.parametrize("named", [True, False])
def test_topic_without_a_definition_names_the_cause_and_the_remedy(
    tmp_path: Path, named: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    from tdm_ros.cli import main

    lacking = replace(RECORDING.channels[0], schema=b"", schema_encoding="", type_name=TRANSITION_TYPE if named else "")
    assert lacking.topic == TRANSITION_TOPIC
    write_file(tmp_path / "bag_0.mcap", replace(RECORDING, channels=(lacking, *RECORDING.channels[1:])))
    found = read(tmp_path)
    assert len(found.messages) == len(RECORDING.messages), "they are kept"
    assert main(["data", "list", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "damaged" in out
    assert f"{len(TRANSITIONS)} messages of /transition cannot be decoded: the file has no definition" in err
    assert "source the workspace with tdm_ros before `ros2 bag record`" in err


def test_topic_in_another_encoding_gives_the_expected_one(tmp_path: Path) -> None:
    other = replace(RECORDING.channels[0], schema_encoding="ros2idl")
    write_file(tmp_path / "bag_0.mcap", replace(RECORDING, channels=(other, *RECORDING.channels[1:])))
    assert "they are cdr by ros2idl, expected cdr by ros2msg" in read(tmp_path).problems[0]


def test_transitions_with_another_definition_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tdm_ros.cli import main

    other = replace(RECORDING.channels[0], schema=b"string a\nstring b\nstring c\n")
    write_file(tmp_path / "bag_0.mcap", replace(RECORDING, channels=(other, *RECORDING.channels[1:])))
    for verb in ("list", "inspect", "validate"):
        assert main(["data", verb, str(tmp_path)]) == 1
        out, err = capsys.readouterr()
        assert f"{len(TRANSITIONS)} transitions cannot be decoded" in out + err
        assert "recorded by another version" in out + err


def test_profiles_that_are_nested_too_deep_to_parse_are_left_out(tmp_path: Path) -> None:
    channels = [replace(one, metadata=(("offered_qos_profiles", "[" * 50_000),)) for one in RECORDING.channels]
    write_bag(tmp_path / "out", replace(RECORDING, channels=tuple(channels)))
    assert [m.data for m in read(tmp_path / "out").messages] == [m.data for m in RECORDING.messages]


@pytest.mark.parametrize("limit", ["inf", "nan", "-1", "0", "many"])
def test_limit_that_is_none_is_rejected_with_a_sentence(
    tmp_path: Path, limit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tdm_ros.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["data", "inspect", str(tmp_path), "--unpack-limit", limit])
    assert ended.value.code == 2
    assert f"must be a number of GB above 0, got {limit!r}" in capsys.readouterr().err


def test_topics_of_other_packages_without_a_definition_are_no_problem(tmp_path: Path) -> None:
    assert set(TYPES) == set(DEFINITIONS)
    foreign = replace(RECORDING.channels[0], topic="/camera", type_name="some_msgs/msg/Thing", schema=b"")
    write_file(tmp_path / "bag_0.mcap", replace(RECORDING, channels=(foreign, *RECORDING.channels[1:])))
    assert read(tmp_path).problems == ()


# Paths that can be read as a recording, and the sentences for those that cannot


def test_reading_log_of_the_collector_gives_its_messages(tmp_path: Path) -> None:
    write_file(tmp_path / "some.mcap", RECORDING, use_chunking=False, enable_data_crcs=True)
    found = read_mcap(tmp_path / "some.mcap")
    assert found.messages == RECORDING.messages and found.channels == RECORDING.channels
    assert found.problems == () and found.notes == ()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"joint,angle\n1,2\n", "is no MCAP file: it begins with b'joint,an'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no MCAP file"),
        (b"#ROSBAG V2.0\n", "is a bag of ROS 1"),
    ],
)
def test_reading_foreign_file_is_rejected_with_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "some.mcap"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"some\.mcap") as error:
        read_nonempty(path)
    assert sentence in str(error.value)


def test_reading_sqlite_bag_names_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    with sqlite3.connect(folder / "bag_0.db3") as base:
        base.execute("create table topics(id integer)")
    for path in (folder, folder / "bag_0.db3"):
        with pytest.raises(DataError, match="ros2 bag convert"):
            read_nonempty(path)


def test_reading_missing_or_empty_path_is_rejected_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist.*data list"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="contains no recording"):
        read(tmp_path)
    write_log(tmp_path, recording([]))
    with pytest.raises(DataError, match="contains no message"):
        read_nonempty(tmp_path)


def test_reading_run_folder_takes_its_files_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "log_mcap"
    folder.mkdir(parents=True)
    parts = [recording(messages(PARTS[:1], start_ns=n * 10**12)) for n in range(1, 12)]
    for number, part in enumerate(parts):
        write_log(folder, part).rename(folder / f"bag_{number}.mcap")
    found = read(tmp_path / "run")
    assert [m.data for m in found.messages] == [m.data for part in parts for m in part.messages]
    assert len(found.channels) == 2


def test_find_gives_each_run_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_log(tmp_path / "runs" / name / "log_mcap", RECORDING)
    (tmp_path / "runs" / "latest").symlink_to("b")
    (tmp_path / "runs" / "c").mkdir()
    assert [path.name for path in find([tmp_path / "runs"])] == ["a", "b"]
