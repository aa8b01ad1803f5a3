"""Folder of an agent beside its tensors: the environment it was trained in, and whether another one matches."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import tdm_ros
from tdm_ros.durable import write_durably
from tdm_ros.sim.noise import Noise
from tdm_ros.tasks import Channels, TaskSpec

CHECKPOINT = "checkpoint"
CONFIG = "config.json"
CALIBRATION = "calibration.json"
_MEANING = ("name", "observation", "action", "goal", "rate_hz")
_PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "safetensors")


def checkpoint_folder(directory: Path) -> Path:
    """The checkpoint of a run's folder, which may be given itself."""
    return directory / CHECKPOINT if (directory / CHECKPOINT).is_dir() else directory


def recorded_name(folder: Path, task: TaskSpec) -> str:
    """The name that `make_goal_env` knows the environment of a checkpoint by.

    Raises
    ------
    ValueError
        If it was an environment object, which has no name.
    """
    record = _record(folder)
    if not record:
        return task.name.removesuffix("_velocity")
    if not record.get("task_name"):
        raise ValueError(f"{folder} was learned in an environment object, of task {task.name}: TDM.load(..., env=...)")
    return str(record["task_name"])


def recorded_noise(folder: Path) -> Noise | None:
    """The noise that a checkpoint was learned with."""
    noise = _record(folder).get("noise")
    return Noise(**noise) if noise else None


def _record(folder: Path) -> dict[str, Any]:
    config = folder.parent / CONFIG
    return json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}


def refuse_other_task(folder: Path, learned: TaskSpec, given: TaskSpec) -> None:
    """Raise unless what was learned for one task holds for the other.

    Raises
    ------
    ValueError
        If it does not; the message says in what they differ.
    """
    refuse_other_sizes(folder, learned, given.name, given.observation.size, given.goal.size, given.action.size)
    pairs = {name: (getattr(learned, name), getattr(given, name)) for name in _MEANING}
    parts = [name for name, (old, new) in pairs.items() if not _agree(old, new)]
    if parts:
        raise ValueError(
            f"{folder} was learned for {learned.fingerprint}, the environment is {given.fingerprint} "
            f"(another {', '.join(parts)}); give the environment that it was trained in"
        )


def refuse_other_sizes(folder: Path, learned: TaskSpec, name: str, observation: int, goal: int, action: int) -> None:
    """Raise unless an environment has the sizes, and if both are registered the id, of the task that was learned.

    Raises
    ------
    ValueError
        If it does not; the message says in what they differ.
    """
    remedy = "give the environment that it was trained in"
    for part, size in (("observation", observation), ("goal", goal), ("action", action)):
        old = getattr(learned, part).size
        if old != size:
            raise ValueError(
                f"{folder} was learned for task {learned.name} with {part}s of {old} numbers, task {name} has {size}; "
                f"{remedy}"
            )
    if learned.name != name and all(each.startswith("gym:") for each in (learned.name, name)):
        raise ValueError(f"{folder} was learned for {learned.name}, the environment is {name}; {remedy}")


def _agree(old: Any, new: Any) -> bool:
    """Whether two parts of a description mean the same; the numbers of channels may differ by rounding."""
    if not isinstance(old, Channels):
        return bool(old == new)
    words = all(getattr(old, key) == getattr(new, key) for key in ("names", "unit", "wrap"))
    return words and all(
        np.allclose(getattr(old, key), getattr(new, key), rtol=1e-6, atol=1e-9) for key in ("low", "high", "scale")
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that a crash leaves as it was or as it will be."""
    write_durably(path, json.dumps(content, indent=1))


def versions() -> dict[str, str]:
    """What was installed, for the record of a run."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"tdm_ros": tdm_ros.__version__, "python": platform.python_version(), **packages}
