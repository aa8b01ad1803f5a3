"""Environments of the library: conversion of observations, preparation for learning, description in the run folder."""

from __future__ import annotations

import copy
import inspect
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

import tdm_ros
from tdm_ros.envs.goal_env import GoalEnv, make_env, wrap_env
from tdm_ros.envs.wrappers import KEYS, Noise, check_goal_env
from tdm_ros.files import write_durably
from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tasks.spec import HORIZON
from tdm_ros.training.arguments import described


class States(NamedTuple):
    """B states with a goal and a horizon each."""

    observation: NDArray[np.float32]
    """(B, O)"""
    achieved: NDArray[np.float32]
    """(B, G) [goal unit]"""
    goal: NDArray[np.float32]
    """(B, G) [goal unit]"""
    steps_left: NDArray[np.float32]
    """(B,) [steps]"""


def as_states(
    task: TaskSpec, observation: Mapping[str, ArrayLike], goal: ArrayLike | None, steps_left: ArrayLike
) -> tuple[States, bool]:
    """Check an observation of the environment, a goal and horizons, and broadcast them to one batch.

    The mapping has ``observation`` (O,) or (B, O), ``achieved_goal`` (G,) or (B, G) [goal unit] and, without ``goal``,
    ``desired_goal``. Returns the batch, and whether a single state was given. Raises ValueError if it is not such a
    mapping, an entry is missing, does not match the task's size, is not finite, or the batch sizes differ.
    """
    wanted = ["observation", "achieved_goal", *(["desired_goal"] if goal is None else [])]
    if not isinstance(observation, Mapping):
        pair = isinstance(observation, tuple) and observation and isinstance(observation[0], Mapping)
        got = "a tuple" if pair else described(observation)
        remedy = "the first part of it" if pair else "the first part of what reset or step of the environment returns"
        raise ValueError(f"the observation must be a dict with {', '.join(wanted)}, got {got}: give {remedy}")
    missing = [key for key in wanted if key not in observation]
    if missing:
        raise ValueError(f"the observation must be a dict with {', '.join(wanted)}; it lacks {', '.join(missing)}")
    arrays = [
        _vectors(observation["observation"], task.observation, "observation"),
        _vectors(observation["achieved_goal"], task.goal, "achieved_goal"),
        _vectors(observation["desired_goal"] if goal is None else goal, task.goal, "goal"),
        np.asarray(steps_left, np.float32)[..., None],
    ]
    single = all(array.ndim == 1 for array in arrays)
    try:
        (size,) = np.broadcast_shapes((1,), *(array.shape[:-1] for array in arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape[:-1]) for array in arrays)
        raise ValueError(
            f"observation, achieved_goal, goal and steps must be batches of one size, got {shapes}"
        ) from None
    observed, achieved, goals, steps = (np.broadcast_to(array, (size, array.shape[-1])) for array in arrays)
    return States(observed, achieved, goals, steps[:, 0]), single


def _vectors(values: ArrayLike, channels: Channels, what: str) -> NDArray[np.float32]:
    try:
        raw = np.asarray(values)
        array = raw.astype(np.float32) if raw.dtype.kind in "biufO" else None  # no strings, which numpy would convert
    except (TypeError, ValueError):  # lists of several lengths, or objects
        array = None
    if array is None:
        raise ValueError(f"{what} must be numbers, got {described(values)}")
    if array.ndim not in (1, 2) or array.shape[-1] != channels.size:
        raise ValueError(
            f"{what} must have shape ({channels.size},) or (B, {channels.size}) for "
            f"{', '.join(channels.names)}, got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, got {array.tolist()}")
    return array


def one_state(task: TaskSpec, observation: Mapping[str, ArrayLike], goal: ArrayLike | None) -> States:
    """Like `as_states`, for a single state: a batch of one.

    Raises ValueError as `as_states`, or if there are several states or goals.
    """
    states, _ = as_states(task, observation, goal, 0)
    if len(states.observation) != 1:
        raise ValueError(f"a plan is for one state and one goal, got a batch of {len(states.observation)}: plan each")
    return states


CHECKPOINT = "checkpoint"
CONFIG = "config.json"
CALIBRATION = "calibration.json"
_COMPARED = ("name", "observation", "action", "goal", "rate_hz")
_PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "safetensors")


def checkpoint_folder(directory: Path) -> Path:
    """Checkpoint of a run folder; a checkpoint folder is returned as it is."""
    return directory / CHECKPOINT if (directory / CHECKPOINT).is_dir() else directory


def recorded_name(folder: Path, task: TaskSpec) -> str:
    """Name of the environment of a checkpoint, as for `make_goal_env`.

    Raises ValueError if the agent was made from an environment object, which has no name.
    """
    record = _record(folder)
    if not record or "system" in record:  # of a live run
        return _name_of(task, str(record.get("arguments", {}).get("robot", "")))
    if not record.get("task_name"):
        raise ValueError(
            f"{folder} was trained in an environment object of task {task.name}: pass it, TDM.load(..., env=...)"
        )
    return str(record["task_name"])


def _name_of(task: TaskSpec, robot: str) -> str:
    """Name of the environment of a live task; ``robot`` is the argument of its system, which may be a file."""
    found = re.fullmatch(r"(.+)_(reach|push)_(velocity|torque|torque_low_damping)", task.name)
    if found is None:
        return task.name
    name, kind, actuation = found.groups()
    described = robot if robot.endswith(".yaml") else name
    return f"{kind}:{described}" + ("" if actuation == "velocity" else f":{actuation}")


def recorded_noise(folder: Path) -> Noise | None:
    noise = _record(folder).get("noise")
    return Noise(**noise) if noise else None


def _record(folder: Path) -> dict[str, Any]:
    config = folder.parent / CONFIG
    return json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}


