"""Sequential quadratic programming: slow and exact, the reference for the other optimisers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from tdm_ros.planning.optimiser import Optimiser, Proposal, TimeOver, end_at_goal, initial_plans, no_limit, propose
from tdm_ros.planning.problem import Problem
from tdm_ros.planning.space import Array

Floats = NDArray[np.float64]


class _Values(NamedTuple):
    cost: float
    cost_slope: Floats
    slack: Floats
    slack_slope: Floats


class _TimeIsOverError(Exception):
    pass


@dataclass
class Slsqp(Optimiser):
    """Minimises the task's cost with predicted misses and keep-outs as constraints, not as prices.

    Parameters
    ----------
    population : int
        Initial plans that are evaluated.
    starts : int
        Number of the best of them that are refined.
    iterations : int
        Largest number of iterations per start.
    step : float
        Step of finite differences [parts of the goal scale].

    Source: the authors' code uses SciPy's SLSQP on knots (`StateOnlySdqBasedSqpOc`), with their prediction of the next
    state as an equality; here the miss may be up to the tolerance.
    """

    population: int = 128
    starts: int = 3
    iterations: int = 60
    step: float = 1e-3

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal:
        # The solution lies on the constraints up to rounding, which would be inside a keep-out.
        hair = self.step * problem.model.space.unit
        careful = replace(problem, objective=replace(problem.objective, margin=problem.objective.margin + hair))
        plans = initial_plans(problem, rng, self.population, warm)
        order = np.argsort(problem.cost(plans))[: self.starts]
        found = [plans[order[0]]]
        low, high = problem.bounds
        shape = found[0].shape
        box = list(zip(np.tile(low, shape[0]), np.tile(high, shape[0]), strict=True))
        timed_out = False
        for plan in plans[order]:
            values = _Evaluated(careful, shape, self.step, late)
            try:
                result = minimize(
                    lambda x, v=values: v(x).cost,
                    plan.ravel().astype(np.float64),
                    jac=lambda x, v=values: v(x).cost_slope,
                    bounds=box,
                    constraints={
                        "type": "ineq",
                        "fun": lambda x, v=values: v(x).slack,
                        "jac": lambda x, v=values: v(x).slack_slope,
                    },
                    method="SLSQP",
                    options={"maxiter": self.iterations, "ftol": 1e-6},
                )
            except _TimeIsOverError:
                timed_out = True
                break
            found.append(np.clip(result.x.reshape(shape), low, high).astype(np.float32))
        candidates = np.stack(found)
        candidates = np.concatenate([candidates, end_at_goal(problem, candidates)])
        return propose(problem, candidates[problem.cost(candidates).argmin()], timed_out)


class _Evaluated:
    """Cost and constraints with their finite-difference gradients, from one batch of plans."""

    def __init__(self, problem: Problem, shape: tuple[int, ...], step: float, late: TimeOver) -> None:
        self._problem, self._shape, self._late = problem, shape, late
        self._steps = np.diag(np.tile(step * problem.model.space.scale, shape[0])).astype(np.float64)
        self._at: Floats | None = None

    def __call__(self, x: Floats) -> _Values:
        if self._at is None or not np.array_equal(x, self._at):
            if self._late():
                raise _TimeIsOverError
            self._at, self._values = x.copy(), self._evaluate(x)
        return self._values

    def _evaluate(self, x: Floats) -> _Values:
        problem, size = self._problem, np.diag(self._steps)
        around = np.concatenate([x[None], x + self._steps, x - self._steps])
        terms = problem.terms(around.reshape(-1, *self._shape).astype(np.float32))
        by = problem.objective
        cost = np.asarray(terms.task + by.limits * terms.limits + by.rarity * terms.rarity, np.float64)
        slack = -np.asarray(terms.keep_out, np.float64)[:, None]
        if by.formulation != "explicit" and problem.multiplier:
            slack = np.concatenate([slack, by.tolerance - terms.miss], axis=1)
        count = len(size)

        def slope(values: Floats) -> Floats:
            return (values[1 : count + 1] - values[count + 1 :]) / (2 * size.reshape(-1, *[1] * (values.ndim - 1)))

        return _Values(float(cost[0]), slope(cost), slack[0], slope(slack).T)
