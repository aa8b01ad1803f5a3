"""Planning without a learned model: straight lines at constant speed, and the exact shortest path around boxes."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import dijkstra

from tdm_ros.planning.model import Model, Pull
from tdm_ros.planning.space import Array, GoalSpace, KeepOut
from tdm_ros.replay import TrajectoryStore


class StraightLines(Model):
    """Model of motion in a straight line at constant speed, from any state.

    With it every optimiser is a purely geometric planner: the baseline for the learned model. It is exact for a point
    that moves in this way.

    Parameters
    ----------
    space : GoalSpace
    horizon : int
        Largest ``steps_left`` [steps].
    step : float
        Distance that one step covers [goal unit].

    Raises
    ------
    ValueError
        If ``step`` is not positive.
    """

    def __init__(self, space: GoalSpace, horizon: int, step: float) -> None:
        if not step > 0:
            raise ValueError(f"step must be positive [goal unit], got {step}")
        self.space, self.horizon, self.step = space, horizon, float(step)

    @classmethod
    def measured(cls, store: TrajectoryStore, horizon: int, quantile: float = 0.95) -> StraightLines:
        """Model with the given quantile of the speeds over ``horizon + 1`` steps of the stored trajectories.

        Raises
        ------
        ValueError
            If no stored trajectory is that long and moves.
        """
        space = GoalSpace.of(store.task)
        index = np.arange(store.total - len(store), store.total - horizon)
        index = index[store.end_of(index) > index + horizon]
        start, end = store.column("achieved", index), store.column("next_achieved", index + horizon)
        distances = space.distance(end, start)
        if not len(distances) or not distances.max() > 0:
            raise ValueError(f"the store must hold motion over {horizon + 1} steps to measure a speed; it holds none")
        return cls(space, horizon, float(np.quantile(distances, quantile)) / (horizon + 1))

    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        return self.linearise(observation, achieved, goal, steps_left)[0]

    def linearise(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> tuple[Array, Pull]:
        space, weight = self.space, self.space.weight
        offset = space.gap(goal, achieved)
        length = np.maximum(np.sqrt(np.einsum("bg,bg->b", offset, offset)), 1e-12)[:, None]
        reach = (np.float32(self.step) * (steps_left + 1))[:, None]
        short = length > reach
        part = np.where(short, reach / length, 1.0).astype(np.float32)
        points = np.where(short, achieved + part * space.difference(goal, achieved), goal)

        def pull(slope: Array) -> tuple[Array, Array]:
            along = slope[0] / weight
            ahead = offset / length
            across = part * (along - ahead * np.einsum("bg,bg->b", along, ahead)[:, None]) * weight
            there = np.where(short, across, slope[0])
            return np.where(short, slope[0] - across, 0), there

        return points[None].astype(np.float32), pull


def shortest_path(start: ArrayLike, goal: ArrayLike, boxes: ArrayLike, margin: float = 0.0) -> NDArray[np.float64]:
    """Exact shortest path around boxes in the plane, over their corners.

    Parameters
    ----------
    start, goal : (2,) [m]
    boxes : (K, 2, 2) [m]
        Lower and upper corners.
    margin : float
        Distance by which the boxes are grown [m].

    Returns
    -------
    (n, 2)
        Points from start to goal with the corners between; (0, 2) if there is no path.

    Notes
    -----
    A shortest path around polygons bends only at their corners: it is a shortest path in the visibility graph.
    """
    grown = np.asarray(boxes, np.float64).reshape(-1, 2, 2) + np.array([[-margin], [margin]])
    keep_out = KeepOut(grown, (0, 1))
    corners = [(box[i, 0], box[j, 1]) for box in grown for i, j in product((0, 1), repeat=2)]
    points = np.array([start, goal, *corners], np.float64)
    first, second = np.triu_indices(len(points), 1)
    clear = ~keep_out.crosses(points[first], points[second])
    lengths = np.zeros((len(points), len(points)))
    lengths[first, second] = np.where(clear, np.linalg.norm(points[first] - points[second], axis=1), 0)
    far, before = dijkstra(lengths, directed=False, indices=0, return_predecessors=True)
    if not np.isfinite(far[1]):
        return np.zeros((0, 2))
    path = [1]
    while path[-1] != 0:
        path.append(int(before[path[-1]]))
    return points[path[::-1]]
