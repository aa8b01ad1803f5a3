"""Time for a knot: the shortest horizon whose predicted distance suffices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning.model import Model
from tdm_ros.planning.space import Array, Mask


def misses(
    model: Model, observation: Array, achieved: Array, goal: Array, horizons: Array, dims: Mask | None = None
) -> Array:
    """Predicted miss of E reaches for each of H horizons, by the worst member: (E, H) [goal unit].

    Parameters
    ----------
    model : Model
    observation : (E, O)
    achieved, goal : (E, G) [goal unit]
    horizons : (H,) [steps]
    dims : (G,) bool, optional
        As `Model.miss`.
    """
    count = len(horizons)
    rows = [np.repeat(part, count, axis=0) for part in (observation, achieved, goal)]
    return model.miss(rows[0], rows[1], rows[2], np.tile(horizons, len(goal)), dims).reshape(-1, count)


def quickest(
    model: Model, observation: Array, achieved: Array, goal: Array, most: int, slack: float, dims: Mask | None = None
) -> tuple[NDArray[np.int64], Array]:
    """The shortest time of each reach in which it is promised to miss by no more than ``slack`` beyond the best.

    A policy that has more time than it needs may take any way; one that has to hurry goes straight.

    Parameters
    ----------
    model, observation, achieved, goal, dims
        As `misses`.
    most : int
        Steps that are to be had, at least 1 [steps].
    slack : float
        [goal unit]

    Returns
    -------
    steps : (E,) int
        From 1 to ``most`` [steps].
    miss : (E,) float32
        What is promised then [goal unit].
    """
    miss = misses(model, observation, achieved, goal, np.arange(most, dtype=np.float32), dims)
    chosen = np.argmax(miss <= miss.min(axis=1, keepdims=True) + slack, axis=1)
    return (chosen + 1).astype(np.int64), np.take_along_axis(miss, chosen[:, None], axis=1)[:, 0]
