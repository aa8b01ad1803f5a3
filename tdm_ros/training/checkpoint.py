"""Checkpoints: tensors as safetensors, everything else as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tdm_ros.files import put_in_place, write_durably
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor, running_tensor
from tdm_ros.tdm.agent import TdmAgent, usable_device
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.training.learner import Learner

SCHEMA = 4
INDEX, PREVIOUS = "checkpoint.json", "checkpoint.previous.json"
_REPLAY, _ONE_STEP = "replay.", "one_step."
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What is raised where a file was changed."""
T = TypeVar("T")


def save_checkpoint(directory: Path, learner: Learner, with_replay: bool = True) -> None:
    """Write ``learner`` to ``directory`` and keep the checkpoint before it, too.

    A crash or a power cut at any moment leaves the old checkpoint or the new one: each file has its name only when the
    disk has what is in it.

    Parameters
    ----------
    directory : Path
        Created if need be.
    learner : Learner
    with_replay : bool
        Whether to store the experience too; leave it out where a log has it.

    Raises
    ------
    OSError
        If there is no room for it, or the folder cannot be written; then those that were there still are.
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
    part = directory / f"{name}.part"
    try:
        save_file({key: value.clone() for key, value in tensors.items()}, part)
        put_in_place(part, directory / name)
    except SafetensorError as error:  # its way to say that there is no room
        raise OSError(f"{part} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
        for torn in directory.glob(".tmp*"):  # safetensors writes its own part first; a kill leaves it behind
            torn.unlink()
    if (before := _weights_of(directory / INDEX)) and before != name:
        write_durably(directory / PREVIOUS, (directory / INDEX).read_bytes())
    write_durably(directory / INDEX, json.dumps(index, indent=1))
    kept = {name, _weights_of(directory / PREVIOUS)}
    for old in directory.glob("weights-*"):
        if old.name not in kept:
            old.unlink()


def set_aside(directory: Path) -> Path:
    """Move damaged checkpoints into a new folder beside where new ones go; return it."""
    number = 0
    while (aside := directory / f"damaged-{number}").exists():
        number += 1
    aside.mkdir()
    for path in [directory / INDEX, directory / PREVIOUS, *directory.glob("weights-*")]:
        if path.exists():
            path.rename(aside / path.name)
    return aside


def _weights_of(index: Path) -> str:
    """The tensors that an index names, if they are there; else ""."""
    try:
        name = str(json.loads(index.read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return name if (index.parent / name).is_file() else ""


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
        If it is of another schema or task, or there is no such device; a `DamagedCheckpointError`, if neither it nor
        the one before it can be used.
    """
    usable_device(device)
    return _newest_good(directory, task, lambda index, tensors: _learner(index, tensors, compiled, device))


def _learner(index: dict[str, Any], tensors: dict[str, torch.Tensor], compiled: bool, device: str) -> Learner:
    counts = {"seed": index["seed"], "updates": index["updates"], "recorded": index.get("recorded", 0)}
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")
    if type(index.get("waived", 0)) is not int:
        raise ValueError(f"waived must be a whole number, got {index['waived']!r}")
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
        learner.agent.load_state(_below(tensors, "learned."), learner.updates)
        if race:
            made = race.start(features, config, compiled, device)
            made.load_state(_below(tensors, f"{_ONE_STEP}learned."), index["race"]["updates"])
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
    return _newest_good(directory, task, _actor)


def _actor(index: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[NumpyActor, TaskSpec]:
    way = index["race"]["acts"] if index.get("race") else None
    arrays = _arrays(_below(tensors, _ONE_STEP) if way == "one_step" else tensors)
    if way == "fine":
        arrays |= running_tensor(way)
    return NumpyActor(arrays), TaskSpec.from_json(index["task"])


class DamagedCheckpointError(ValueError):
    """Nothing in a folder of checkpoints can be used, for reasons that the text gives."""


class _OtherError(ValueError):
    """The checkpoint is whole, but not what was asked for."""


def _newest_good(
    directory: Path, task: TaskSpec | None, make: Callable[[dict[str, Any], dict[str, torch.Tensor]], T]
) -> T:
    """What is made of the newest checkpoint that is whole; a warning says so if it is not the last one."""
    damage: list[str] = []
    for path in (directory / INDEX, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            made = make(*_read(path, task))
        except _OtherError:
            raise
        except _DAMAGE as error:
            why = str(error).partition("\n")[0]  # torch adds a stack
            damage.append(f"{path} is damaged ({type(error).__name__}: {why})")
            continue
        if damage:
            warnings.warn(f"{damage[0]}: the checkpoint before it, {path.name}, is used", stacklevel=3)
        return made
    if damage:
        raise DamagedCheckpointError("; ".join(damage))
    raise FileNotFoundError(f"no {INDEX} in {directory}; give a directory that `tdm_ros train` wrote")


def _read(path: Path, task: TaskSpec | None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    index = json.loads(path.read_text(encoding="utf-8"))
    if index["schema"] != SCHEMA:
        raise _OtherError(f"{path} has schema {index['schema']}, this version reads {SCHEMA}; train again")
    found = TaskSpec.from_json(index["task"]).fingerprint
    if task is not None and found != task.fingerprint:
        raise _OtherError(f"{path} was learned for {found}, this is {task.fingerprint}; give the matching task")
    tensors = load_file(path.parent / index["weights"])
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} is not finite")
    return index, tensors


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {key: value.numpy() for key, value in tensors.items()}
