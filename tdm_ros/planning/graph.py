"""Graph search: path over seen states, along edges that the critics predict to be reachable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from tdm_ros.planning.model import Model, predicted_misses, shortest_times
from tdm_ros.planning.optimiser import SLACK, Optimiser, Proposal, TimeOver, goal_points, no_limit
from tdm_ros.planning.problem import Objective, Problem
from tdm_ros.planning.space import Array
from tdm_ros.planning.states import SeenStates

Index = NDArray[np.intp]
Floats = NDArray[np.float64]


class Edges(NamedTuple):
    """E edges with the critics' predictions for H horizons."""

    source: Index
    """(E,) node; rows are sorted by it"""
    target: Index
    """(E,) node"""
    miss: Array
    """(E, H) predicted miss of the worst member [goal unit]"""
    posture: Array
    """(E,) posture distance of the two ends [goal unit]"""


CheckedEdges = tuple[Edges, NDArray[np.bool_]]
"""Edges from the start or to the goal, and whether each crosses a keep-out, (E,)."""


@dataclass
class Graph(Optimiser):
    """Shortest path over seen states.

    An edge is a segment that every critic predicts to be reachable within one of a few horizons. Its cost is its number
    of steps, plus the steps equivalent to the predicted miss, plus the multiplier times those equivalent to the miss
    beyond the tolerance, plus a penalty for a change of posture. Edges between seen states are computed once per
    model; each plan adds those from the start and to the goal.

    Source: Eysenbach, Salakhutdinov, Levine, "Search on the replay buffer", arXiv 1906.05253; here edges are evaluated
    by the predicted miss within a horizon, not by a distance in steps.
    """

    nodes: int = 250
    """Number of seen states."""
    neighbours: int = 40
    """Candidate edges per node."""
    entries: int = 80
    """Candidate edges from the start, and to the goal."""
    strict: float = 0.6
    """Edges with a predicted miss above this part of the acceptable miss are used only if there is no other path: the
    predicted miss through a thin wall is nearly acceptable."""
    _edges: Edges | None = field(default=None, repr=False)
    _known: tuple[object, ...] = field(default=(), repr=False)
    _priced: tuple[tuple[object, ...], csr_matrix] | None = field(default=None, repr=False)
    _crossed: tuple[tuple[object, ...], NDArray[np.bool_]] | None = field(default=None, repr=False)

    def prepare(self, model: Model, states: SeenStates, objective: Objective) -> None:
        known = (model, states, objective.steps(model.horizon))
        if self._edges is not None and self._known == known:
            return
        self._states = states.first(self.nodes)
        count = len(self._states)
        most = objective.steps(model.horizon)
        self._horizons = np.array(sorted({max(most * part // 4, 1) - 1 for part in (1, 2, 4)}), np.float32)
        apart = model.space.distance(self._states.achieved[:, None], self._states.achieved)
        np.fill_diagonal(apart, np.inf)
        order = np.argsort(apart, axis=1)[:, : count - 1]
        target = order[:, _spread(count - 1, self.neighbours)]
        source = np.repeat(np.arange(count), target.shape[1])
        self._edges = self._judge(model, self._states.observation, self._states.achieved, source, target.ravel())
        self._known, self._priced, self._crossed = known, None, None

    def _judge(self, model: Model, observation: Array, achieved: Array, source: Index, target: Index) -> Edges:
        """Predicted misses and posture distances of edges from ``achieved[source]`` to seen states."""
        goal = self._states.achieved[target]
        miss = predicted_misses(model, observation[source], achieved[source], goal, self._horizons)
        posture = self._states.posture_distance(observation[source], self._states.observation[target])
        return Edges(source, target, miss, posture)

    def solve(
        self, problem: Problem, rng: np.random.Generator, warm: Array | None = None, late: TimeOver = no_limit
    ) -> Proposal | None:
        self.prepare(problem.model, problem.states, problem.objective)
        goals = goal_points(problem, self._states)
        entry, exit_ = self._entry(problem), self._exit(problem, goals)
        acceptable = problem.objective.acceptable
        for limit in (self.strict * acceptable, acceptable):
            found = self._search(problem, entry, exit_, limit)
            if found is not None:
                nodes, end = found
                return self._proposal(problem, nodes, goals[end])
        return None

    def _search(
        self, problem: Problem, entry: CheckedEdges, exit_: CheckedEdges, limit: float
    ) -> tuple[Index, int] | None:
        """Shortest path over edges with a predicted miss of at most ``limit`` [goal unit].

        Returns the seen states along it, and the index of the goal point that it ends at.
        """
        count = len(self._states)
        base = self._base(problem, limit)
        first = self._price(problem, *entry, limit)
        last = self._price(problem, *exit_, limit, ends_seen=False)
        going = np.isfinite(first)
        graph = csr_matrix(
            (
                np.concatenate([base.data, first[going]]),
                np.concatenate([base.indices, entry[0].target[going]]),
                np.append(base.indptr, len(base.data) + going.sum()),
            ),
            shape=(count + 1, count + 1),
        )
        far, before = dijkstra(graph, indices=count, return_predecessors=True)
        total = far[exit_[0].source] + last
        if not np.isfinite(total).any():
            return None
        final = int(total.argmin())
        nodes = [int(exit_[0].source[final])]
        while nodes[0] != count:
            nodes.insert(0, int(before[nodes[0]]))
        return np.array(nodes[1:], np.intp), int(exit_[0].target[final])

    def _proposal(self, problem: Problem, nodes: Index, goal: Array) -> Proposal:
        """Proposal for the path over ``nodes`` to a goal, (G,), with the time of each knot."""
        model, states = problem.model, self._states
        observation = np.concatenate([problem.observation[None], states.observation[nodes]])
        start = np.concatenate([problem.achieved[None], states.achieved[nodes]])
        knots = np.concatenate([states.achieved[nodes], goal[None]])
        most, slack = problem.objective.steps(model.horizon), SLACK * problem.objective.tolerance
        steps, miss = shortest_times(model, observation, start, knots, most, slack)
        away = model.space.distance(knots, problem.goal, problem.counted) + miss
        return Proposal(knots, steps, miss, away, True, float(problem.cost(knots[None])[0]))

    def _base(self, problem: Problem, limit: float) -> csr_matrix:
        """Edges between seen states with their costs for this problem, cached."""
        assert self._edges is not None
        objective, edges = problem.objective, self._edges
        key = (objective, problem.multiplier, problem.keep_out, limit)
        if self._priced is None or self._priced[0] != key:
            priced = self._price(problem, edges, self._base_crossed(problem), limit)
            going = np.isfinite(priced)
            count = len(self._states)
            ends = np.searchsorted(edges.source[going], np.arange(count + 1))
            base = csr_matrix((priced[going], edges.target[going], ends), shape=(count, count))
            self._priced = key, base
        return self._priced[1]

    def _base_crossed(self, problem: Problem) -> NDArray[np.bool_]:
        """Mask of the edges between seen states that cross a keep-out, (E,), cached: prices change more often."""
        assert self._edges is not None
        key = problem.keep_out, problem.objective.margin
        if self._crossed is None or self._crossed[0] != key:
            start, end = (self._states.achieved[nodes] for nodes in (self._edges.source, self._edges.target))
            self._crossed = key, problem.keep_out.crosses(start, end, problem.objective.margin)
        return self._crossed[1]

    def _price(
        self, problem: Problem, edges: Edges, crossed: NDArray[np.bool_], limit: float, ends_seen: bool = True
    ) -> Floats:
        """Costs of edges [steps], (E,); infinite for edges that are excluded."""
        by, longest, multiplier = problem.objective, float(self._horizons[-1] + 1), problem.multiplier or 0.0
        excess = np.maximum(edges.miss - by.tolerance, 0)
        behind = edges.miss + multiplier * excess if multiplier else 0.0 * edges.miss
        cost = (self._horizons + 1 + longest / problem.model.space.unit * behind).astype(np.float64)
        cost[edges.miss > limit - SLACK * by.tolerance] = np.inf  # `shortest_times` may add that slack to the miss
        cost[crossed] = np.inf
        cost = cost.min(axis=1) + longest * edges.posture / problem.model.space.unit
        if ends_seen:
            beyond = problem.limit_excess(self._states.observation)
            cost = cost + longest * by.limits * beyond[edges.target]
        return cost

    def _entry(self, problem: Problem) -> CheckedEdges:
        """Edges from the start to the nearest seen states."""
        model, states = problem.model, self._states
        near = np.argsort(model.space.distance(states.achieved, problem.achieved))[: self.entries]
        source = np.zeros(len(near), np.intp)
        edges = self._judge(model, problem.observation[None], problem.achieved[None], source, near)
        margin, may_leave = problem.margins(2)
        return edges, problem.keep_out.crosses(problem.achieved, states.achieved[near], margin[0], may_leave[0])

    def _exit(self, problem: Problem, goals: Array) -> CheckedEdges:
        """Edges to the goal points, (C, G), from seen states and from the start (node N)."""
        model, states = problem.model, self._states
        count = len(states)
        place = np.concatenate([states.achieved, problem.achieved[None]])
        observation = np.concatenate([states.observation, problem.observation[None]])
        each = max(self.entries // len(goals), 1)
        apart = model.space.distance(states.achieved, goals[:, None])
        near = np.argsort(apart, axis=1)[:, :each]
        source = np.concatenate([near, np.full((len(goals), 1), count)], axis=1)
        target = np.repeat(np.arange(len(goals)), source.shape[1])
        source = source.ravel()
        miss = predicted_misses(model, observation[source], place[source], goals[target], self._horizons)
        edges = Edges(source, target, miss, np.zeros(len(source), np.float32))
        margin, may_leave = problem.margins(2)
        from_start = source == count
        alone, _ = problem.margins(1)
        crossed = problem.keep_out.crosses(
            place[source], goals[target], np.where(from_start, alone[0], margin[1]), may_leave[0] & from_start
        )
        return edges, crossed


def _spread(count: int, wanted: int) -> Index:
    """Indices, by distance, of the neighbours that are evaluated: all near ones, then geometrically sparser ones."""
    if count <= wanted:
        return np.arange(count)
    near = wanted // 2
    far = np.geomspace(near, count - 1, wanted - near)
    return np.unique(np.concatenate([np.arange(near), far.astype(np.intp)]))