def check_same_task(folder: Path | str, learned: TaskSpec, given: TaskSpec) -> None:
    """Raise ValueError with the parts in which the task of an environment differs from the learned one, if any."""
    check_same_sizes(folder, learned, given.name, given.observation.size, given.goal.size, given.action.size)
    pairs = {name: (getattr(learned, name), getattr(given, name)) for name in _COMPARED}
    parts = [name for name, (old, new) in pairs.items() if not _agree(old, new)]
    if parts:
        raise ValueError(
            f"{folder} was trained for {learned.fingerprint}, the environment is {given.fingerprint} "
            f"(different {', '.join(parts)}); give the environment that it was trained in"
        )


def check_same_sizes(
    folder: Path | str, learned: TaskSpec, name: str, observation: int, goal: int, action: int
) -> None:
    """Raise ValueError if an environment differs from the learned task in a size or, if both have one, in its id."""
    remedy = "give the environment that it was trained in"
    for part, size in (("observation", observation), ("goal", goal), ("action", action)):
        old = getattr(learned, part).size
        if old != size:
            raise ValueError(
                f"{folder} was trained for task {learned.name} with {part}s of {old} numbers, task {name} has {size}; "
                f"{remedy}"
            )
    if learned.name != name and all(each.startswith("gym:") for each in (learned.name, name)):
        raise ValueError(f"{folder} was trained for {learned.name}, the environment is {name}; {remedy}")


def _agree(old: Any, new: Any) -> bool:
    """Whether two parts of a task are equal; numbers of channels may differ by rounding."""
    if not isinstance(old, Channels):
        return bool(old == new)
    same = all(getattr(old, key) == getattr(new, key) for key in ("names", "unit", "wrap"))
    return same and all(
        np.allclose(getattr(old, key), getattr(new, key), rtol=1e-6, atol=1e-9) for key in ("low", "high", "scale")
    )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file; after a crash it has the old or the new content."""
    write_durably(path, json.dumps(content, indent=1))


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in _PACKAGES}
    return {"tdm_ros": tdm_ros.__version__, "python": platform.python_version(), **packages}


EnvSource = str | GoalEnv | tuple[GoalEnv, TaskSpec]


class PreparedEnv(NamedTuple):
    """Environment that is ready for learning."""

    env: GoalEnv
    """With actions in [-1, 1]."""
    task: TaskSpec
    given: GoalEnv
    """The environment itself, with its own action space."""
    name: str | None
    """Name of the environment as for `make_env`; None for an object."""


def prepare_env(
    source: EnvSource, horizon: int | None, noise: Noise | None, learned: tuple[Path | str, TaskSpec] | None = None
) -> PreparedEnv:
    """Check an environment, derive its task and scale its actions to [-1, 1].

    ``horizon`` and ``noise`` as for `wrap_env`. ``learned`` is a checkpoint, or a name for messages, and its task. It
    replaces a task that would be derived from spaces and resets, which can differ between machines; a task of the
    environment itself must match it. Raises ValueError if the environment is unknown, not goal-conditioned with a
    finite box of actions, or of another task than ``learned``.
    """
    if isinstance(source, str):
        outer, given, name = make_env(source), None, source
    else:
        outer, given = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
        name = _name(outer)
    check_goal_env(name, outer)
    if learned:
        folder, task = learned
        own = given or (outer.get_wrapper_attr("task") if outer.has_wrapper_attr("task") else None)
        if isinstance(own, TaskSpec):
            check_same_task(folder, task, own)
        else:
            space: Any = outer.observation_space
            sizes = [int(space[key].shape[0]) for key in KEYS[:2]] + [int(outer.action_space.shape[0])]  # type: ignore[index]
            check_same_sizes(folder, task, name, *sizes)
        given = replace(task, horizon=own.horizon if isinstance(own, TaskSpec) else HORIZON)
    env, task = wrap_env(outer, name, horizon, given, noise)
    return PreparedEnv(env, task, outer, source if isinstance(source, str) else None)


def prepare_test_env(source: EnvSource, task: TaskSpec, noise: Noise | None) -> GoalEnv:
    """Environment for evaluation that the caller has given, with actions in [-1, 1].

    Raises ValueError as `prepare_env`, or if it is of another task than ``task``.
    """
    try:
        return prepare_env(source, task.horizon, noise, ("the agent", task)).env
    except ValueError as error:
        raise ValueError(f"test_env cannot be used: {error}") from error


def copied_env(env: GoalEnv) -> GoalEnv:
    """A copy of an environment. It is not made anew from its ``spec``: that could connect to a robot a second time.

    Raises ValueError if it cannot be copied.
    """
    try:
        return copy.deepcopy(env)
    except Exception as error:
        raise ValueError(
            f"evaluation needs another environment than the training, and {_name(env)} cannot be copied ({error}): "
            "give TDM a test_env (the same object, if it is only evaluated between two calls of learn)"
        ) from error


def _name(env: Any) -> str:
    """Name for messages and tasks. Raises ValueError if it is not an environment."""
    if isinstance(env, gym.Env):
        return f"gym:{env.spec.id}" if env.spec else type(env.unwrapped).__name__
    if isinstance(env, type):
        got, remedy = f"the class {env.__name__}", f"call it, {env.__name__}()"
    elif hasattr(env, "num_envs"):
        got, remedy = f"a vector of {env.num_envs} environments", "give one of them"
    elif inspect.isroutine(env):
        got, remedy = described(env), "call it, and give what it returns"
    else:
        got, remedy = described(env), 'give a name such as "sawyer_reach" or "gym:FetchReach-v4", or an environment'
    raise ValueError(f"env must be a task name or a Gymnasium environment, got {got}: {remedy}")
