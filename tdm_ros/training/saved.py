"""The folder of an agent beside its tensors: which environment it was, and whether another will do."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tdm_ros
from tdm_ros.sim.noise import Noise
from tdm_ros.tasks import TaskSpec

CHECKPOINT = "checkpoint"
CONFIG = "config.json"
CALIBRATION = "calibration.json"
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
    if learned.fingerprint == given.fingerprint:
        return
    for part in ("observation", "action", "goal"):
        old, new = getattr(learned, part), getattr(given, part)
        if old.size != new.size:
            raise ValueError(
                f"{folder} was learned for task {learned.name} with {part}s of {old.size} numbers, task "
                f"{given.name} has {new.size}; give the environment that it was trained in"
            )
    parts = ("name", "observation", "action", "goal", "rate_hz")
    differ = ", ".join(part for part in parts if getattr(learned, part) != getattr(given, part))
    raise ValueError(
        f"{folder} was learned for {learned.fingerprint}, the environment is {given.fingerprint} (another {differ}); "
        "give the environment that it was trained in"
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that a crash leaves as it was or as it will be."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(part, path)


def versions() -> dict[str, str]:
    """What was installed, for the record of a run."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"tdm_ros": tdm_ros.__version__, "python": platform.python_version(), **packages}
