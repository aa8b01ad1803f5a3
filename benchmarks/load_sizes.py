"""How many transitions of a size one processor writes and learns from: the work of `collector` and of `trainer`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from tdm_ros.msg import Transition

from tdm_ros.data.log import TRANSITION_TOPIC, from_message
from tdm_ros.data.log_writer import LogWriter
from tdm_ros.data.recording import TRANSITION_TYPE, Channel
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.nodes.convert import definition, to_transition
from tdm_ros.tasks import SAWYER_REACH, TaskSpec
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner
from tdm_ros.types import LoggedTransition, Step

SIZES = (17, 100, 1000, 10_000)
"""Numbers in an observation; 17 are those of an arm with seven joints."""
SECONDS = 4.0
STORED_BYTES = 256 << 20
"""Largest size of the observations that are stored here [bytes]."""


def task_of(size: int) -> TaskSpec:
    """The task `sawyer_reach` with so many numbers in its observation."""
    task = SAWYER_REACH["velocity"]
    names = tuple(f"number_{i}" for i in range(size))
    values = {one.name: _resized(getattr(task.observation, one.name), size) for one in fields(task.observation)}
    seen = replace(task.observation, **values)
    return replace(task, observation=replace(seen, names=names)) if size != task.observation.size else task


def _resized(values: Any, size: int) -> Any:
    """The first value for each number of an observation, if there is one for each now."""
    return tuple(values[i % len(values)] for i in range(size)) if isinstance(values, tuple) and values else values


def rate(do: Callable[[int], object], most: int, seconds: float = SECONDS) -> float:
    """Calls per second of processor time [1/s], of ``most`` calls or less."""
    count, begin_s, end_s = 0, time.process_time(), time.monotonic() + seconds
    while count < most and (time.monotonic() < end_s or count < 20):
        do(count)
        count += 1
    return count / (time.process_time() - begin_s)


def measure_size(size: int) -> dict[str, Any]:
    """Transitions per second of processor time that are serialised and logged, and that are received and stored."""
    task, most = task_of(size), STORED_BYTES // (8 * size)
    rng = np.random.default_rng(0)

    def vector(length: int) -> np.ndarray:
        return rng.uniform(-0.5, 0.5, length).astype(np.float32)

    sizes = [size, task.action.size, size, *[task.goal.size] * 3]
    steps = [Step(*map(vector, sizes), False) for _ in range(8)]

    def logged(number: int) -> LoggedTransition:
        return LoggedTransition(steps[number % 8], 1, number, number, 50_000_000 * number, 1, False, False, "run", "")

    with tempfile.TemporaryDirectory(prefix="load") as folder:
        channel = Channel.of_ros(TRANSITION_TOPIC, TRANSITION_TYPE, definition(TRANSITION_TYPE))
        writer = LogWriter(Path(folder), [channel])

        def write(number: int) -> None:
            writer.write(TRANSITION_TOPIC, serialize_message(to_transition(logged(number), task)), 50_000_000 * number)

        written = rate(write, most)
        lost = writer.lost
        writer.close()
    live = OnlineLearner(Learner(task, TdmConfig(total_timesteps=1000), 0))
    data = serialize_message(to_transition(logged(0), task))
    messages = [serialize_message(to_transition(logged(number), task)) for number in range(8)]

    def learn(number: int) -> None:
        received = from_message(deserialize_message(messages[number % 8], Transition))
        live.add(replace(received, number=number, cycle=number + 1, stamp_ns=50_000_000 * number), "arm1")

    stored = rate(learn, most)
    return {"size": size, "bytes": len(data), "written_per_s": written, "stored_per_s": stored, "lost": lost}
