"""Attempts at a case: what is done about where to go next, what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.planning_cases import PlanningCase
from benchmarks.planning_geometric import shortest_path
from benchmarks.planning_guides import Guide
from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.planning import KeepOut
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import Purpose
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.evaluation import PolicyInput

Array = NDArray[np.float32]
HAIR = 1.25
"""The shortest way keeps so many times the distance from walls at which they are touched."""


@dataclass(frozen=True)
class PlanningAttempt:
    """What came of one.

    Parameters
    ----------
    episode : int
    distance : float
        At the end, by the task's score [goal unit].
    start : float
        At the beginning [goal unit].
    violated : int
        Steps at which the hand was inside a region [steps].
    length : float
        Of the hand's way [goal unit].
    shortest : float or None
        Length of the shortest way there is, where that is known [goal unit].
    first : int or None
        Step from which on the distance stayed within the case's success [steps].
    guide : dict
        From `Guide.report`.
    path : (T + 1, G) list
        Points of goal space [goal unit]; empty unless asked for.
    """

    episode: int
    distance: float
    start: float
    violated: int
    length: float
    shortest: float | None
    first: int | None
    guide: dict[str, Any] = field(default_factory=dict)
    path: list[list[float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def attempt(
    case: PlanningCase,
    env: GoalEnv,
    task: TaskSpec,
    actor: NumpyActor,
    guide: Guide,
    where: tuple[Purpose, int, int],
    keep_path: bool = False,
) -> PlanningAttempt:
    """Carry out one attempt with the policy, under ``guide``.

    Parameters
    ----------
    case : PlanningCase
    env : GoalEnv
    task : TaskSpec
    actor : NumpyActor
    guide : Guide
    where : (Purpose, int, int)
        Stream, seed and number of its start and goal.
    keep_path : bool
    """
    seen, goal = case.begin(env, *where)
    guide.begin(goal)
    path = [seen["achieved_goal"].copy()]
    for step in range(case.steps):
        now = PolicyInput(seen["observation"], seen["achieved_goal"], goal, case.steps - 1 - step, step)
        subgoal, steps_left = guide.subgoal(now)
        seen = env.step(actor.act(now.observation, now.achieved, subgoal, steps_left))[0]
        path.append(seen["achieved_goal"].copy())
    points = np.array(path)
    distances = np.asarray(task.distance(points, goal))
    outside = np.flatnonzero(distances[1:] > case.success)
    first = 0 if not len(outside) else int(outside[-1]) + 1
    hand = points[:, _hand(task)]
    return PlanningAttempt(
        where[2],
        float(distances[-1]),
        float(distances[0]),
        int(keep_out_of(case).contains(points[1:]).sum()),
        float(np.linalg.norm(np.diff(hand, axis=0), axis=1).sum()),
        shortest_of(case, points[0], goal),
        first + 1 if first < case.steps else None,
        guide.report(),
        points.tolist() if keep_path else [],
    )


def way_of(case: PlanningCase, start: ArrayLike, goal: ArrayLike) -> NDArray[np.float64]:
    """The shortest way around the walls of a case, (n, 2) [goal unit], with a hair's breadth to them."""
    walls = KeepOut(np.array(case.walls), (0, 1))
    margin = max(min(HAIR * case.clear, float(walls.clearance([start, goal]).min()) - 1e-4), 0.0)
    if not walls.crosses(start, goal, margin):
        return np.array([start, goal], np.float64)
    return shortest_path(start, goal, walls.boxes, margin)


def shortest_of(case: PlanningCase, start: ArrayLike, goal: ArrayLike) -> float | None:
    """Its length, where there are walls in a plane [goal unit]."""
    if not case.walls:
        return None
    return float(np.linalg.norm(np.diff(way_of(case, start, goal), axis=0), axis=1).sum())


def _hand(task: TaskSpec) -> list[int]:
    """The goal dimensions that say where the hand, or whatever moves, is: x, y and z before any others."""
    names = [name.removeprefix("hand_") for name in task.goal.names]
    return [names.index(axis) for axis in ("x", "y", "z") if axis in names]


def keep_out_of(case: PlanningCase) -> KeepOut:
    """The case's regions as a plan takes them."""
    if not case.keep_out:
        return KeepOut()
    return KeepOut(np.array(case.keep_out), tuple(range(len(case.keep_out[0][0]))))
