"""Who says where to go: nobody, the paper's rule, a planner, or the rule with planners."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning import GoalSpace, Model, Plan, SeenStates, Status, SubgoalPlanner
from tdm_ros.planning.model import predicted_misses
from tdm_ros.planning.plan import Pursuer, PursuitSettings
from tdm_ros.planning.problem import free_dimensions
from tdm_ros.planning.space import Mask
from tdm_ros.planning.states import farthest
from tdm_ros.tasks import TaskSpec, prompt
from tdm_ros.training.evaluation import PolicyInput

Array = NDArray[np.float32]
PLACED = 100
"""Seen states that a plan within a stage goes through."""
MOVED = 0.05
"""The puck in them is moved again when the puck has moved by more than this part of the goal scale."""


class PursuedSegment(NamedTuple):
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

    def subgoal(self, now: PolicyInput) -> tuple[Array, int]:
        """The goal of the moment, (G,) [goal unit], and ``steps_left`` [steps]."""

    def report(self) -> dict[str, Any]:
        """What is to be kept of the attempt: ``plan_cpu_ms``, ``segments``, ``statuses``, ``plans``."""


class Direct:
    """No planner: the goal itself, always, with whatever time there is."""

    def begin(self, goal: Array) -> None:
        self._goal = goal

    def subgoal(self, now: PolicyInput) -> tuple[Array, int]:
        return self._goal, now.steps_left

    def report(self) -> dict[str, Any]:
        return {}


class Rule:
    """The paper's rule of two stages: the hand to the puck until it is held; then both to the target."""

    def __init__(self, held: float) -> None:
        self._held = held

    def begin(self, goal: Array) -> None:
        self._goal = goal

    def subgoal(self, now: PolicyInput) -> tuple[Array, int]:
        return prompt(now.achieved, self._goal[2:], self._held), now.steps_left

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
        self.planner = planner
        self._pursuer = Pursuer(GoalSpace.of(planner.task), settings, self._free)
        self.extra_ms = 0.0
        """Processor time that was spent on what the next plan needs [ms]."""

    def begin(self, goal: Array) -> None:
        self.goal = goal
        self._cpu_ms: list[float] = []
        self._segments: list[PursuedSegment] = []
        self._statuses: dict[str, int] = {}
        self._first: dict[str, Any] = {}
        self.begin_again()

    def begin_again(self) -> None:
        """Drop the plan, and what the next one would begin with."""
        self._planned, self._from = False, self.goal
        self.planner.forget()
        self._pursuer.begin(Plan.none(Status.NO_EXPERIENCE, "nothing yet", len(self.goal)), 0, self.goal)

    def subgoal(self, now: PolicyInput) -> tuple[Array, int]:
        planner, pursuer, step = self.planner, self._pursuer, now.time
        for over in pursuer.advance(step, now.achieved):
            planner.executed(over.knot, over.reached)
            if self._planned:
                length = float(pursuer.space.distance(self._from, over.knot))
                self._segments.append(PursuedSegment(over.steps, over.predicted_miss, over.miss, length))
            self._from = now.achieved
        if pursuer.replan_reason(step, now.achieved):
            plan = planner.plan(now.observation, now.achieved, self.goal)
            if plan.usable or pursuer.plan is None:  # else the last one stands
                pursuer.begin(plan, step, now.achieved)
                self._planned, self._from = plan.status is Status.PLANNED, now.achieved
            self._cpu_ms.append(1e3 * plan.cpu_s + self.extra_ms)
            self.extra_ms = 0.0
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
        return not bool(self.planner.keep_out.crosses(start, end, self.planner.objective.margin))


class Staged:
    """The rule of two stages, with plans where it would not do: to the puck, and to a target that is far.

    Parameters
    ----------
    to_puck : Planned
        Says how the hand gets to the puck while that stays where it is.
    to_target : Planned
        Says how a puck that is held gets to a target that the rule is expected to miss by more than the goal scale.
    model : Model
        Says what the rule is expected to come to.
    states : SeenStates
        Seen states; the puck is moved to where it lies.
    held : float
        As `Rule`.
    """

    def __init__(self, to_puck: Planned, to_target: Planned, model: Model, states: SeenStates, held: float) -> None:
        self._parts = self._to_puck, self._to_target = to_puck, to_target
        self._model, self._states, self._held = model, states, held
        self._still = ~free_dimensions(to_puck.planner.task)

    def begin(self, goal: Array) -> None:
        self._target = goal[2:]
        for part in self._parts:
            part.begin(np.tile(self._target, 2))
        self._placed: Array | None = None
        self._now: Planned | None = None

    def subgoal(self, now: PolicyInput) -> tuple[Array, int]:
        wanted = prompt(now.achieved, self._target, self._held)
        part = self._part(now, wanted)
        if part is not self._now and part is not None:
            part.begin_again()
        self._now = part
        return part.subgoal(now) if part else (wanted, now.steps_left)

    def _part(self, now: PolicyInput, wanted: Array) -> Planned | None:
        """Whose it is to say where to go, ready for that; nobody's but the rule's: None."""
        planner, puck = self._to_puck.planner, now.achieved[2:]
        unit = GoalSpace.of(planner.task).unit
        if not np.array_equal(wanted[2:], puck):  # it is held
            here = now.observation[None], now.achieved[None], wanted[None]
            steps = np.arange(self._model.horizon + 1, dtype=np.float32)
            return self._to_target if predicted_misses(self._model, *here, steps, self._still).min() > unit else None
        self._to_puck.goal = wanted
        if self._placed is None or np.linalg.norm(puck - self._placed) > MOVED * unit:
            self._placed = puck
            began = time.thread_time()
            planner.learn(states=with_objects_at(self._states, planner.task, self._still, now.achieved, PLACED))
            self._to_puck.extra_ms = 1e3 * (time.thread_time() - began)
        return self._to_puck

    def report(self) -> dict[str, Any]:
        first, second = (part.report() for part in self._parts)
        statuses = {key: first["statuses"].get(key, 0) + second["statuses"].get(key, 0) for key in Status}
        return {
            "plan_cpu_ms": first["plan_cpu_ms"] + second["plan_cpu_ms"],
            "segments": first["segments"] + second["segments"],
            "statuses": {key.value: count for key, count in statuses.items() if count},
            "plan": first["plan"],
        }


def with_objects_at(states: SeenStates, task: TaskSpec, still: Mask, achieved: Array, count: int) -> SeenStates:
    """Up to ``count`` states with objects moved to where they lie now.

    An object is rarely seen exactly where it lies now with the rest of the state anywhere. The critics decide which
    of the combined states are reachable without touching it.

    Parameters
    ----------
    states : SeenStates
    task : TaskSpec
    still : (G,) bool
        Goal dimensions of the objects' positions; the observation must have channels of the same names.
    achieved : (G,) [goal unit]
        Present positions of the objects; other dimensions are ignored.
    count : int
        Number of states, spread over the other dimensions.

    Raises
    ------
    ValueError
        If the observation lacks one of these channels.
    """
    names = [name for name, lies in zip(task.goal.names, still, strict=True) if lies]
    lacking = [name for name in names if name not in task.observation.names]
    if lacking:
        raise ValueError(f"observations of {task.name} lack the channels {', '.join(lacking)} of the objects")
    spread = farthest((states.achieved * states.space.weight)[:, ~still], min(count, len(states)))
    observation, place = states.observation[spread], states.achieved[spread]
    observation[:, [task.observation.names.index(name) for name in names]] = achieved[still]
    place[:, still] = achieved[still]
    return SeenStates(observation, place, states.space, states.posture)
