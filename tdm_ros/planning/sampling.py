"""Sampling optimisers: cross-entropy method and model predictive path integral."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdm_ros.planning.optimiser import (
    Optimiser,
    Proposal,
    TimeOver,
    coloured_noise,
    end_at_goal,
    initial_plans,
    no_limit,
    propose,
)
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.space import Array


@dataclass
class Cem(Optimiser):
    """CEM with coloured noise, kept elites, shrinking populations and the last plan as a candidate.

    The mean starts at the best initial plan: paths around two sides of an obstacle have no useful mean.

    Source: Pinneri et al., arXiv 2008.06389 (iCEM), where the variables are actions, and a part of the old mean and
    deviation is kept.
    """

    population: int = 128
    iterations: int = 14
    elites: int = 10
    shrink: float = 1.15
    """Factor by which each population is smaller than the one before, down to twice the elites."""
    kept: int = 3
    """Elites that stay in the next population."""
    spread: float = 0.4
    """Standard deviation of the second population [parts of the goal scale]."""
    colour: float = 1.0
    """Exponent of the noise along the knots; 0: white."""
    narrowing: float = 0.75
    """Lower bound of the ratio of consecutive deviations: along a binding constraint the elites are nearly collinear
    and would converge too early."""

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.elites <= self.population or min(self.iterations, self.elites, self.shrink) < 1:
            raise ValueError(
                "0 <= kept <= elites <= population, elites >= 1, iterations >= 1 and shrink >= 1 are needed, "
                f"got {self.kept}, {self.elites}, {self.population}, {self.iterations} and {self.shrink}"
            )

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal:
        low, high = problem.bounds
        plans = initial_plans(problem, rng, self.population, warm)
        cost = problem.cost(plans)
        order = np.argsort(cost)[: self.elites]
        elite, best = plans[order], cost[order]
        mean = elite[0]
        deviation = np.broadcast_to(self.spread * problem.model.space.scale, mean.shape)
        timed_out = late()
        for number in range(1, self.iterations):
            if timed_out:
                break
            size = max(int(self.population / self.shrink**number), 2 * self.elites, self.kept + 3)
            noise = coloured_noise(rng, (size - self.kept - 2, *mean.shape), self.colour)
            drawn = np.concatenate([mean + noise * deviation, mean[None], end_at_goal(problem, elite[:1])])
            drawn = np.clip(drawn, low, high)
            plans = np.concatenate([drawn, elite[: self.kept]])
            cost = np.concatenate([problem.cost(drawn), best[: self.kept]])
            order = np.argsort(cost)[: self.elites]
            elite, best = plans[order], cost[order]
            mean = elite.mean(axis=0)
            deviation = np.maximum(elite.std(axis=0), self.narrowing * deviation)
            timed_out = late()
        return propose(problem, elite[0], timed_out)


@dataclass
class Mppi(Optimiser):
    """Information-theoretic averaging over plans drawn around a mean, with noise that narrows.

    Source: Williams et al., "Information theoretic MPC", ICRA 2017, where the variables are actions; here they are
    knots, and the temperature scales with the costs.
    """

    population: int = 128
    iterations: int = 14
    temperature: float = 0.03
    """Temperature of the weights, relative to the difference between median and smallest cost."""
    spread: float = 0.4
    """Initial standard deviation [parts of the goal scale]."""
    narrowing: float = 0.75
    """Factor of the deviation per iteration."""
    colour: float = 1.0
    """Exponent of the noise along the knots."""

    def __post_init__(self) -> None:
        if self.population < 4 or self.iterations < 1 or not self.temperature > 0:
            raise ValueError(
                "population >= 4, iterations >= 1 and temperature > 0 are needed, "
                f"got {self.population}, {self.iterations} and {self.temperature}"
            )

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal:
        low, high = problem.bounds
        plans = initial_plans(problem, rng, self.population, warm)
        cost = problem.cost(plans)
        best = plans[cost.argmin()], cost.min()
        mean, deviation = best[0], self.spread * problem.model.space.scale
        timed_out = late()
        for _ in range(self.iterations - 1):
            if timed_out:
                break
            noise = coloured_noise(rng, (self.population - 3, *mean.shape), self.colour)
            around = np.stack([mean, best[0], end_at_goal(problem, best[0][None])[0]])
            plans = np.clip(np.concatenate([mean + noise * deviation, around]), low, high)
            cost = problem.cost(plans)
            if cost.min() < best[1]:
                best = plans[cost.argmin()], cost.min()
            scale = max(self.temperature * float(np.median(cost) - cost.min()), 1e-9)
            weight = np.exp(-(cost - cost.min()) / scale)
            mean = np.einsum("b,bng->ng", weight / weight.sum(), plans).astype(np.float32)
            deviation = deviation * self.narrowing
            timed_out = late()
        return propose(problem, best[0], timed_out)
