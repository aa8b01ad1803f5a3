"""Common interface of the optimisers, and their initial plans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.planning.model import Model, shortest_times
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.space import Array
from tdm_ros.planning.states import SeenStates


def goal_points(problem: Problem, states: SeenStates, count: int = 8) -> Array:
    """Points that achieve the goal, (C, G): free dimensions as in the goal, and as in the nearest seen states."""
    assert problem.free is not None
    goal = problem.goal[None]
    if not problem.free.any():
        return goal
    away = problem.model.space.distance(states.achieved, problem.goal, problem.counted)
    near = states.achieved[np.argsort(away)[: count - 1]]
    return np.concatenate([goal, np.where(problem.free, near, problem.goal)]).astype(np.float32)


def initial_plans(problem: Problem, rng: np.random.Generator, count: int, warm: Array | None = None) -> Array:
    """Initial candidate plans, (count, n, G) [goal unit].

    The first is a straight line to the goal; the next two are the last plan with and without its first knot; all others
    pass through one or two seen states, with evenly spaced knots. Where the goal may be farther than a plan is long,
    every other one covers only a part of the path.
    """
    goals = goal_points(problem, problem.states)
    size = problem.objective.knots
    first = [resample(np.stack([problem.achieved, goals[0]])[None], size)[0]]
    if warm is not None and len(warm):
        rows = np.arange(size)  # truncated, or with the last knot repeated
        first += [warm[np.minimum(rows + skipped, len(warm) - 1)] for skipped in (0, 1)]
    rest = max(count - len(first), 0)
    via = problem.states.achieved[rng.integers(len(problem.states), size=(rest, 2))]
    via[: rest // 2, 1] = via[: rest // 2, 0]
    start = np.broadcast_to(problem.achieved, (rest, 1, len(problem.achieved)))
    ends = goals[rng.integers(len(goals), size=rest)][:, None]
    short = problem.far & (np.arange(rest) % 2 == 1)
    part = np.where(short, rng.uniform(0.2, 1, rest), 1.0)
    detours = resample(np.concatenate([start, via, ends], axis=1), size, part)
    return np.concatenate([np.stack(first), detours])[:count].astype(np.float32)


def resample(corners: Array, count: int, part: ArrayLike = 1.0) -> Array:
    """Points evenly spaced along (a ``part`` of) polylines, without the start: (B, C, G), (B,) -> (B, count, G)."""
    lengths = np.linalg.norm(np.diff(corners, axis=1), axis=-1)
    far = np.concatenate([np.zeros((len(corners), 1)), np.cumsum(lengths, axis=1)], axis=1)
    share = np.broadcast_to(np.asarray(part, np.float64), len(corners))
    wanted = share[:, None] * far[:, -1:] * np.arange(1, count + 1) / count
    stretch = np.minimum((far[:, None, 1:-1] < wanted[..., None]).sum(axis=-1), corners.shape[1] - 2)
    row = np.arange(len(corners))[:, None]
    within = (wanted - far[row, stretch]) / np.maximum(lengths[row, stretch], 1e-9)
    start, end = corners[row, stretch], corners[row, stretch + 1]
    points: Array = (start + np.clip(within, 0, 1)[..., None] * (end - start)).astype(np.float32)
    points[share == 1, -1] = corners[share == 1, -1]
    return points


def coloured_noise(rng: np.random.Generator, shape: tuple[int, int, int], exponent: float) -> Array:
    """Noise of unit variance, (B, n, G), with a power spectrum along the knots of ``1 / f^exponent``.

    Source: Pinneri et al., "Sample-efficient cross-entropy method", arXiv 2008.06389, section 3.1.
    """
    white = rng.standard_normal(shape)
    count = shape[1]
    if count == 1 or exponent == 0:
        return white.astype(np.float32)

    def strength(frequency: np.ndarray) -> np.ndarray:
        return np.maximum(np.abs(frequency), 1 / count) ** (-exponent / 2)

    size = np.sqrt(np.mean(strength(np.fft.fftfreq(count)) ** 2))
    spectrum = np.fft.rfft(white, axis=1) * strength(np.fft.rfftfreq(count))[:, None] / size
    return np.fft.irfft(spectrum, count, axis=1).astype(np.float32)


def end_at_goal(problem: Problem, knots: Array) -> Array:
    """Plans with their last knot moved to the goal: (B, n, G) -> (B, n, G)."""
    there = knots.copy()
    there[:, -1] = np.where(problem.counted, problem.goal, there[:, -1])
    return there


TimeOver = Callable[[], bool]
"""Function that returns whether the time for planning is over."""

SLACK = 0.25
"""Predicted miss above the smallest one that is accepted to arrive sooner [parts of the tolerance]."""


def no_limit() -> bool:
    """Time limit that never expires."""
    return False


class Proposal(NamedTuple):
    """Result of an optimiser; the planner decides whether it is good enough."""

    knots: Array
    """(n, G) [goal unit]"""
    steps: NDArray[np.int64]
    """(n,) time of each segment [steps]"""
    miss: Array
    """(n,) predicted miss of each knot, of the worst member [goal unit]"""
    away: Array
    """(n,) predicted distance to the goal at that time, of the worst member, in the counted dimensions [goal unit]"""
    free: bool
    """Whether no straight line between consecutive knots crosses a keep-out."""
    cost: float
    """`Problem.cost`"""
    timed_out: bool = False
    """Whether the time was over before the optimiser had finished."""


class Optimiser(ABC):
    """Solves `Problem`s."""

    def prepare(self, model: Model, states: SeenStates, objective: Objective) -> None:  # noqa: B027 - few need it
        """Precompute what depends on model and states alone."""

    @abstractmethod
    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal | None:
        """Find the knots of least cost; None if there is no candidate at all. Equal seeds give equal results.

        ``warm`` are the remaining knots of the last plan, (m, G) [goal unit]. ``late`` is polled between iterations;
        once it returns true, the best plan so far is returned.
        """


def propose(problem: Problem, knots: Array, timed_out: bool = False) -> Proposal:
    """Evaluate one candidate, (n, G); assign each knot its time, and drop those after the goal."""
    rollout = problem.roll_out(knots[None])
    terms = problem.evaluate(rollout)
    space = problem.model.space
    there = space.distance(rollout.end[0], problem.goal, problem.counted) <= 0.5 * problem.objective.tolerance
    count = int(np.argmax(there)) + 1 if there.any() else len(knots)
    margin, may_leave = problem.margins(len(knots))
    away = space.distance(rollout.points[:, 0], problem.goal, problem.counted).max(axis=0)
    steps, miss = np.full(len(knots), problem.steps, np.int64), terms.miss[0]
    if not rollout.chained:
        before = np.concatenate([problem.observation[None], rollout.observation[0, :-1]])
        slack = SLACK * problem.objective.tolerance
        steps, miss = shortest_times(problem.model, before, rollout.start[0], knots, problem.steps, slack)
    free = not problem.keep_out.crosses(rollout.start[0], rollout.end[0], margin, may_leave)[:count].any()
    cost = float(problem.weigh(terms)[0])
    return Proposal(knots[:count].copy(), steps[:count], miss[:count], away[:count], free, cost, timed_out)
