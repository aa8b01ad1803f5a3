"""Observations that a caller of the library passes, one or many: checked, and as a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks import Channels, TaskSpec


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
    """Check a dict observation of the environment, a goal and horizons, and broadcast them to one batch.

    Parameters
    ----------
    task : TaskSpec
    observation : mapping
        ``observation`` (O,) or (B, O), ``achieved_goal`` (G,) or (B, G) [goal unit] and, where ``goal`` is left out,
        ``desired_goal``.
    goal : (G,) or (B, G) [goal unit], optional
    steps_left : int or (B,) [steps]

    Returns
    -------
    States, bool
        The batch, and whether one single state was given.

    Raises
    ------
    ValueError
        If an entry is missing, has another size than the task's, is not finite, or the batches do not go together.
    """
    wanted = ["observation", "achieved_goal", *(["desired_goal"] if goal is None else [])]
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
    array = np.asarray(values, np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != channels.size:
        raise ValueError(
            f"{what} must have shape ({channels.size},) or (B, {channels.size}) for "
            f"{', '.join(channels.names)}, got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, got {array.tolist()}")
    return array
