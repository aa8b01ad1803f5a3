"""Predicted distance to a goal after n steps, its uncertainty, and a map over a plane of goals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.training.environment import States, as_states

LEVEL = 0.9
"""Part of the outcomes that is meant to lie between ``low`` and ``high``."""
_Z = 1.645
"""Half the width of that interval of a normal distribution [standard deviations]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reachability:
    """What is expected of going for a goal; one number each, or (B,).

    Parameters
    ----------
    distance : float
        The distance that will be left, by the task's `TaskSpec.distance` [goal unit]. Calibrated: its median.
    low, high : float
        Nine of ten outcomes lie between them, if calibrated; else 1.645 ``std`` around ``distance``, which says only
        how much the critics differ, and is nearly always too narrow [goal unit].
    std : float
        How far apart the critics' predicted points are: their standard deviation around their mean, 0 with a single
        critic [goal unit].
    calibrated : bool
        Whether the predictions were compared with what was reached (`TDM.calibrate`).
    """

    distance: Any
    low: Any
    high: Any
    std: Any
    calibrated: bool

    def single(self) -> Reachability:
        """The only entry of a batch of one."""
        return Reachability(
            float(self.distance[0]), float(self.low[0]), float(self.high[0]), float(self.std[0]), self.calibrated
        )


@dataclass(frozen=True)
class Bounds:
    """How outcomes lie around predictions, for H horizons; between two of them it is interpolated.

    An outcome is ``predicted + r * (std + floor)``; ``low``, ``middle`` and ``high`` are quantiles of ``r``.

    Parameters
    ----------
    steps_left : tuple of int, length H
        Ascending [steps].
    floor : tuple of float, length H
        Typical ``std`` at that horizon, so that critics that happen to agree are not taken for certain [goal unit].
    low, middle, high : tuple of float, length H
    """

    steps_left: tuple[int, ...]
    floor: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]

    def around(self, predicted: Array, std: Array, steps_left: Array) -> tuple[Array, Array, Array]:
        """Low, middle and high outcome, (B,) each [goal unit]; a distance is never negative."""
        width = std + np.interp(steps_left, self.steps_left, self.floor)
        low, middle, high = (
            np.maximum(0.0, predicted + np.interp(steps_left, self.steps_left, quantile) * width)
            for quantile in (self.low, self.middle, self.high)
        )
        return low, middle, high

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Bounds:
        """Rebuild from `to_json` data."""
        return cls(**{key: tuple(value) for key, value in data.items()})


def predicted(agent: TdmAgent, task: TaskSpec, states: States) -> tuple[Array, Array]:
    """The distance that the critics expect, their mean, and the spread of their points: (B,), (B,) [goal unit].

    Raises
    ------
    ValueError
        If the critics predict no points (`TdmConfig.critic` "unstructured").
    """
    points = agent.predict(*states).astype(np.float64)
    distance = np.asarray(task.distance(points, states.goal)).mean(axis=0)
    middle = points[0] + task.goal.difference(points, points[:1]).mean(axis=0)
    std = np.sqrt(np.square(task.distance(points, middle)).mean(axis=0))
    return distance, std


def reachability(agent: TdmAgent, task: TaskSpec, states: States, bounds: Bounds | None) -> Reachability:
    """What to expect of going for B goals; without ``bounds``, what the critics say.

    Raises
    ------
    ValueError
        If the critics predict no points.
    """
    distance, std = predicted(agent, task, states)
    if bounds is None:
        return Reachability(distance, np.maximum(0.0, distance - _Z * std), distance + _Z * std, std, False)
    low, middle, high = bounds.around(distance, std, states.steps_left.astype(np.float64))
    return Reachability(middle, low, high, std, True)


def reach_map(
    agent: TdmAgent, task: TaskSpec, observation: ArrayLike, achieved: ArrayLike, height: float, steps: int, cells: int
) -> tuple[Array, Array]:
    """Predicted final distance to the goals of a horizontal grid over the box that goals are drawn from.

    Parameters
    ----------
    agent : TdmAgent
    task : TaskSpec
        Its goal is a place, x y z [m].
    observation, achieved : (O,), (3,) [m]
        The state from which it goes.
    height : float
        z of the plane [m].
    steps : int
        Actions from now on, 1 to the horizon plus 1; more is as many [steps].
    cells : int
        Along each side.

    Returns
    -------
    goals, distance : (cells**2, 3), (cells**2,) [m]
        Middles of the cells; not calibrated.

    Raises
    ------
    ValueError
        If goals are no places, or the critics predict no points.
    """
    low, high = np.array(task.goal.low), np.array(task.goal.high)
    if len(low) != 3 or not np.isfinite([low, high]).all():
        raise ValueError(f"goals must be places x y z in a box, got {task.goal.names}")
    middles = [low[a] + (np.arange(cells) + 0.5) * (high[a] - low[a]) / cells for a in (0, 1)]
    x, y = np.meshgrid(*middles)
    goals = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1)
    left = min(max(steps, 1), task.horizon + 1) - 1
    states, _ = as_states(task, {"observation": observation, "achieved_goal": achieved}, goals, np.full(x.size, left))
    return goals, predicted(agent, task, states)[0]
