"""The durable log: nothing written is lost, and others can read it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from mcap_ros2.writer import Writer as TextWriter

from tdm_ros.data.log import TransitionLog, count_messages, mcap_files, next_segment, read_transitions
from tdm_ros.data.log_writer import LogChannel, McapWriter, recover_all
from tdm_ros.types import CycleRange

ROOT = Path(__file__).resolve().parents[1]
SEPARATOR = "\n" + "=" * 80 + "\n"
TIME = "int32 sec\nuint32 nanosec\n"
HEADER = "builtin_interfaces/Time stamp\nstring frame_id\n"
DEFINITION = SEPARATOR.join(
    (
        (ROOT / "msg" / "Transition.msg").read_text(),
        f"MSG: std_msgs/Header\n{HEADER}",
        f"MSG: builtin_interfaces/Time\n{TIME}",
    )
)
CHANNELS = [LogChannel("/transition", "tdm_ros/msg/Transition", DEFINITION, "- history: keep_last\n")]
TASK = "a task"


def serialised(number: int, task: str = TASK) -> bytes:
    """CDR bytes of a transition, made by another library from the same text."""
    import io

    buffer = io.BytesIO()
    writer = TextWriter(buffer)
    schema = writer.register_msgdef("tdm_ros/msg/Transition", DEFINITION)
    message = {
        "header": {"stamp": {"sec": 100 + number, "nanosec": 7}, "frame_id": "base"},
        "cycle": number,
        "episode": 3,
        "step": number,
        "observation": [float(number)] * 17,
        "action": [0.5] * 7,
        "next_observation": [number + 1.0] * 17,
        "achieved_goal": [0.1] * 3,
        "next_achieved_goal": [0.2] * 3,
        "desired_goal": [0.3] * 3,
        "source": 1,
        "limited": True,
        "terminated": False,
        "truncated": number % 2 == 1,
        "task": task,
    }
    writer.write_message("/transition", schema, message)
    writer.finish()
    buffer.seek(0)
    _, _, record = next(make_reader(buffer).iter_messages())
    return record.data


def write(path: Path, count: int, close: bool = True) -> McapWriter:
    writer = McapWriter(path, CHANNELS)
    for number in range(count):
        writer.write("/transition", serialised(number), (100 + number) * 1_000_000_000 + 7)
    if close:
        writer.close()
    return writer


def test_log_round_trip_gives_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 4)
    found = list(read_transitions(tmp_path, TASK))
    assert [t.cycle for t in found] == [0, 1, 2, 3]
    assert [t.last for t in found] == [False, True, False, True]
    third = found[2]
    assert third.stamp_ns == 102_000_000_007 and third.limited and third.source == 1
    np.testing.assert_array_equal(third.step.next_observation, np.full(17, 3, np.float32))
    assert third.step.action.dtype == np.float32 and not third.step.terminated


def test_log_finished_file_is_read_by_the_mcap_reader_with_its_schema(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 3)
    with (tmp_path / "0000.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert reader.get_header().profile == "ros2"
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == 3
        (schema,), (channel,) = summary.schemas.values(), summary.channels.values()
        assert (schema.name, schema.encoding) == ("tdm_ros/msg/Transition", "ros2msg")
        assert (channel.topic, channel.message_encoding) == ("/transition", "cdr")
        assert "offered_qos_profiles" in channel.metadata
        decoded = [message for _, _, _, message in reader.iter_decoded_messages()]
    assert [m.cycle for m in decoded] == [0, 1, 2]
    assert decoded[0].header.frame_id == "base"


def test_log_while_it_is_written_is_readable(tmp_path: Path) -> None:
    writer = write(tmp_path / "0000.mcap", 5, close=False)
    assert count_messages(tmp_path) == 5
    writer.close()


def test_log_next_segment_never_overwrites(tmp_path: Path) -> None:
    assert next_segment(tmp_path).name == "0000.mcap"
    write(tmp_path / "0000.mcap", 1)
    write(tmp_path / "0007.mcap", 1)
    assert next_segment(tmp_path).name == "0008.mcap"
    with pytest.raises(FileExistsError):
        McapWriter(tmp_path / "0007.mcap", CHANNELS)


def test_log_of_another_task_is_refused_with_a_remedy(tmp_path: Path) -> None:
    write(tmp_path / "0000.mcap", 1)
    with pytest.raises(ValueError, match=r"recorded for task a task.*another run directory"):
        list(read_transitions(tmp_path, "another task"))


def test_log_writer_killed_loses_nothing_that_was_written(tmp_path: Path) -> None:
    program = (
        "import sys, time; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "from pathlib import Path; from test_log import write\n"
        "write(Path(sys.argv[3]), 20, close=False); print('written', flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "0000.mcap"
    arguments = [sys.executable, "-c", program, str(ROOT), str(ROOT / "test"), str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [found.messages for found in recover_all(tmp_path)] == [20]
    assert [t.cycle for t in read_transitions(tmp_path, TASK)] == list(range(20))
    assert mcap_files(tmp_path) == [path]


EPISODE = SEPARATOR.join(
    (
        (ROOT / "msg" / "Episode.msg").read_text(),
        f"MSG: std_msgs/Header\n{HEADER}",
        f"MSG: builtin_interfaces/Time\n{TIME}",
    )
)


def announced(text: str, *cycles: tuple[str, int, int], task: str = TASK) -> tuple[LogChannel, bytes]:
    """A channel of announcements, and one of them, made by another library from the same text."""
    import io

    buffer = io.BytesIO()
    writer = TextWriter(buffer)
    content: dict[str, object] = {
        "header": {"stamp": {"sec": 1, "nanosec": 0}, "frame_id": "base"},
        "goal": [],
        "task": task,
    }
    names = [line.split()[1] for line in text.split(SEPARATOR)[0].splitlines() if line and line[0] not in "# "]
    numbers = {name: 0 for name in names if "=" not in name and name not in (*content, "reason")}
    content |= numbers | {"reason": ""}
    fields = ("discarded_run", "discarded_from_cycle", "discarded_to_cycle")
    content |= {name: [one[at] for one in cycles] for at, name in enumerate(fields)}
    writer.write_message("/episode", writer.register_msgdef("tdm_ros/msg/Episode", text), content)
    writer.finish()
    message = next(make_reader(io.BytesIO(buffer.getvalue())).iter_messages())[2]
    return LogChannel("/episode", "tdm_ros/msg/Episode", text), message.data


def test_discarded_cycles_are_read_from_the_announcements(tmp_path: Path) -> None:
    said = [
        announced(EPISODE),
        announced(EPISODE, ("a", 3, 5)),
        announced(EPISODE, ("a", 3, 5), ("b", 7, 9)),
        announced(EPISODE, ("a", 1, 99), task="another"),
    ]
    for number, (channel, data) in enumerate(said):
        writer = McapWriter(tmp_path / f"{number:04d}.mcap", [channel])
        writer.write("/episode", data, number)
        writer.close()
    log = TransitionLog(tmp_path, TASK)
    assert list(log.read()) == []
    assert log.discarded == {CycleRange("a", 3, 5), CycleRange("b", 7, 9)}
