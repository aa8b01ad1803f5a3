"""Planning problem, independent of its solver: objective, rollout of candidate plans, and constraints."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tdm_ros.planning.model import Model, Pull
from tdm_ros.planning.space import Array, GoalSpace, KeepOut, Mask
from tdm_ros.planning.states import SeenStates
from tdm_ros.tasks import TaskSpec

FORMULATIONS = ("k_step", "final_state", "explicit", "direct")


@dataclass(frozen=True)
class Objective:
    """How a plan is put together and weighed.

    Parameters
    ----------
    formulation : str
        The paper's, section 5: ``k_step`` (a knot every K steps, each to be reachable from the one before),
        ``final_state`` (a single knot), ``explicit`` (as k_step, with the task judged at the points that the critics
        predict, so that nothing needs to be constrained) or ``direct`` (the goal itself).
    segments : int
        Number of knots n.
    segment_steps : int
        Steps from one knot to the next, K [steps].
    tolerance : float
        Predicted miss of a segment up to which it counts as feasible [goal unit].
    acceptable : float
        A plan that misses a knot by more is none [goal unit]; infinite: whatever comes is taken.
    margin : float
        How much the keep-out boxes are grown [goal unit].
    multiplier : float
        What a predicted miss beyond the tolerance costs at first, beside a distance to the goal; 0 leaves the
        feasibility out. `Multiplier` changes it from what is executed.
    on_the_way : float
        What the distance to the goal costs at the knots before the last one; 1: the paper's sum over the knots.
    keep_out : float
        What being inside a keep-out box costs, beside a distance.
    limits : float
        What a joint beyond its range costs [goal unit a range].
    limit_margin : float
        Part of the range at each end that a joint is to stay away from.
    rarity : float
        What the distance to the nearest seen state costs beyond the spacing of the seen states.
    """

    formulation: str = "k_step"
    segments: int = 5
    segment_steps: int = 12
    tolerance: float = 0.02
    acceptable: float = 0.1
    margin: float = 0.0
    multiplier: float = 10.0
    on_the_way: float = 0.1
    keep_out: float = 20.0
    limits: float = 1.0
    limit_margin: float = 0.02
    rarity: float = 0.5

    def __post_init__(self) -> None:
        if self.formulation not in FORMULATIONS:
            raise ValueError(f"formulation must be one of {', '.join(FORMULATIONS)}, got {self.formulation!r}")
        if self.segments < 1 or self.segment_steps < 1:
            raise ValueError(f"segments and segment_steps must be >= 1, got {self.segments} and {self.segment_steps}")
        if not 0 < self.tolerance <= self.acceptable:
            raise ValueError(
                f"0 < tolerance <= acceptable is needed [goal unit], got {self.tolerance} and {self.acceptable}"
            )
        for name in ("margin", "multiplier", "on_the_way", "keep_out", "limits", "rarity"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.limit_margin < 0.5:
            raise ValueError(f"limit_margin must be in [0, 0.5), got {self.limit_margin}")

    @classmethod
    def for_task(cls, task: TaskSpec, **changes: Any) -> Objective:
        """Lengths in parts of the task's goal scale, times within its horizon; ``changes`` replace what they name."""
        unit = GoalSpace.of(task).unit
        made = {
            "segment_steps": min(12, task.horizon + 1),
            "tolerance": 0.1 * unit,
            "acceptable": 0.5 * unit,
        }
        return cls(**(made | changes))

    @property
    def knots(self) -> int:
        """Number of knots that an optimiser varies."""
        return self.segments if self.formulation in ("k_step", "explicit") else 1

    def steps(self, horizon: int) -> int:
        """Steps of a segment for a model that knows up to ``horizon`` steps left [steps]."""
        return min(self.segment_steps, horizon + 1) if self.formulation in ("k_step", "explicit") else horizon + 1


@dataclass(frozen=True)
class Course:
    """B candidate plans with n segments, followed.

    Parameters
    ----------
    start, end : (B, n, G)
        Where each segment begins and ends: knots, or, chained, the mean of the predicted points [goal unit].
    points : (M, B, n, G)
        Where each member expects to be after each segment [goal unit].
    observation : (B, n, O)
        The states that are believed to be at the ends.
    seen : (B, n, G)
        Where these were seen [goal unit].
    chained : bool
    pulls : list of Pull
        One for all segments, or, chained, one for each; empty unless asked for.
    """

    start: Array
    end: Array
    points: Array
    observation: Array
    seen: Array
    chained: bool
    pulls: list[Pull] = field(default_factory=list)

    def pull(self, start: Array, end: Array, points: Array) -> Array:
        """Gradient with respect to the knots, from those with respect to the parts of the course: (B, n, G)."""
        members, batch, segments, size = points.shape
        if not self.chained:
            here, there = self.pulls[0](points.reshape(members, batch * segments, size))
            knots: Array = end + there.reshape(end.shape)
            knots[:, :-1] += (start + here.reshape(start.shape))[:, 1:]
            return knots
        knots = np.zeros_like(end)
        later = np.zeros_like(end[:, 0])
        for segment in reversed(range(segments)):
            slope = points[:, :, segment] + (end[:, segment] + later) / members
            here, knots[:, segment] = self.pulls[segment](slope)
            later = start[:, segment] + here
        return knots


