"""Model predictive path integral: mean of all sampled plans, weighted by their cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdm_ros.planning.optimiser import Late, Optimiser, Proposal, never, propose
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.seeds import coloured, seeds, snapped
from tdm_ros.planning.space import Array


@dataclass
class Mppi(Optimiser):
    """Information-theoretic averaging over plans drawn around a mean, with noise that narrows.

    Parameters
    ----------
    population, iterations : int
    temperature : float
        Of the weights, in parts of how far the median costs more than the best; small: only the best count.
    spread : float
        Standard deviation of the first plans drawn [parts of the goal scale].
    narrowing : float
        By which it is multiplied from one iteration to the next.
    colour : float
        Exponent of the noise along the knots.

    Source: Williams et al., "Information theoretic MPC", ICRA 2017. There the variables are actions; here they are
    knots, and the temperature follows the costs.
    """

    population: int = 128
    iterations: int = 14
    temperature: float = 0.03
    spread: float = 0.4
    narrowing: float = 0.75
    colour: float = 1.0

    def __post_init__(self) -> None:
        if self.population < 4 or self.iterations < 1 or not self.temperature > 0:
            raise ValueError(
                "population >= 4, iterations >= 1 and temperature > 0 are needed, "
                f"got {self.population}, {self.iterations} and {self.temperature}"
            )

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: Late = never
    ) -> Proposal:
        low, high = problem.bounds
        plans = seeds(problem, rng, self.population, warm)
        cost = problem.cost(plans)
        best = plans[cost.argmin()], cost.min()
        mean, deviation = best[0], self.spread * problem.model.space.scale
        tardy = late()
        for _ in range(self.iterations - 1):
            if tardy:
                break
            noise = coloured(rng, (self.population - 3, *mean.shape), self.colour)
            around = np.stack([mean, best[0], snapped(problem, best[0][None])[0]])
            plans = np.clip(np.concatenate([mean + noise * deviation, around]), low, high)
            cost = problem.cost(plans)
            if cost.min() < best[1]:
                best = plans[cost.argmin()], cost.min()
            scale = max(self.temperature * float(np.median(cost) - cost.min()), 1e-9)
            weight = np.exp(-(cost - cost.min()) / scale)
            mean = np.einsum("b,bng->ng", weight / weight.sum(), plans).astype(np.float32)
            deviation = deviation * self.narrowing
            tardy = late()
        return propose(problem, best[0], tardy)
