"""Attempts at a case: who says where to go next, what is done about it, what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.planning_cases import PlanningCase
from tdm_ros.planning import GoalSpace, KeepOut, Plan, Status, SubgoalPlanner
from tdm_ros.planning.execution import Pursuer, PursuitSettings
from tdm_ros.planning.geometric import shortest_way
from tdm_ros.sim.goal_env import GoalEnv
from tdm_ros.tasks import TaskSpec, ask
from tdm_ros.tasks.seeds import Purpose
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.training.episode import Situation

Array = NDArray[np.float32]
HAIR = 1.25
"""The shortest way keeps so many times the distance from walls at which they are touched."""


class Segment(NamedTuple):
    """One stretch of a plan that was carried out."""

    steps: int
    """[steps]"""
    predicted: float
    """Distance from its knot that the worst critic expected when it began [goal unit]."""
    reached: float
    """Distance from it when it was over [goal unit]."""
    length: float
    """Distance of the knot when it began [goal unit]."""


class Guide(Protocol):
    """Says at every step where to go, and how much time there is."""

    def begin(self, goal: Array) -> None:
        """Take a new goal, (G,) [goal unit]."""

    def ask(self, now: Situation) -> tuple[Array, int]:
        """The goal of the moment, (G,) [goal unit], and ``steps_left`` [steps]."""

    def report(self) -> dict[str, Any]:
        """What is to be kept of the attempt: ``plan_cpu_ms``, ``segments``, ``statuses``, ``plans``."""


@dataclass(frozen=True)
class Attempt:
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
) -> Attempt:
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
    for time in range(case.steps):
        now = Situation(seen["observation"], seen["achieved_goal"], goal, case.steps - 1 - time, time)
        subgoal, steps_left = guide.ask(now)
        seen = env.step(actor.act(now.observation, now.achieved, subgoal, steps_left))[0]
        path.append(seen["achieved_goal"].copy())
    points = np.array(path)
    distances = np.asarray(task.distance(points, goal))
    outside = np.flatnonzero(distances[1:] > case.success)
    first = 0 if not len(outside) else int(outside[-1]) + 1
    hand = points[:, _hand(task)]
    return Attempt(
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
    return shortest_way(start, goal, walls.boxes, margin)


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


class Direct:
    """No planner: the goal itself, always, with whatever time there is."""

    def begin(self, goal: Array) -> None:
        self._goal = goal

    def ask(self, now: Situation) -> tuple[Array, int]:
        return self._goal, now.steps_left

    def report(self) -> dict[str, Any]:
        return {}


class Rule:
    """The paper's rule of two stages: the hand to the puck until it is held; then both to the target."""

    def __init__(self, held: float) -> None:
        self._held = held

    def begin(self, goal: Array) -> None:
        self._goal = goal

    def ask(self, now: Situation) -> tuple[Array, int]:
        return ask(now.achieved, self._goal[2:], self._held), now.steps_left

    def report(self) -> dict[str, Any]:
        return {}


class Planned:
    """Goes by plans: pursues their knots one after the other, plans anew by schedule or when it leaves the plan.

    Parameters
    ----------
    planner : SubgoalPlanner
    settings : PursuitSettings
    """

    def __init__(self, planner: SubgoalPlanner, settings: PursuitSettings) -> None:
        self._planner = planner
        self._pursuer = Pursuer(GoalSpace.of(planner.task), settings, self._free)

    def begin(self, goal: Array) -> None:
        self._goal = goal
        self._cpu_ms: list[float] = []
        self._segments: list[Segment] = []
        self._statuses: dict[str, int] = {}
        self._first: dict[str, Any] = {}
        self._planned, self._from = False, goal
        self._planner.forget()
        self._pursuer.begin(Plan.none(Status.NO_EXPERIENCE, "nothing yet", len(goal)), 0, goal)

    def ask(self, now: Situation) -> tuple[Array, int]:
        planner, pursuer, step = self._planner, self._pursuer, now.time
        for over in pursuer.advance(step, now.achieved):
            planner.executed(over.knot, over.reached)
            if self._planned:
                length = float(pursuer.space.distance(self._from, over.knot))
                self._segments.append(Segment(over.steps, over.predicted_miss, over.miss, length))
            self._from = now.achieved
        if pursuer.due(step, now.achieved):
            plan = planner.plan(now.observation, now.achieved, self._goal)
            if plan.usable or pursuer.plan is None:  # else the last one stands
                pursuer.begin(plan, step, now.achieved)
                self._planned, self._from = plan.status is Status.PLANNED, now.achieved
            self._cpu_ms.append(1e3 * plan.cpu_s)
            self._statuses[plan.status.value] = self._statuses.get(plan.status.value, 0) + 1
            if step == 0:
                self._first = {"knots": plan.knots.tolist(), "predicted_miss": plan.predicted_miss.tolist()}
        target = pursuer.target(step)
        if target is None:  # nothing to pursue: stay
            return now.achieved, 0
        return target.knot, target.steps_left

    def report(self) -> dict[str, Any]:
        return {
            "plan_cpu_ms": self._cpu_ms,
            "segments": [list(segment) for segment in self._segments],
            "statuses": self._statuses,
            "plan": self._first,
        }

    def _free(self, start: Array, end: Array) -> bool:
        return not bool(self._planner.keep_out.crosses(start, end, self._planner.objective.margin))


class Staged(Planned):
    """Goes by plans within each stage of the rule: hand and puck to where the puck lies; then both to the target.

    Parameters
    ----------
    planner, settings
        As `Planned`; all goal dimensions should count.
    held : float
        As `Rule`.
    """

    def __init__(self, planner: SubgoalPlanner, settings: PursuitSettings, held: float) -> None:
        super().__init__(planner, settings)
        self._held = held

    def begin(self, goal: Array) -> None:
        super().begin(goal)
        self._target = goal[2:]

    def ask(self, now: Situation) -> tuple[Array, int]:
        self._goal = np.tile(ask(now.achieved, self._target, self._held)[2:], 2)
        return super().ask(now)