def follow(
    model: Model,
    states: SeenStates,
    observation: Array,
    achieved: Array,
    knots: Array,
    steps: int,
    chained: bool = False,
    slopes: bool = False,
) -> Course:
    """Follow candidate plans, (B, n, G), from one state.

    Parameters
    ----------
    model : Model
    states : SeenStates
    observation : (O,)
    achieved : (G,) [goal unit]
    knots : (B, n, G) [goal unit]
    steps : int
        Of each segment [steps].
    chained : bool
        Whether a segment begins where the last one is predicted to end, and not at its knot.
    slopes : bool
        Whether the course is to pull gradients.
    """
    batch, segments, _ = knots.shape
    first = np.broadcast_to(achieved, knots[:, :1].shape)
    now = np.broadcast_to(observation, (batch, len(observation)))
    if chained:
        return _chain(model, states, now, first[:, 0], knots, steps, slopes)
    start = np.concatenate([first, knots[:, :-1]], axis=1)
    at = [now]
    seen = []
    for segment in range(segments):
        whole, place = states.complete(knots[:, segment], at[-1])
        at.append(whole)
        seen.append(place)
    observed = np.stack(at, axis=1)
    rows = batch * segments
    asked = (
        observed[:, :-1].reshape(rows, -1),
        start.reshape(rows, -1),
        knots.reshape(rows, -1),
        np.full(rows, steps - 1, np.float32),
    )
    points, pulls = _ask(model, asked, slopes)
    points = points.reshape(-1, *knots.shape)
    return Course(start, knots, points, observed[:, 1:], np.stack(seen, axis=1), False, pulls)


def _chain(model: Model, states: SeenStates, now: Array, here: Array, knots: Array, steps: int, slopes: bool) -> Course:
    left = np.full(len(knots), steps - 1, np.float32)
    starts: list[Array] = []
    parts: list[tuple[Array, Array, Array, Array]] = []
    pulls: list[Pull] = []
    for segment in range(knots.shape[1]):
        starts.append(here)
        points, pull = _ask(model, (now, here, knots[:, segment], left), slopes)
        here = points.mean(axis=0)
        now, place = states.complete(here, now)
        parts.append((here, points, now, place))
        pulls += pull
    ends, members, observed, places = zip(*parts, strict=True)
    start, end, observation, seen = (np.stack(part, axis=1) for part in (starts, ends, observed, places))
    return Course(start, end, np.stack(members, axis=2), observation, seen, True, pulls)


def _ask(model: Model, asked: tuple[Array, Array, Array, Array], slopes: bool) -> tuple[Array, list[Pull]]:
    if not slopes:
        return model.predict(*asked), []
    points, pull = model.linearise(*asked)
    return points, [pull]


_ENTERING = 0.01
"""What entering a keep-out counts as at least [parts of the goal scale]."""


class Terms(NamedTuple):
    """Parts of the cost of B candidate plans with n knots, before their weights."""

    task: Array
    """(B,) distance to the goal at the last knot, and at those before it, as `Objective.on_the_way` weighs them."""
    infeasible: Array
    """(B,) what the predicted misses exceed the tolerance by, summed [goal unit]."""
    keep_out: Array
    """(B,) how far the way is inside keep-outs [goal unit]."""
    limits: Array
    """(B,) how far joints are beyond their ranges [ranges]."""
    rarity: Array
    """(B,) how far knots are from seen states, beyond their spacing [goal unit]."""
    miss: Array
    """(B, n) predicted miss of each segment, by the worst member [goal unit]."""


