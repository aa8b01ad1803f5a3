"""Who says where to go: no planner, a rule, planners with and without a learned model, the exact way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.planning_attempts import HAIR, keep_out_of, way_of
from benchmarks.planning_cases import PlanningCase
from benchmarks.planning_geometric import StraightLines
from benchmarks.planning_guides import Direct, Guide, Planned, Rule, Staged
from tdm_ros.planning import (
    GoalSpace,
    KeepOut,
    Model,
    Objective,
    Plan,
    PlannerSettings,
    ReachModel,
    SeenStates,
    Status,
    SubgoalPlanner,
)
from tdm_ros.planning.plan import PursuitSettings
from tdm_ros.planning.problem import free_dimensions
from tdm_ros.replay import TrajectoryStore
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor

STATES = 1000
"""Seen states that a planner gets."""
THROUGH = PursuitSettings(replan_steps=1_000_000, passed=0.0, off_plan=float("inf"))
STAGED_REPLAN_STEPS = 3
"""A thing that is pushed goes its own way."""
TO_PUCK = {"neighbours": 12, "entries": 40, "strict": 0.25}
TO_TARGET = {"neighbours": 60, "entries": 120, "strict": 0.25}
UNCONSTRAINED = {"multiplier": 0.0, "acceptable": float("inf")}


@dataclass(frozen=True)
class Method:
    """One way to get there.

    Parameters
    ----------
    about : str
        For the reader of the table.
    optimiser : str
        Name in `OPTIMISERS`; "" for none.
    model : "learned", "straight" or "straight_in_score"
        What is believed: the critics; straight lines in goal space; or in those of its dimensions that the score names.
    objective : dict
        What is changed in the case's objective.
    known_walls : bool
        Whether the planner has the walls as regions.
    through : bool
        Whether each knot is gone for until its time is over, however near it is: what a plan promises is for then.
    staged : bool
        Whether it plans within the stages of the paper's rule, see `Staged`, and not for the target from the start.
    """

    about: str
    optimiser: str = ""
    model: str = "learned"
    objective: dict[str, Any] = field(default_factory=dict)
    known_walls: bool = False
    through: bool = False
    staged: bool = False


METHODS: dict[str, Method] = {
    "none": Method("no planner: the policy goes for the goal"),
    "rule": Method("the paper's rule of two stages"),
    "geometric": Method("graph over straight lines, no TDM", "graph", "straight"),
    "geometric_told": Method("the same, with known walls", "graph", "straight", known_walls=True),
    "geometric_hand": Method("graph over straight lines of the hand alone", "graph", "straight_in_score"),
    "exact": Method("the shortest path, with known walls", "exact", known_walls=True),
    "graph": Method("graph", "graph"),
    "graph_staged": Method("the rule, with graph plans where it would not do", "graph", staged=True),
    "cem": Method("CEM", "cem"),
    "mppi": Method("MPPI", "mppi"),
    "gradient": Method("gradient", "gradient"),
    "graph_through": Method("graph, each knot until its time is over", "graph", through=True),
    "cem_through": Method("CEM, each knot until its time is over", "cem", through=True),
    "graph_free": Method("graph, without the feasibility", "graph", objective=UNCONSTRAINED),
    "cem_free": Method("CEM, without the feasibility", "cem", objective=UNCONSTRAINED),
    "cem_explicit": Method("CEM, explicit form", "cem", objective={"formulation": "explicit"}),
    "cem_final": Method("CEM, a single knot", "cem", objective={"formulation": "final_state"}),
}
"""By name."""


def make_guide(
    name: str, case: PlanningCase, task: TaskSpec, actor: NumpyActor, store: TrajectoryStore, seed: int
) -> Guide:
    """Make a method ready for a case.

    Raises
    ------
    ValueError
        If there is no such method, or it does not apply to the case.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    method = METHODS[name]
    if not method.optimiser:
        if name == "rule" and not case.rule:
            raise ValueError(f"the rule is for pushing, not for {case.task}")
        return Rule(case.rule) if name == "rule" else Direct()
    if method.optimiser == "exact":
        return Planned(ShortestWay(task, case), PursuitSettings.for_task(task))
    changes = {**case.objective, **method.objective}
    keep_out = keep_out_of(case)
    if method.known_walls:
        keep_out = KeepOut(np.array(case.walls), (0, 1))
        changes["margin"] = HAIR * case.clear
    if method.staged:  # to hold, because nothing good is promised, would not bring back a puck that got away
        changes["acceptable"] = GoalSpace.of(task).unit
    objective = Objective.for_task(task, **changes)
    model = _model(method, task, actor, store)
    states = SeenStates.from_store(store, STATES, np.random.default_rng(np.random.SeedSequence([11, seed])))

    def planner(options: dict[str, Any]) -> SubgoalPlanner:
        made = SubgoalPlanner(
            task, PlannerSettings(method.optimiser, objective, options, seed, all_dimensions=method.staged)
        )
        made.keep_out = keep_out
        made.learn(model, states)
        return made

    if method.staged:
        pursuit = PursuitSettings.for_task(task, STAGED_REPLAN_STEPS)
        parts = [Planned(planner(options), pursuit) for options in (TO_PUCK, TO_TARGET)]
        return Staged(parts[0], parts[1], model, states, case.rule)
    return Planned(planner({}), THROUGH if method.through else PursuitSettings.for_task(task))


class ShortestWay(SubgoalPlanner):
    """Hands out the corners of the shortest way, each with the time that it takes at full speed."""

    def __init__(self, task: TaskSpec, case: PlanningCase) -> None:
        super().__init__(task, PlannerSettings(objective=Objective.for_task(task, margin=case.clear)))
        self._case = case
        self.keep_out = KeepOut(np.array(case.walls), (0, 1))
        self._step = max(task.action.scale) / task.rate_hz

    def plan(
        self, observation: ArrayLike, achieved: ArrayLike, goal: ArrayLike, budget_s: float = float("inf")
    ) -> Plan:
        """As `SubgoalPlanner.plan`."""
        way = way_of(self._case, achieved, goal)
        if len(way) < 2:  # so near a wall that the hair is missing
            way = np.array([achieved, goal])
        lengths = np.linalg.norm(np.diff(way, axis=0), axis=1)
        steps = np.maximum(np.ceil(lengths / self._step), 1).astype(np.int64)
        nothing = np.zeros(len(steps), np.float32)
        return Plan(Status.PLANNED, way[1:].astype(np.float32), steps, nothing, float(lengths.sum()))


def _model(method: Method, task: TaskSpec, actor: NumpyActor, store: TrajectoryStore) -> Model:
    if method.model == "learned":
        return ReachModel(actor)
    lines = StraightLines.measured(store, task.horizon)
    if method.model == "straight_in_score":
        counted = ~free_dimensions(task)
        space = GoalSpace(lines.space.scale, lines.space.wrap)
        space.weight = np.where(counted, space.weight, 0).astype(np.float32)
        index = np.arange(store.total - len(store), store.total - task.horizon)
        index = index[store.end_of(index) > index + task.horizon]
        ways = space.distance(store.column("next_achieved", index + task.horizon), store.column("achieved", index))
        return StraightLines(space, task.horizon, float(np.quantile(ways, 0.95)) / (task.horizon + 1))
    return lines
