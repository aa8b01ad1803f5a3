"""Reachability map: predicted distance of the hand after n steps, over a plane of goals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.training.reachability import predicted
from tdm_ros.training.states import as_states

Array = NDArray[np.float64]


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
