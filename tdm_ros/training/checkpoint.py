"""Checkpoints: tensors as safetensors, everything else as JSON. Nothing is unpickled."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tdm_ros.files import make_folder, put_in_place, sync_folder, write_durably
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor, horizon_schedule_tensor
from tdm_ros.tdm.agent import TdmAgent, usable_device
from tdm_ros.tdm.config import RENAMED_VALUES, TdmConfig, present_index, renamed_index, renamed_tensor
from tdm_ros.tdm.features import Features
from tdm_ros.training.generations import (
    INDEX,
    PREVIOUS,
    Generation,
    check,
    digest,
    generations,
    next_number,
    prune,
    read_index,
    roll_back,
    sealed,
)
from tdm_ros.training.learner import Learner

SCHEMA = 6
OLD_SCHEMAS = (4, 5)
_REPLAY = "replay."
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
"""Errors that a changed file can cause."""
T = TypeVar("T")


def save_checkpoint(directory: Path, learner: Learner, with_replay: bool = True) -> None:
    """Write a checkpoint of ``learner`` to ``directory``, which is created, and keep earlier ones (`prune`).

    After a crash or a power failure the old or the new checkpoint is complete: a file is renamed to its name after its
    content is on the disk. ``with_replay``: with the replay buffer, which is not necessary where a log has its
    transitions. Raises OSError if the folder cannot be written, or the disk is full, and FloatingPointError if a weight
    is not finite; earlier checkpoints are unchanged.
    """
    make_folder(directory)
    tensors: dict[str, torch.Tensor] = {}
    if agent := learner.agent:
        tensors |= {name: torch.from_numpy(array) for name, array in agent.actor_tensors().items()}
        tensors |= {f"learned.{name}": value.contiguous() for name, value in agent.state().items()}
    if with_replay:
        tensors |= {_REPLAY + name: torch.from_numpy(a) for name, a in learner.store.dump().items()}
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise FloatingPointError(f"{key} is not finite after {learner.updates} updates: it is not saved")
    name = f"weights-{learner.transitions}-{learner.updates}.safetensors"
    before = _weights_of(directory / INDEX)
    index = {
        "schema": SCHEMA,
        "weights": name,
        "task": learner.task.to_json(),
        "config": learner.config.to_json(),
        "seed": learner.seed,
        "updates": learner.updates,
        "transitions": learner.transitions + learner.forgotten,
        "recorded_transitions": learner.recorded_transitions,
        "skipped_updates": learner.skipped_updates,
        "schedule_start": learner.schedule_start,
        "rng": learner.rng.bit_generator.state,
        "generation": next_number(directory),
        "parent": before,
        "saved": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    part = directory / f"{name}.part"
    try:
        save_file({key: value.clone() for key, value in tensors.items()}, part)
        index["sha256"] = digest(part)
        put_in_place(part, directory / name)
    except SafetensorError as error:  # the disk is full
        raise OSError(f"{part} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
        for torn in directory.glob(".tmp*"):  # temporary file of safetensors, left by a killed process
            torn.unlink()
    text = json.dumps(sealed(index), indent=1)
    write_durably((directory / name).with_suffix(".json"), text)
    if before and before != name:
        write_durably(directory / PREVIOUS, (directory / INDEX).read_bytes())
    write_durably(directory / INDEX, text)
    prune(directory, {name, _weights_of(directory / PREVIOUS)})


def set_aside(directory: Path) -> Path:
    """Move damaged checkpoints to a new subfolder; return it."""
    number = 0
    while (folder := directory / f"damaged-{number}").exists():
        number += 1
    folder.mkdir()
    for path in [directory / INDEX, directory / PREVIOUS, *directory.glob("weights-*")]:
        if path.exists():
            path.rename(folder / path.name)
    sync_folder(folder)
    sync_folder(directory)
    return folder


def _weights_of(index: Path) -> str:
    """Name of the tensor file of an index, if both exist; else ""."""
    name = str((read_index(index) or {}).get("weights", ""))
    return name if name and (index.parent / name).is_file() else ""


def load_learner(directory: Path, task: TaskSpec | None = None, compiled: bool = False, device: str = "cpu") -> Learner:
    """Rebuild the learner of a checkpoint, ready to continue; ``compiled`` and ``device`` as for `TdmAgent`.

    Raises FileNotFoundError if there is no checkpoint, ValueError if the schema differs, it belongs to another task
    than ``task``, or PyTorch cannot use the device, and `DamagedCheckpointError` if neither it nor an earlier one can
    be used.
    """
    usable_device(device)
    return _newest_good(directory, task, lambda index, tensors: _learner(index, tensors, compiled, device))


def _learner(index: dict[str, Any], tensors: dict[str, torch.Tensor], compiled: bool, device: str) -> Learner:
    for name in ("seed", "updates", "recorded_transitions"):
        if type(index[name]) is not int or index[name] < 0:
            raise ValueError(f"{name} must be a whole number >= 0, got {index[name]!r}")
    for name in ("skipped_updates", "schedule_start", "transitions"):
        if type(index.setdefault(name, 0)) is not int:
            raise ValueError(f"{name} must be a whole number, got {index[name]!r}")
    found, config = TaskSpec.from_json(index["task"]), TdmConfig.from_json(index["config"])
    learner = Learner(found, config, index["seed"], compiled, device)
    learner.updates = index["updates"]
    learner.recorded_transitions, learner.skipped_updates = index["recorded_transitions"], index["skipped_updates"]
    learner.schedule_start, learner.saved_transitions = index["schedule_start"], index["transitions"]
    learner.rng.bit_generator.state = index["rng"]
    if learner.updates:
        features = Features.from_tensors(_arrays(tensors))
        learner.agent = TdmAgent(found, config, features, learner.seed, compiled, device)
        learner.agent.load_state(_below(tensors, "learned."), learner.updates)
    replay = _below(tensors, _REPLAY)
    if replay:
        learner.store.restore(_arrays(replay))
    return learner


def load_actor(directory: Path, task: TaskSpec | None = None) -> tuple[NumpyActor, TaskSpec]:
    """Read the policy of a checkpoint, and its task.

    Raises as `load_learner`, and ValueError if the checkpoint was written before the first update.
    """
    return _newest_good(directory, task, _actor)


def _actor(index: dict[str, Any], tensors: dict[str, torch.Tensor]) -> tuple[NumpyActor, TaskSpec]:
    return NumpyActor(_arrays(tensors)), TaskSpec.from_json(index["task"])


class DamagedCheckpointError(ValueError):
    """No checkpoint in a folder can be used."""


class _OtherError(ValueError):
    """The checkpoint is complete, but of another schema or task."""


def _newest_good(
    directory: Path, task: TaskSpec | None, make: Callable[[dict[str, Any], dict[str, torch.Tensor]], T]
) -> T:
    """Result of ``make`` for the newest checkpoint that is complete; with a warning if it is not the last one."""
    damage: list[str] = []
    for path in (directory / INDEX, *(one.path for one in generations(directory)), directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            made = make(*_read(path, task))
        except _OtherError:
            raise
        except _DAMAGE as error:
            reason = str(error).partition("\n")[0]  # without the stack that torch adds
            damage.append(f"{path} is damaged ({type(error).__name__}: {reason})")
            continue
        if damage:
            warnings.warn(f"{damage[0]}: an earlier checkpoint, {path.name}, is used", stacklevel=3)
        return made
    if damage:
        raise DamagedCheckpointError("; ".join(damage))
    if not directory.is_dir():
        raise FileNotFoundError(f"the folder {directory} does not exist; give a directory that `tdm_ros train` wrote")
    raise FileNotFoundError(f"no {INDEX} in {directory}; give a directory that `tdm_ros train` wrote")


def _read(path: Path, task: TaskSpec | None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    index = json.loads(path.read_text(encoding="utf-8"))
    check(index, path.parent)
    schema = index["schema"]
    if schema not in (*OLD_SCHEMAS, SCHEMA):
        known = ", ".join(map(str, OLD_SCHEMAS))
        raise _OtherError(f"{path} has schema {schema}, this version reads {known} and {SCHEMA}; train again")
    if schema == OLD_SCHEMAS[0]:
        index = renamed_index(index)
    before = index
    if schema != SCHEMA:
        index = present_index(index)
    found = TaskSpec.from_json(index["task"]).fingerprint
    if task is not None and found != task.fingerprint:
        raise _OtherError(f"{path} belongs to task {found}, expected {task.fingerprint}; give the matching task")
    tensors = load_file(path.parent / index["weights"])
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} is not finite")
    if schema == OLD_SCHEMAS[0]:
        tensors = _renamed_tensors(tensors)
    return index, _present_tensors(tensors, before) if schema != SCHEMA else tensors


def problem_of(generation: Generation, task: TaskSpec | None = None) -> str:
    """Why a generation cannot be used; "" if it can."""
    try:
        _learner(*_read(generation.path, task), compiled=False, device="cpu")
    except _DAMAGE as error:
        return str(error).partition("\n")[0]
    return ""


def roll_back_checkpoint(directory: Path, to: str = "") -> Generation:
    """Go back to the generation with this name, or to the newest good one before the current one, as `roll_back`."""
    return roll_back(directory, to, problem_of)


def _present_tensors(tensors: dict[str, torch.Tensor], index: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of schema 5 as those of schema 6: of the model that was selected, with the features that it lacks."""
    selected, prefix = (index["mode_selection"] or {}).get("selected"), "one_step."
    if selected == "one_step":
        replay = {name: tensor for name, tensor in tensors.items() if name.startswith(_REPLAY)}
        tensors = _below(tensors, prefix) | replay
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    if selected == "fine_segments":
        tensors |= {name: torch.from_numpy(array) for name, array in horizon_schedule_tensor(selected).items()}
    if "features.mean" in tensors:
        tensors["features.angle"] = torch.zeros(len(tensors["features.mean"]), dtype=torch.bool)
        tensors["features.motion_scale"] = torch.ones(1)
        tensors["features.transitions"] = torch.tensor([index["transitions"]])
    return tensors


def _renamed_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = {renamed_tensor(name): tensor for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if name.endswith("actor.horizon_schedule"):
            schedule = bytes(tensor.numpy()).decode()
            tensors[name] = torch.tensor(list(RENAMED_VALUES.get(schedule, schedule).encode()), dtype=torch.uint8)
    return tensors


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    return {key: value.numpy() for key, value in tensors.items()}
