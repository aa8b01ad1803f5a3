"""Gradient refinement: the best initial plans descend the gradient of their cost, through critics and actor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdm_ros.planning.optimiser import Optimiser, Proposal, TimeOver, end_at_goal, initial_plans, no_limit, propose
from tdm_ros.planning.problem import Problem, Rollout
from tdm_ros.planning.space import Array, GoalSpace, Mask, norm

_STEP = 1e-3
"""Step of the finite differences of the keep-out depth [parts of the goal scale]."""


def slope(problem: Problem, knots: Array) -> tuple[Array, Array]:
    """Cost of candidate plans and its gradient with respect to their knots: (B, n, G) -> (B,), (B, n, G).

    The seen states assigned to the knots are held constant; only goal points move.
    """
    by = problem.objective
    rollout = problem.roll_out(knots, slopes=True)
    terms = problem.evaluate(rollout)
    space = problem.model.space
    points = np.zeros_like(rollout.points)
    share = np.full(knots.shape[1], by.on_the_way, np.float32)
    share[-1] = 1.0
    start, end = _keep_out(problem, rollout)
    if rollout.chained:
        _put_worst(
            points, rollout.points, problem.goal, space, np.broadcast_to(share, terms.miss.shape), problem.counted
        )
    else:
        end += share[:, None] * _direction(space, rollout.end, problem.goal, problem.counted)
        price = np.where(terms.miss > by.tolerance, problem.multiplier or 0.0, 0.0).astype(np.float32)
        end -= _put_worst(points, rollout.points, rollout.end, space, price)
    rare = space.distance(rollout.end, rollout.seen) > problem.states.spacing
    end += by.rarity * rare[..., None] * _direction(space, rollout.end, rollout.seen)
    return problem.weigh(terms), rollout.pull(start, end, points)


def _direction(space: GoalSpace, point: Array, other: Array, dims: Mask | None = None) -> Array:
    """Gradient of the distance between two points with respect to the first: (..., G)."""
    gap = space.gap(point, other, dims)
    direction: Array = gap * space.weight / np.maximum(norm(gap)[..., None], 1e-9)
    return direction


def _put_worst(
    into: Array, points: Array, goal: Array, space: GoalSpace, price: Array, dims: Mask | None = None
) -> Array:
    """Add ``price``, (B, n), times the gradient of the farthest member's distance to ``into``; return the addition,
    (B, n, G)."""
    worst = space.distance(points, goal, dims).argmax(axis=0)[None, ..., None]
    direction = _direction(space, np.take_along_axis(points, worst, axis=0)[0], goal, dims) * price[..., None]
    np.put_along_axis(into, worst, direction[None], axis=0)
    return direction


def _keep_out(problem: Problem, rollout: Rollout) -> tuple[Array, Array]:
    """Gradient of the keep-out term with respect to the starts and ends of segments, by central differences."""
    start, end = np.zeros_like(rollout.end), np.zeros_like(rollout.end)
    keep_out, dims = problem.keep_out, list(problem.keep_out.dims)
    margin, may_leave = problem.margins(rollout.end.shape[1])
    rows = keep_out.depth(rollout.start, rollout.end, margin, may_leave) > 0
    if not rows.any():
        return start, end
    size = _STEP * problem.model.space.scale
    steps = np.diag(size)[dims]
    still = np.zeros_like(steps)
    # Forward and backward in each dimension, first of the starts, then of the ends: (4 D, 1, G).
    first = np.concatenate([steps, -steps, still, still])[:, None]
    last = np.concatenate([still, still, steps, -steps])[:, None]
    grown, leaving = (np.broadcast_to(x, rows.shape)[rows] for x in (margin, may_leave))
    depth = keep_out.depth(rollout.start[rows] + first, rollout.end[rows] + last, grown, leaving)
    for slopes, (ahead, behind) in zip((start, end), depth.reshape(2, 2, len(dims), -1), strict=True):
        change = (ahead - behind).T / (2 * size[dims])
        part = np.zeros((len(change), len(size)), np.float32)
        part[:, dims] = problem.objective.keep_out * change
        slopes[rows] = part
    return start, end


_DECAY = (0.8, 0.95)
"""Decay of Adam's averages of the gradient and of its square: short ones, for few iterations."""


@dataclass
class Gradient(Optimiser):
    """Adam on the knots of the best initial plans.

    Source: the authors' code also refines particles with Adam (`GradientCMC`), over states and actions.
    """

    population: int = 64
    """Initial plans that are evaluated."""
    particles: int = 3
    """Number of the best initial plans that are refined."""
    iterations: int = 12
    rate: float = 0.12
    """Initial step of a knot per iteration [parts of the goal scale]; it falls to a tenth."""

    def __post_init__(self) -> None:
        if not 1 <= self.particles <= self.population or self.iterations < 0 or not self.rate > 0:
            raise ValueError(
                "1 <= particles <= population, iterations >= 0 and rate > 0 are needed, "
                f"got {self.particles}, {self.population}, {self.iterations} and {self.rate}"
            )

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal:
        low, high = problem.bounds
        plans = initial_plans(problem, rng, self.population, warm)
        plans = plans[np.argsort(problem.cost(plans))[: self.particles]]
        best, least = plans[0], np.inf
        mean, square = np.zeros_like(plans), np.zeros_like(plans)
        size = self.rate * problem.model.space.scale
        timed_out = False
        for number in range(self.iterations + 1):
            cost, gradient = slope(problem, plans)
            if cost.min() < least:
                best, least = plans[cost.argmin()].copy(), float(cost.min())
            timed_out = late()
            if timed_out or number == self.iterations:
                break
            mean += (1 - _DECAY[0]) * (gradient - mean)
            square += (1 - _DECAY[1]) * (gradient * gradient - square)
            steady = mean / (1 - _DECAY[0] ** (number + 1))
            rough = np.sqrt(square / (1 - _DECAY[1] ** (number + 1))) + 1e-6
            fade = 1 - 0.9 * number / max(self.iterations - 1, 1)
            plans = np.clip(plans - fade * size * steady / rough, low, high)
        there = end_at_goal(problem, best[None])
        if problem.cost(there)[0] < least:
            best = there[0]
        return propose(problem, best, timed_out)
