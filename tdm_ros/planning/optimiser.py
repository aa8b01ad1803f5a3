"""Common interface of the optimisers, and their initial plans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.planning.model import Model, quickest
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.space import Array
from tdm_ros.planning.states import SeenStates


def goal_points(problem: Problem, states: SeenStates, count: int = 8) -> Array:
    """Points that fulfil the task, (C, G): free dimensions as asked for, and as in the seen states that are nearest."""
    assert problem.free is not None
    goal = problem.goal[None]
    if not problem.free.any():
        return goal
    away = problem.model.space.distance(states.achieved, problem.goal, problem.counted)
    near = states.achieved[np.argsort(away)[: count - 1]]
    return np.concatenate([goal, np.where(problem.free, near, problem.goal)]).astype(np.float32)


def seeds(problem: Problem, rng: np.random.Generator, count: int, warm: Array | None = None) -> Array:
    """Candidate plans to begin with, (count, n, G) [goal unit].

    The first goes straight to the goal; then the last plan, as it was and without its first knot; all others go over
    one or two seen states, evenly spaced along the way; every other one goes a part of the way only where the goal may
    be farther than a plan is long.
    """
    goals = goal_points(problem, problem.states)
    size = problem.objective.knots
    first = [along(np.stack([problem.achieved, goals[0]])[None], size)[0]]
    if warm is not None and len(warm):
        first += [_fit(warm, size), _fit(warm[1:] if len(warm) > 1 else warm, size)]
    rest = max(count - len(first), 0)
    via = problem.states.achieved[rng.integers(len(problem.states), size=(rest, 2))]
    via[: rest // 2, 1] = via[: rest // 2, 0]
    start = np.broadcast_to(problem.achieved, (rest, 1, len(problem.achieved)))
    ends = goals[rng.integers(len(goals), size=rest)][:, None]
    short = problem.far & (np.arange(rest) % 2 == 1)
    part = np.where(short, rng.uniform(0.2, 1, rest), 1.0)
    detours = along(np.concatenate([start, via, ends], axis=1), size, part)
    return np.concatenate([np.stack(first), detours])[:count].astype(np.float32)


def along(corners: Array, count: int, part: ArrayLike = 1.0) -> Array:
    """Points evenly spaced along ways with corners, or along a ``part`` of each, without the start.

    (B, C, G), float or (B,) -> (B, count, G)
    """
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


def coloured(rng: np.random.Generator, shape: tuple[int, int, int], exponent: float) -> Array:
    """Noise of unit variance, (B, n, G), whose power falls with its frequency along the knots as ``1 / f^exponent``.

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


def snapped(problem: Problem, knots: Array) -> Array:
    """Plans whose last knot is at the goal, wherever it was: (B, n, G) -> (B, n, G)."""
    there = knots.copy()
    there[:, -1] = np.where(problem.counted, problem.goal, there[:, -1])
    return there


def _fit(knots: Array, count: int) -> Array:
    """A plan with ``count`` knots: the first ones, or the last one again and again."""
    return knots[np.minimum(np.arange(count), len(knots) - 1)]


Late = Callable[[], bool]
"""Whether the time for planning is over."""

SLACK = 0.25
"""What a knot may be missed by beyond the best that is promised, to be there sooner [parts of the tolerance]."""


def never() -> bool:
    """There is no hurry."""
    return False


class Proposal(NamedTuple):
    """What an optimiser found; whether it is good enough is for others to say."""

    knots: Array
    """(n, G) [goal unit]"""
    steps: NDArray[np.int64]
    """(n,) for each [steps]"""
    miss: Array
    """(n,) predicted miss of each, by the worst member [goal unit]"""
    away: Array
    """(n,) how far from the goal one is expected to be then, by the worst member, in what counts [goal unit]"""
    free: bool
    """Whether the straight way from knot to knot crosses no keep-out."""
    cost: float
    """By `Problem.cost`."""
    late: bool = False
    """Whether time ran out before the optimiser was done."""


class Optimiser(ABC):
    """Solves `Problem`s."""

    def prepare(self, model: Model, states: SeenStates, objective: Objective) -> None:  # noqa: B027 - few need it
        """Do once, with new weights or states, what holds for all problems that come."""

    @abstractmethod
    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: Late = never
    ) -> Proposal | None:
        """Look for the knots that cost least.

        Parameters
        ----------
        problem : Problem
        rng : numpy.random.Generator
            Two calls with generators of one seed give the same.
        warm : (m, G), optional
            Knots of the last plan that are still ahead [goal unit].
        late : callable
            Asked now and then; when it says yes, what was found so far is returned.

        Returns
        -------
        Proposal or None
            None if nothing can be proposed at all.
        """


def propose(problem: Problem, knots: Array, late: bool = False) -> Proposal:
    """Judge one candidate, (n, G); give each knot the time that it takes, and leave out those after the goal."""
    course = problem.follow(knots[None])
    terms = problem.judge(course)
    space = problem.model.space
    there = space.distance(course.end[0], problem.goal, problem.counted) <= 0.5 * problem.objective.tolerance
    count = int(np.argmax(there)) + 1 if there.any() else len(knots)
    margin, way_out = problem.margins(len(knots))
    away = space.distance(course.points[:, 0], problem.goal, problem.counted).max(axis=0)
    steps, miss = np.full(len(knots), problem.steps, np.int64), terms.miss[0]
    if not course.chained:
        before = np.concatenate([problem.observation[None], course.observation[0, :-1]])
        slack = SLACK * problem.objective.tolerance
        steps, miss = quickest(problem.model, before, course.start[0], knots, problem.steps, slack)
    crosses = problem.keep_out.crosses(course.start[0], course.end[0], margin, way_out)
    return Proposal(
        knots[:count].copy(),
        steps[:count],
        miss[:count],
        away[:count],
        not crosses[:count].any(),
        float(problem.weigh(terms)[0]),
        late,
    )
