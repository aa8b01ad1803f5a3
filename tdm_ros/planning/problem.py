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
    """Structure of a plan and weights of its cost."""

    formulation: str = "k_step"
    """The paper's, section 5: ``k_step`` (a knot every K steps, each reachable from the one before), ``final_state`` (a
    single knot), ``explicit`` (as k_step, with the task's cost at the points that the critics predict, so that no
    constraint is needed) or ``direct`` (the goal itself)."""
    segments: int = 5
    """Number of knots n."""
    segment_steps: int = 12
    """Steps between two knots, K [steps]."""
    tolerance: float = 0.02
    """Predicted miss up to which a segment counts as feasible [goal unit]."""
    acceptable: float = 0.1
    """A plan with a larger predicted miss is rejected [goal unit]; infinite: none is."""
    margin: float = 0.0
    """Distance by which keep-out boxes are grown [goal unit]."""
    multiplier: float = 10.0
    """Initial price of a predicted miss beyond the tolerance, relative to a distance to the goal; 0 drops the
    constraint. `Multiplier` adapts it to executed segments."""
    on_the_way: float = 0.1
    """Weight of the distance to the goal at the knots before the last one; 1: the paper's sum over the knots."""
    keep_out: float = 20.0
    """Weight of the depth inside a keep-out box."""
    limits: float = 1.0
    """Weight of a joint beyond its range [goal unit per range]."""
    limit_margin: float = 0.02
    """Part of the range at each end that counts as beyond it."""
    rarity: float = 0.5
    """Weight of the distance to the nearest seen state beyond the spacing of the seen states."""

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
        """Objective with lengths in parts of the task's goal scale; ``changes`` override fields."""
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
        """Steps of a segment for a model with this horizon [steps]."""
        return min(self.segment_steps, horizon + 1) if self.formulation in ("k_step", "explicit") else horizon + 1


@dataclass(frozen=True)
class Rollout:
    """Predicted rollout of B candidate plans with n segments."""

    start: Array
    end: Array
    """(B, n, G) each: start and end of each segment: knots or, if chained, means of the predicted points [goal
    unit]."""
    points: Array
    """(M, B, n, G): point after each segment predicted by each member [goal unit]."""
    observation: Array
    """(B, n, O): seen states assigned to the ends."""
    seen: Array
    """(B, n, G): achieved goals of these states [goal unit]."""
    chained: bool
    """Whether each segment starts at the predicted end of the one before, and not at its knot."""
    pulls: list[Pull] = field(default_factory=list)
    """One for all segments or, if chained, one per segment; empty without gradients."""

    def pull(self, start: Array, end: Array, points: Array) -> Array:
        """Gradient with respect to the knots, from those with respect to the parts of the rollout: (B, n, G)."""
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


_ENTERING = 0.01
"""Minimum depth of a segment that enters a keep-out [parts of the goal scale]."""


class Terms(NamedTuple):
    """Terms of the cost of B candidate plans with n knots, before weighting."""

    task: Array
    """(B,) distance of the last knot to the goal, plus those before it times `Objective.on_the_way` [goal unit]"""
    infeasible: Array
    """(B,) sum of the predicted misses beyond the tolerance [goal unit]"""
    keep_out: Array
    """(B,) depth inside keep-outs [goal unit]"""
    limits: Array
    """(B,) joint positions beyond their ranges [ranges]"""
    rarity: Array
    """(B,) distance of the knots to seen states beyond their spacing [goal unit]"""
    miss: Array
    """(B, n) predicted miss of each segment, of the worst member [goal unit]"""


