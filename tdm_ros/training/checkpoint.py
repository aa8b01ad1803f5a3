"""Checkpoints: tensors as safetensors, everything else as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor, running_tensor
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.training.learner import Learner

SCHEMA = 4
INDEX = "checkpoint.json"
_REPLAY, _ONE_STEP = "replay.", "one_step."


def save_checkpoint(directory: Path, learner: Learner, with_replay: bool = True) -> None:
    """Write ``learner`` to ``directory``; a crash at any moment leaves the old checkpoint or the new one.

    Parameters
    ----------
    directory : Path
        Created if need be.
    learner : Learner
    with_replay : bool
        Whether to store the experience too; leave it out where a log has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    race = learner.race
    for prefix, agent in (("", learner.agent), (_ONE_STEP, race and race.agent)):
        if agent:
            tensors |= {prefix + name: torch.from_numpy(array) for name, array in agent.actor_tensors().items()}
            tensors |= {f"{prefix}learned.{name}": value.contiguous() for name, value in agent.state().items()}
    if with_replay:
        tensors |= {_REPLAY + name: torch.from_numpy(a) for name, a in learner.store.dump().items()}
    name = f"weights-{learner.transitions}-{learner.updates}.safetensors"
    part = directory / f"{name}.part"
    save_file({key: value.clone() for key, value in tensors.items()}, part)
    os.replace(part, directory / name)
    index = {
        "schema": SCHEMA,
        "weights": name,
        "task": learner.task.to_json(),
        "config": learner.config.to_json(),
        "seed": learner.seed,
        "updates": learner.updates,
        "transitions": learner.transitions,
        "recorded": learner.recorded,
        "waived": learner.waived,
        "rng": learner.rng.bit_generator.state,
        "race": race and race.to_json(),
    }
    part = directory / f"{INDEX}.part"
    part.write_text(json.dumps(index, indent=1), encoding="utf-8")
    os.replace(part, directory / INDEX)
    for torn in directory.glob(".tmp*"):  # safetensors writes its own part first; a kill leaves it behind
        torn.unlink()
    for old in directory.glob("weights-*"):
        if old.name != name:
            old.unlink()


def load_learner(directory: Path, task: TaskSpec | None = None, compiled: bool = False, device: str = "cpu") -> Learner:
    """Rebuild the learner of a checkpoint, ready to go on.

    Parameters
    ----------
    directory : Path
    task : TaskSpec, optional
        The task it must have been learned for.
    compiled : bool
    device : str
        As `TdmAgent` takes them.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If it is of another schema or task, or damaged, or there is no such device.
    """
    index, tensors = _read(directory, task)
    found, config = TaskSpec.from_json(index["task"]), TdmConfig.from_json(index["config"])
    learner = Learner(found, config, index["seed"], compiled, device)
    learner.updates = index["updates"]
    learner.recorded, learner.waived = index.get("recorded", 0), index.get("waived", 0)
    learner.rng.bit_generator.state = index["rng"]
    race = learner.start_race() if index.get("race") else None
    if race:
        race.restore(index["race"])
    if learner.updates:
        features = Features.from_tensors(_arrays(tensors))
        learner.agent = TdmAgent(found, config, features, learner.seed, compiled, device)
        try:
            learner.agent.load_state(_below(tensors, "learned."), learner.updates)
            if race:
                made = race.start(features, config, compiled, device)
                made.load_state(_below(tensors, f"{_ONE_STEP}learned."), index["race"]["updates"])
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{directory} is damaged: {error}") from error
    replay = _below(tensors, _REPLAY)
    if replay:
        learner.store.restore(_arrays(replay))
    return learner


def load_actor(directory: Path, task: TaskSpec | None = None) -> tuple[NumpyActor, TaskSpec]:
    """Read the policy of a checkpoint and the task that it was learned for.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If it is of another schema or task, damaged, or was written before learning began.
    """
    index, tensors = _read(directory, task)
    way = index["race"]["acts"] if index.get("race") else None
    arrays = _arrays(_below(tensors, _ONE_STEP) if way == "one_step" else tensors)
    if way == "fine":
        arrays |= running_tensor(way)
    return NumpyActor(arrays), TaskSpec.from_json(index["task"])


def _read(directory: Path, task: TaskSpec | None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    path = directory / INDEX
    if not path.exists():
        raise FileNotFoundError(f"no {INDEX} in {directory}; give a directory that `tdm_ros train` wrote")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["schema"] != SCHEMA:
            raise ValueError(f"{path} has schema {index['schema']}, this version reads {SCHEMA}; train again")
        found = TaskSpec.from_json(index["task"]).fingerprint
        if task is not None and found != task.fingerprint:
            raise ValueError(f"{path} was learned for {found}, this is {task.fingerprint}; give the matching task")
        return index, load_file(directory / index["weights"])
    except (json.JSONDecodeError, KeyError, SafetensorError, FileNotFoundError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {key: value.numpy() for key, value in tensors.items()}
