"""Planning problem, independent of its solver: from a state to a goal, over knots that can be reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tdm_ros.planning.course import Course, follow
from tdm_ros.planning.keep_out import KeepOut
from tdm_ros.planning.model import Model
from tdm_ros.planning.objective import Objective
from tdm_ros.planning.space import Array, Mask
from tdm_ros.planning.states import SeenStates
from tdm_ros.tasks import TaskSpec

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