@dataclass(frozen=True)
class Problem:
    """Problem of finding knots from a state to a goal.

    Raises ValueError if state or goal have a wrong size or are not finite.
    """

    task: TaskSpec
    model: Model
    states: SeenStates
    observation: Array
    """(O,)"""
    achieved: Array
    goal: Array
    """(G,) [goal unit] each"""
    objective: Objective
    keep_out: KeepOut = field(default_factory=KeepOut)
    free: Mask | None = None
    """(G,): goal dimensions that do not count; default: those that the task's score does not name."""
    multiplier: float | None = None
    """Price of infeasibility; default: that of the objective."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "observation", self.task.observation.checked(self.observation, "observation"))
        put(self, "achieved", self.task.goal.checked(self.achieved, "achieved"))
        put(self, "goal", self.task.goal.checked(self.goal, "goal"))
        put(self, "free", free_dimensions(self.task) if self.free is None else np.asarray(self.free, np.bool_))
        put(self, "multiplier", self.objective.multiplier if self.multiplier is None else self.multiplier)

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of the box of knots, (G,) each: the goal box and all seen states."""
        goal = self.task.goal
        points = [np.asarray(goal.low), np.asarray(goal.high), self.achieved, self.goal, *self.states.extent]
        return np.min(points, axis=0).astype(np.float32), np.max(points, axis=0).astype(np.float32)

    @cached_property
    def counted(self) -> Mask:
        """(G,) bool, goal dimensions that count."""
        assert self.free is not None
        return ~self.free

    @property
    def steps(self) -> int:
        """Steps of a segment [steps]."""
        return self.objective.steps(self.model.horizon)

    @cached_property
    def stride(self) -> float:
        """Largest predicted distance of one segment from here, towards any of some seen states [goal unit]."""
        goals = self.states.achieved[:32]
        count = len(goals)
        here = np.broadcast_to(self.achieved, goals.shape)
        observation = np.broadcast_to(self.observation, (count, len(self.observation)))
        points = self.model.predict(observation, here, goals, np.full(count, self.steps - 1, np.float32)).mean(axis=0)
        return float(self.model.space.distance(points, here).max())

    @property
    def far(self) -> bool:
        """Whether the goal may be beyond the length of a plan; then a plan may end on the way to it."""
        away = self.model.space.distance(self.goal, self.achieved, self.counted)
        return bool(away > 0.7 * self.objective.knots * self.stride)

    def margins(self, knots: int) -> tuple[Array, Mask]:
        """Growth of the boxes per segment, (n,) [goal unit], and mask of the segments that may start inside a box.

        Start and goal may be nearer to a box than the margin; the growth for their segments is reduced accordingly.
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
        """Cost of candidate plans: (B, n, G) [goal unit] -> (B,), smaller is better."""
        return self.weigh(self.terms(knots))

    def weigh(self, terms: Terms) -> Array:
        """Weighted sum of the terms, (B,)."""
        by, assured = self.objective, self.multiplier or 0.0
        if by.formulation == "explicit":
            assured = 0.0
        # Without a minimum cost of entering, the best plan ends marginally inside.
        entered = terms.keep_out + _ENTERING * self.model.space.unit * (terms.keep_out > 0)
        total: Array = (
            terms.task
            + assured * terms.infeasible
            + by.keep_out * entered
            + by.limits * terms.limits
            + by.rarity * terms.rarity
        )
        return total

    def roll_out(self, knots: Array, slopes: bool = False) -> Rollout:
        """Predicted rollout of candidate plans, (B, n, G) [goal unit]; `Rollout.pull` needs ``slopes``."""
        first = np.broadcast_to(self.achieved, knots[:, :1].shape)
        now = np.broadcast_to(self.observation, (len(knots), len(self.observation)))
        if self.objective.formulation == "explicit":
            return self._chain(now, first[:, 0], knots, slopes)
        start = np.concatenate([first, knots[:, :-1]], axis=1)
        at, seen = [now], []
        for segment in range(knots.shape[1]):
            whole, place = self.states.complete(knots[:, segment], at[-1])
            at.append(whole)
            seen.append(place)
        observed = np.stack(at, axis=1)
        rows = len(knots) * knots.shape[1]
        now, here, there = (part.reshape(rows, -1) for part in (observed[:, :-1], start, knots))
        points, pulls = self._ask(now, here, there, slopes)
        points = points.reshape(-1, *knots.shape)
        return Rollout(start, knots, points, observed[:, 1:], np.stack(seen, axis=1), False, pulls)

    def _chain(self, now: Array, here: Array, knots: Array, slopes: bool) -> Rollout:
        starts: list[Array] = []
        parts: list[tuple[Array, Array, Array, Array]] = []
        pulls: list[Pull] = []
        for segment in range(knots.shape[1]):
            starts.append(here)
            points, pull = self._ask(now, here, knots[:, segment], slopes)
            here = points.mean(axis=0)
            now, place = self.states.complete(here, now)
            parts.append((here, points, now, place))
            pulls += pull
        ends, members, observed, places = zip(*parts, strict=True)
        start, end, observation, seen = (np.stack(part, axis=1) for part in (starts, ends, observed, places))
        return Rollout(start, end, np.stack(members, axis=2), observation, seen, True, pulls)

    def _ask(self, observation: Array, achieved: Array, goal: Array, slopes: bool) -> tuple[Array, list[Pull]]:
        left = np.full(len(goal), self.steps - 1, np.float32)
        if not slopes:
            return self.model.predict(observation, achieved, goal, left), []
        points, pull = self.model.linearise(observation, achieved, goal, left)
        return points, [pull]

    def terms(self, knots: Array) -> Terms:
        """Terms of the cost of candidate plans, (B, n, G) [goal unit]."""
        return self.evaluate(self.roll_out(knots))

    def evaluate(self, rollout: Rollout) -> Terms:
        """Terms of the cost of a rollout."""
        space, by = self.model.space, self.objective
        if by.formulation == "explicit":
            away = space.distance(rollout.points, self.goal, self.counted).max(axis=0)
        else:
            away = space.distance(rollout.end, self.goal, self.counted)
        margin, may_leave = self.margins(away.shape[1])
        miss = space.distance(rollout.points, rollout.end).max(axis=0)
        rare = space.distance(rollout.end, rollout.seen) - self.states.spacing
        return Terms(
            task=away[:, -1] + by.on_the_way * away[:, :-1].sum(axis=1),
            infeasible=np.maximum(miss - by.tolerance, 0).sum(axis=1),
            keep_out=self.keep_out.depth(rollout.start, rollout.end, margin, may_leave).sum(axis=1).astype(np.float32),
            limits=self.limit_excess(rollout.observation).sum(axis=1),
            rarity=np.maximum(rare, 0).sum(axis=1),
            miss=miss,
        )

    def limit_excess(self, observation: Array) -> Array:
        """Observations beyond their bounds less the margin: (..., O) -> (...) [ranges]."""
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
