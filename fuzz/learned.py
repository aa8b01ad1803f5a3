"""Targets that read what was learned: weights in a message, checkpoints, generations, a task and a configuration."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from fuzz.target import Target, empty, joined, parts_of
from tdm_ros.tasks import SAWYER_REACH, TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import load_actor, load_learner, roll_back_checkpoint, save_checkpoint
from tdm_ros.training.generations import INDEX, generations, prune, sealed
from tdm_ros.training.learner import Learner
from tdm_ros.types import Step

TASK = SAWYER_REACH["velocity"]
SMALL = {"hidden_size": 8, "batch_size": 4, "learning_starts": 8, "initial_gradient_steps": 2}
WEIGHTS = "weights-1-1.safetensors"


@cache
def a_learner() -> Learner:
    """Learner of a small policy after two updates."""
    learner, rng = Learner(TASK, TdmConfig(**SMALL), 0), np.random.default_rng(0)
    sizes = [TASK.observation.size, TASK.action.size, TASK.observation.size, *[TASK.goal.size] * 3]
    for number in range(12):
        vectors = [rng.uniform(0.2, 0.4, size).astype(np.float32) for size in sizes]
        learner.add(Step(*vectors, False), number == 11)
    learner.update(2)
    return learner


def handle_weights(data: bytes) -> None:
    """Read a policy, and act with it."""
    actor = NumpyActor.from_bytes(data)
    observation, goal, _ = actor.sizes
    seen, here = np.zeros((1, observation), np.float32), np.zeros((1, goal), np.float32)
    with np.errstate(all="ignore"):
        actor.act_batch(seen, here, here, np.array([3]))


def _weights_seeds() -> list[bytes]:
    data = a_learner().actor_bytes()
    tensors = load(data)
    return [
        data,
        save({**tensors, "actor.stochastic": np.array([True])}),
        save({"features.mean": tensors["features.mean"]}),
    ]


def _written(data: bytes) -> Path:
    """Folder of a checkpoint with this index and these tensors, and with right checksums, which a fuzzer cannot guess.

    A second index, of a generation, has the same content and another name.
    """
    text, tensors = parts_of(data, 2)
    folder = empty("checkpoint")
    tensors = tensors or _saved()[1]
    (folder / WEIGHTS).write_bytes(tensors)
    try:
        index: Any = json.loads(text)
        if isinstance(index, dict) and "sha256" in index:
            index["sha256"] = hashlib.sha256(tensors).hexdigest()
        if isinstance(index, dict) and "checksum" in index:
            text = json.dumps(sealed(index)).encode()
    except (ValueError, RecursionError):
        pass
    for name in (INDEX, WEIGHTS.replace(".safetensors", ".json")):
        (folder / name).write_bytes(text)
    return folder


def _is_small(folder: Path) -> bool:
    """Whether the index asks for a small network and buffer: a checkpoint may ask for any size."""
    try:
        config = json.loads((folder / INDEX).read_bytes())["config"]
        return all(config[name] <= 64 for name in ("hidden_size", "batch_size"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return True


def handle_checkpoint(data: bytes) -> None:
    """Read policy and learner of a checkpoint."""
    folder = _written(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for load_it in (load_actor, load_learner):
            if load_it is load_learner and not _is_small(folder):
                continue
            try:
                load_it(folder, TASK)
            except (FileNotFoundError, ValueError):
                continue


def handle_generations(data: bytes) -> None:
    """List, prune and go back to generations with any index."""
    folder = _written(data)
    for one in generations(folder):
        assert one.name and one.files
    prune(folder, {WEIGHTS})
    if _is_small(folder):
        with suppress(ValueError):
            roll_back_checkpoint(folder)


@cache
def _saved() -> tuple[bytes, bytes]:
    """Index and tensors of a small checkpoint."""
    folder = empty("seed")
    save_checkpoint(folder, a_learner(), with_replay=False)
    index = json.loads((folder / INDEX).read_bytes())
    tensors = (folder / index["weights"]).read_bytes()
    return json.dumps(index | {"weights": WEIGHTS}).encode(), tensors


def _checkpoint_seeds() -> list[bytes]:
    index, _ = _saved()
    older = json.loads(index) | {"schema": 5}
    return [joined(index, b""), joined(json.dumps(older).encode(), b"")]


def handle_settings(data: bytes) -> None:
    """Rebuild a task and a configuration from JSON."""
    which, text = data[:1], data[1:]
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(content, dict):
        (TdmConfig if which == b"c" else TaskSpec).from_json(content)


def _settings_seeds() -> list[bytes]:
    return [b"c" + json.dumps(TdmConfig(**SMALL).to_json()).encode(), b"t" + json.dumps(TASK.to_json()).encode()]


TARGETS = [
    Target("weights", handle_weights, (ValueError,), seeds=_weights_seeds, max_len=32768),
    Target("checkpoint", handle_checkpoint, seeds=_checkpoint_seeds, max_len=8192),
    Target("generations", handle_generations, seeds=partial(_checkpoint_seeds), max_len=8192),
    Target("settings", handle_settings, (ValueError,), seeds=_settings_seeds),
]