@dataclass(frozen=True)
class Problem:
    """Find knots from a state to a goal.

    Parameters
    ----------
    task : TaskSpec
    model : Model
    states : SeenStates
    observation : (O,) float32
    achieved, goal : (G,) float32 [goal unit]
    objective : Objective
    keep_out : KeepOut
    free : (G,) bool, optional
        Goal dimensions that the task does not care about; left out, those that its score does not name.
    multiplier : float, optional
        Price of infeasibility; left out, that of the objective.

    Raises
    ------
    ValueError
        If state or goal have another size than the task's or are not finite.
    """

    task: TaskSpec
    model: Model
    states: SeenStates
    observation: Array
    achieved: Array
    goal: Array
    objective: Objective
    keep_out: KeepOut = field(default_factory=KeepOut)
    free: Mask | None = None
    multiplier: float | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "observation", self.task.observation.checked(self.observation, "observation"))
        put(self, "achieved", self.task.goal.checked(self.achieved, "achieved"))
        put(self, "goal", self.task.goal.checked(self.goal, "goal"))
        put(self, "free", free_dimensions(self.task) if self.free is None else np.asarray(self.free, np.bool_))
        put(self, "multiplier", self.objective.multiplier if self.multiplier is None else self.multiplier)

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of the box of knots, (G,) each: the goal box, and all that was seen."""
        goal = self.task.goal
        points = [np.asarray(goal.low), np.asarray(goal.high), self.achieved, self.goal, *self.states.extent]
        return np.min(points, axis=0).astype(np.float32), np.max(points, axis=0).astype(np.float32)

    @cached_property
    def counted(self) -> Mask:
        """(G,) bool, goal dimensions that the task cares about."""
        assert self.free is not None
        return ~self.free

    @property
    def steps(self) -> int:
        """Steps of a segment [steps]."""
        return self.objective.steps(self.model.horizon)

    @cached_property
    def stride(self) -> float:
        """How far one gets in a segment from here, towards whichever of some seen states it is farthest [goal unit]."""
        goals = self.states.achieved[:32]
        count = len(goals)
        here = np.broadcast_to(self.achieved, goals.shape)
        observation = np.broadcast_to(self.observation, (count, len(self.observation)))
        points = self.model.predict(observation, here, goals, np.full(count, self.steps - 1, np.float32)).mean(axis=0)
        return float(self.model.space.distance(points, here).max())

    @property
    def far(self) -> bool:
        """Whether the goal may be farther away than a plan is long, so that a plan that ends on its way is good."""
        away = self.model.space.distance(self.goal, self.achieved, self.counted)
        return bool(away > 0.7 * self.objective.knots * self.stride)

    def margins(self, knots: int) -> tuple[Array, Mask]:
        """By how much boxes grow for each segment, (n,) [goal unit], and which one may leave a box that it starts in.

        Start and goal may be nearer to a box than the margin; then the segments that touch them may be, too.
        """
        margin = np.full(knots, self.objective.margin, np.float32)
        if len(self.keep_out):
            for place, clearance in zip((0, -1), self._clearances, strict=True):
                margin[place] = min(margin[place], max(clearance - 1e-5, 0.0))
        return margin, np.arange(knots) == 0

    @cached_property
    def _clearances(self) -> tuple[float, float]:
        return float(self.keep_out.clearance(self.achieved)), float(self.keep_out.clearance(self.goal))

    def cost(self, knots: Array) -> Array:
        """Weigh candidate plans: (B, n, G) [goal unit] -> (B,), smaller is better."""
        return self.weigh(self.terms(knots))

    def weigh(self, terms: Terms) -> Array:
        """The terms as one number, (B,)."""
        by, assured = self.objective, self.multiplier or 0.0
        if by.formulation == "explicit":
            assured = 0.0
        # Entering at all costs something, or the best plan is a hair's breadth inside.
        entered = terms.keep_out + _ENTERING * self.model.space.unit * (terms.keep_out > 0)
        total: Array = (
            terms.task
            + assured * terms.infeasible
            + by.keep_out * entered
            + by.limits * terms.limits
            + by.rarity * terms.rarity
        )
        return total

    def follow(self, knots: Array) -> Course:
        """Where candidate plans lead by the model."""
        chained = self.objective.formulation == "explicit"
        return follow(self.model, self.states, self.observation, self.achieved, knots, self.steps, chained)

    def terms(self, knots: Array) -> Terms:
        """The parts of the cost of candidate plans, (B, n, G) [goal unit]."""
        return self.judge(self.follow(knots))

    def judge(self, course: Course) -> Terms:
        """The parts of the cost of courses that have been followed."""
        space, by = self.model.space, self.objective
        if by.formulation == "explicit":
            away = space.distance(course.points, self.goal, self.counted).max(axis=0)
        else:
            away = space.distance(course.end, self.goal, self.counted)
        margin, way_out = self.margins(away.shape[1])
        miss = space.distance(course.points, course.end).max(axis=0)
        rare = space.distance(course.end, course.seen) - self.states.spacing
        return Terms(
            task=away[:, -1] + by.on_the_way * away[:, :-1].sum(axis=1),
            infeasible=np.maximum(miss - by.tolerance, 0).sum(axis=1),
            keep_out=self.keep_out.depth(course.start, course.end, margin, way_out).sum(axis=1).astype(np.float32),
            limits=self.limit_excess(course.observation).sum(axis=1),
            rarity=np.maximum(rare, 0).sum(axis=1),
            miss=miss,
        )

    def limit_excess(self, observation: Array) -> Array:
        """How far bounded parts of states are beyond their ranges less the margin: (..., O) -> (...) [ranges]."""
        bounded, low, size = self._ranges
        part = (observation[..., bounded] - low) / size
        margin = np.float32(self.objective.limit_margin)
        excess: Array = np.maximum(np.maximum(margin - part, part - (1 - margin)), 0).sum(axis=-1)
        return excess

    @cached_property
    def _ranges(self) -> tuple[Mask, Array, Array]:
        channels = self.task.observation
        low, high = np.asarray(channels.low, np.float32), np.asarray(channels.high, np.float32)
        bounded = np.isfinite(low) & np.isfinite(high) & (high > low)
        return bounded, low[bounded], (high - low)[bounded]


def free_dimensions(task: TaskSpec) -> Mask:
    """Goal dimensions that the score of a task does not name, (G,) bool."""
    if not task.score:
        return np.zeros(task.goal.size, np.bool_)
    named = {dimension for _, dims in task.score for dimension in dims}
    return np.array([dimension not in named for dimension in range(task.goal.size)])
