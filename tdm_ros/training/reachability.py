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
"""Nominal fraction of the results between ``low`` and ``high``."""
_Z = 1.645
"""Half the width of that interval for a normal distribution [standard deviations]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reachability:
    """Predicted final distance to a goal; one number each, or (B,).

    Without calibration the interval is the difference of the critics alone, and nearly always too narrow.
    """

    distance: Any  # final distance by `TaskSpec.distance` [goal unit]; the median, if calibrated
    low: Any  # interval of nine of ten results, if calibrated; else 1.645 ``std`` around ``distance`` [goal unit]
    high: Any
    std: Any  # standard deviation of the critics' points around their mean; 0 with a single critic [goal unit]
    calibrated: bool  # `TDM.calibrate` has compared the predictions with reached distances

    def single(self) -> Reachability:
        """The only entry of a batch of one."""
        return Reachability(
            float(self.distance[0]), float(self.low[0]), float(self.high[0]), float(self.std[0]), self.calibrated
        )


@dataclass(frozen=True)
class Bounds:
    """Distribution of the results around the predictions, for H horizons; interpolated between them.

    A result is ``predicted + r * (std + floor)``; ``low``, ``middle`` and ``high`` are quantiles of ``r``.
    """

    steps_left: tuple[int, ...]  # ascending [steps]
    floor: tuple[float, ...]  # typical ``std``, so that the width is positive where critics agree [goal unit]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]

    def around(self, predicted: Array, std: Array, steps_left: Array) -> tuple[Array, Array, Array]:
        """Low, middle and high result, (B,) each [goal unit], not negative."""
        width = std + np.interp(steps_left, self.steps_left, self.floor)
        low, middle, high = (
            np.maximum(0.0, predicted + np.interp(steps_left, self.steps_left, quantile) * width)
            for quantile in (self.low, self.middle, self.high)
        )
        return low, middle, high

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Bounds:
        return cls(**{key: tuple(value) for key, value in data.items()})


def predicted(agent: TdmAgent, task: TaskSpec, states: States) -> tuple[Array, Array]:
    """Mean distance that the critics predict, and standard deviation of their points: (B,), (B,) [goal unit].

    Raises ValueError if the critics do not predict points (`TdmConfig.critic` "unstructured").
    """
    points = agent.predict(*states).astype(np.float64)
    distance = np.asarray(task.distance(points, states.goal)).mean(axis=0)
    middle = points[0] + task.goal.difference(points, points[:1]).mean(axis=0)
    std = np.sqrt(np.square(task.distance(points, middle)).mean(axis=0))
    return distance, std


def reachability(agent: TdmAgent, task: TaskSpec, states: States, bounds: Bounds | None) -> Reachability:
    """Predicted final distances of B goals; not calibrated without ``bounds``.

    Raises ValueError if the critics do not predict points.
    """
    distance, std = predicted(agent, task, states)
    if bounds is None:
        return Reachability(distance, np.maximum(0.0, distance - _Z * std), distance + _Z * std, std, False)
    low, middle, high = bounds.around(distance, std, states.steps_left.astype(np.float64))
    return Reachability(middle, low, high, std, True)


def reachability_map(
    agent: TdmAgent, task: TaskSpec, observation: ArrayLike, achieved: ArrayLike, height: float, steps: int, cells: int
) -> tuple[Array, Array]:
    """Predicted final distance to the goals of a horizontal grid over the goal box; not calibrated.

    For a task with goals x y z [m], from one state, ``observation`` (O,) and ``achieved`` (3,) [m]. ``height`` is the z
    of the plane [m], ``steps`` the number of actions, limited to 1 .. horizon plus 1, ``cells`` the number per side.
    Returns the centres of the cells, (cells**2, 3), and the distances, (cells**2,) [m]. Raises ValueError if goals are
    not points x y z, or the critics do not predict points.
    """
    low, high = np.array(task.goal.low), np.array(task.goal.high)
    if len(low) != 3 or not np.isfinite([low, high]).all():
        raise ValueError(f"goals must be points x y z in a box, got {task.goal.names}")
    middles = [low[a] + (np.arange(cells) + 0.5) * (high[a] - low[a]) / cells for a in (0, 1)]
    x, y = np.meshgrid(*middles)
    goals = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1)
    left = min(max(steps, 1), task.horizon + 1) - 1
    states, _ = as_states(task, {"observation": observation, "achieved_goal": achieved}, goals, np.full(x.size, left))
    return goals, predicted(agent, task, states)[0]
