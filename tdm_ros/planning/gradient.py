"""Gradient refinement: a few promising plans descend the gradient of their cost, through critics and actor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdm_ros.planning.optimiser import Late, Optimiser, Proposal, never, propose
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.seeds import seeds, snapped
from tdm_ros.planning.slope import slope
from tdm_ros.planning.space import Array

_DECAY = (0.8, 0.95)
"""Of Adam's averages of the gradient and of its square: short ones, for few iterations."""


@dataclass
class Gradient(Optimiser):
    """Adam on the knots of the best few of many seeds.

    Parameters
    ----------
    population : int
        Seeds that are weighed.
    particles : int
        The best of them, which slide.
    iterations : int
    rate : float
        How far a knot moves at first in an iteration [parts of the goal scale]; it falls to a tenth.

    Source: the authors' code refines particles with Adam, too (`GradientCMC`), over states and actions.
    """

    population: int = 64
    particles: int = 3
    iterations: int = 12
    rate: float = 0.12

    def __post_init__(self) -> None:
        if not 1 <= self.particles <= self.population or self.iterations < 0 or not self.rate > 0:
            raise ValueError(
                "1 <= particles <= population, iterations >= 0 and rate > 0 are needed, "
                f"got {self.particles}, {self.population}, {self.iterations} and {self.rate}"
            )

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: Late = never
    ) -> Proposal:
        low, high = problem.bounds
        plans = seeds(problem, rng, self.population, warm)
        plans = plans[np.argsort(problem.cost(plans))[: self.particles]]
        best, least = plans[0], np.inf
        mean, square = np.zeros_like(plans), np.zeros_like(plans)
        size = self.rate * problem.model.space.scale
        tardy = False
        for number in range(self.iterations + 1):
            cost, way = slope(problem, plans)
            if cost.min() < least:
                best, least = plans[cost.argmin()].copy(), float(cost.min())
            tardy = late()
            if tardy or number == self.iterations:
                break
            mean += (1 - _DECAY[0]) * (way - mean)
            square += (1 - _DECAY[1]) * (way * way - square)
            steady = mean / (1 - _DECAY[0] ** (number + 1))
            rough = np.sqrt(square / (1 - _DECAY[1] ** (number + 1))) + 1e-6
            fade = 1 - 0.9 * number / max(self.iterations - 1, 1)
            plans = np.clip(plans - fade * size * steady / rough, low, high)
        there = snapped(problem, best[None])
        if problem.cost(there)[0] < least:
            best = there[0]
        return propose(problem, best, tardy)
