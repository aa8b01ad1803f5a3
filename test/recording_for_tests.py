"""Recordings as an arm makes them: episodes played in the simulated task, written as the collector writes them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.writer import Writer as FileWriter
from mcap_ros2.writer import Writer

from tdm_ros.control.timeline import Source
from tdm_ros.data import log as log_module
from tdm_ros.data.log import EPISODE_TOPIC, TRANSITION_TOPIC
from tdm_ros.data.log_writer import McapWriter
from tdm_ros.data.mcap_records import RecordReader
from tdm_ros.data.recording import Channel, Message, Recording
from tdm_ros.envs.goal_env import make_goal_env
from tdm_ros.training.evaluation import rollout

ROOT = Path(__file__).resolve().parents[1]
SEPARATOR = "\n" + "=" * 80 + "\n"
QOS = """\
- history: keep_last
  depth: 1000
  reliability: reliable
  durability: volatile
  deadline: {sec: 9223372036, nsec: 854775807}
  lifespan: {sec: 9223372036, nsec: 854775807}
  liveliness: automatic
  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}
  avoid_ros_namespace_conventions: false
"""
CYCLE_NS = 50_000_000
START_NS = 1_700_000_000_000_000_007
RUN = "0123456789abcdef"
STEPS = 12
"""Steps of an episode here; what is left is cut off."""


def definition(name: str) -> str:
    """Text of one of our messages with those that it uses."""
    header = "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    time = "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    return SEPARATOR.join(((ROOT / "msg" / f"{name}.msg").read_text(), header, time))


DEFINITIONS = {TRANSITION_TOPIC: definition("Transition"), EPISODE_TOPIC: definition("Episode")}
TYPES = {TRANSITION_TOPIC: "tdm_ros/msg/Transition", EPISODE_TOPIC: "tdm_ros/msg/Episode"}
CHANNELS = [Channel.of_ros(topic, TYPES[topic], DEFINITIONS[topic], QOS) for topic in TYPES]


def serialised(topic: str, messages: Iterable[dict[str, Any]], text: str = "") -> list[bytes]:
    """CDR bytes of messages, made by another library from the text of their definition."""
    buffer = io.BytesIO()
    writer = Writer(buffer)
    schema = writer.register_msgdef(TYPES[topic], text or DEFINITIONS[topic])
    for message in messages:
        writer.write_message(topic, schema, message, 0)
    writer.finish()
    buffer.seek(0)
    return [record.data for record in StreamReader(buffer).records if isinstance(record, McapMessage)]


def with_garbage(data: bytes, rng: np.random.Generator) -> bytes:
    """Fill the padding behind a transition's frame, as a serialiser does that leaves memory as it was."""
    return data[:21] + rng.bytes(7) + data[28:] if data[16:21] == b"base\0" else data


@dataclass(frozen=True)
class Part:
    """A piece of a recording, with the source of each step; episode 0 is a drive home."""

    episode: int
    sources: Sequence[Source] = (Source.POLICY,) * STEPS
    limited: bool = False
    gap: int = 5
    """Cycles that are missing before it."""
    evaluate: bool = False


PARTS = (
    Part(1, (Source.RANDOM,) * STEPS),
    Part(2, (Source.POLICY,) * 4 + (Source.HUMAN,) * 5 + (Source.POLICY,) * 3, limited=True),
    Part(0, (Source.RESET,) * 3),
    Part(3, (Source.HUMAN,) * STEPS),
    Part(4, (Source.POLICY,) * 5 + (Source.SAFETY,) * 2 + (Source.POLICY,) * 5, evaluate=True),
)


def messages(
    parts: Sequence[Part] = PARTS,
    task_name: str = "sawyer_reach",
    seed: int = 0,
    start_ns: int = START_NS,
    run: str = RUN,
) -> list[tuple[str, dict[str, Any]]]:
    """Topic and content of each message, in the order of the arm's cycles."""
    task, played = _played(task_name, seed, len(parts))
    found: list[tuple[str, dict[str, Any]]] = []
    cycle = 100
    for part, steps in zip(parts, played, strict=True):
        cycle += part.gap
        if part.episode:
            found.append((EPISODE_TOPIC, _announced(part, task, steps, cycle, start_ns)))
        for number, (source, step) in enumerate(zip(part.sources, steps, strict=False)):
            fields = _transition(part, task, step, source, number, cycle, start_ns)
            found.append((TRANSITION_TOPIC, {**fields, "run": run}))
            cycle += 1
    return found


@cache
def _played(task_name: str, seed: int, count: int) -> tuple[Any, list[list[Any]]]:
    env, task = make_goal_env(task_name)
    rng = np.random.default_rng(seed)
    episodes = []
    for number in range(count):
        walk = np.cumsum(rng.normal(0, 0.3, (task.episode_steps, task.action.size)), axis=0)
        steps = rollout(
            env, task, lambda now, w=walk: np.clip(w[now.time], -1, 1).astype(np.float32), 1000 * seed + number
        )
        episodes.append([step for step, _ in steps])
    return task, episodes


def _stamp(ns: int) -> dict[str, int]:
    return {"sec": ns // 1_000_000_000, "nanosec": ns % 1_000_000_000}


def _announced(part: Part, task: Any, steps: list[Any], cycle: int, start_ns: int) -> dict[str, Any]:
    return {
        "header": {"stamp": _stamp(start_ns + cycle * CYCLE_NS - 1), "frame_id": "base"},
        "state": 2,
        "mode": int(part.evaluate),
        "episode": part.episode,
        "start_cycle": cycle,
        "length": len(part.sources),
        "goal": steps[0].desired.tolist(),
        "task": task.fingerprint,
    }


def _transition(
    part: Part, task: Any, step: Any, source: Source, number: int, cycle: int, start_ns: int
) -> dict[str, Any]:
    return {
        "header": {"stamp": _stamp(start_ns + cycle * CYCLE_NS), "frame_id": "base"},
        "cycle": cycle,
        "episode": part.episode,
        "step": number,
        "observation": step.observation.tolist(),
        "action": step.action.tolist(),
        "next_observation": step.next_observation.tolist(),
        "achieved_goal": step.achieved.tolist(),
        "next_achieved_goal": step.next_achieved.tolist(),
        "desired_goal": step.desired.tolist() if part.episode else [],
        "source": int(source),
        "limited": part.limited,
        "terminated": False,
        "truncated": number == len(part.sources) - 1,
        "task": task.fingerprint,
        "arm": "",
    }


def discarding(begin: int, end: int) -> dict[str, Any]:
    """Fields of an announcement by which the operator discards cycles."""
    return {"discarded_run": [RUN], "discarded_from_cycle": [begin], "discarded_to_cycle": [end]}


def recording(content: Sequence[tuple[str, dict[str, Any]]] | None = None, seed: int = 0) -> Recording:
    """The same as a recording in memory, with garbage in the padding."""
    content = messages() if content is None else content
    rng, channels = np.random.default_rng(seed), list(DEFINITIONS)
    data = {topic: iter(serialised(topic, [m for t, m in content if t == topic])) for topic in channels}
    found = []
    for number, (topic, message) in enumerate(content):
        stamp = message["header"]["stamp"]
        time_ns = max(0, stamp["sec"] * 1_000_000_000 + stamp["nanosec"])
        raw = next(data[topic])
        raw = with_garbage(raw, rng) if topic == TRANSITION_TOPIC else raw
        found.append(Message(channels.index(topic), time_ns, time_ns, number, raw))
    known = [Channel(t, TYPES[t], DEFINITIONS[t].encode(), metadata=(("offered_qos_profiles", QOS),)) for t in channels]
    return Recording("a recording", tuple(known), found)


def older_recording(content: Sequence[tuple[str, dict[str, Any]]] | None = None) -> Recording:
    """The same as a version wrote it whose transitions name neither run nor arm."""
    content = messages() if content is None else content
    made, added = recording(content), ("run", "arm")
    lines = DEFINITIONS[TRANSITION_TOPIC].splitlines()
    text = "\n".join(line for line in lines if line.split()[:2] not in [["string", name] for name in added])
    plain = [{k: v for k, v in one.items() if k not in added} for topic, one in content if topic == TRANSITION_TOPIC]
    data = iter(serialised(TRANSITION_TOPIC, plain, text))
    transitions = [channel.topic for channel in made.channels].index(TRANSITION_TOPIC)
    channels = tuple(replace(c, schema=text.encode()) if c.topic == TRANSITION_TOPIC else c for c in made.channels)
    found = [m._replace(data=next(data)) if m.channel == transitions else m for m in made.messages]
    return replace(made.with_messages(found), channels=channels)


def write_log(folder: Path, made: Recording, close: bool = True) -> Path:
    """Write a recording as the collector does, into ``folder``/0000.mcap; return the file."""
    path = folder / "0000.mcap"
    writer = McapWriter(path, CHANNELS)
    for message in made.messages:
        writer.write(made.channels[message.channel].topic, message.data, message.publish_time)
    if close:
        writer.close()
    return path


def truncate(path: Path, made: Recording, number: int) -> None:
    """Truncate a file in the middle of one message of the recording."""
    content = path.read_bytes()
    path.write_bytes(content[: content.index(made.messages[number].data) + 20])


def write_file(path: Path, made: Recording, close: bool = True, **form: Any) -> bytes:
    """Write a recording as any other program may, in the form that the library's writer is given; return the bytes."""
    with path.open("xb") as file:
        writer = FileWriter(file, **form)
        writer.start("ros2", "test")
        channels = []
        for one in made.channels:
            schema = writer.register_schema(one.type_name, one.schema_encoding, one.schema)
            channels.append(writer.register_channel(one.topic, one.encoding, schema, dict(one.metadata)))
        for m in made.messages:
            writer.add_message(channels[m.channel], m.log_time, m.data, m.publish_time, m.sequence)
        writer.flush()
        if close:
            writer.finish()
    return path.read_bytes()


def changed(
    content: Sequence[tuple[str, dict[str, Any]]], where: int, **values: Any
) -> list[tuple[str, dict[str, Any]]]:
    """The same messages, of which one transition has other values."""
    found = list(content)
    at = [i for i, (topic, _) in enumerate(found) if topic == TRANSITION_TOPIC][where]
    found[at] = (TRANSITION_TOPIC, {**found[at][1], **values})
    return found


def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files of a log that are read from now on; the list grows."""
    names: list[str] = []

    class Watched(RecordReader):
        def __iter__(self):
            names.append(self.path.name)
            return super().__iter__()

    monkeypatch.setattr(log_module, "RecordReader", Watched)
    return names
