"""Rollout of candidate plans through the model: from knot to knot, or from predicted point to predicted point."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tdm_ros.planning.model import Model, Pull
from tdm_ros.planning.space import Array
from tdm_ros.planning.states import SeenStates


@dataclass(frozen=True)
class Course:
    """B candidate plans with n segments, followed.

    Parameters
    ----------
    start, end : (B, n, G)
        Where each segment begins and ends: knots, or, chained, the mean of the predicted points [goal unit].
    points : (M, B, n, G)
        Where each member expects to be after each segment [goal unit].
    observation : (B, n, O)
        The states that are believed to be at the ends.
    seen : (B, n, G)
        Where these were seen [goal unit].
    chained : bool
    pulls : list of Pull
        One for all segments, or, chained, one for each; empty unless asked for.
    """

    start: Array
    end: Array
    points: Array
    observation: Array
    seen: Array
    chained: bool
    pulls: list[Pull] = field(default_factory=list)

    def pull(self, start: Array, end: Array, points: Array) -> Array:
        """Gradient with respect to the knots, from those with respect to the parts of the course: (B, n, G)."""
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


def follow(
    model: Model,
    states: SeenStates,
    observation: Array,
    achieved: Array,
    knots: Array,
    steps: int,
    chained: bool = False,
    slopes: bool = False,
) -> Course:
    """Follow candidate plans, (B, n, G), from one state.

    Parameters
    ----------
    model : Model
    states : SeenStates
    observation : (O,)
    achieved : (G,) [goal unit]
    knots : (B, n, G) [goal unit]
    steps : int
        Of each segment [steps].
    chained : bool
        Whether a segment begins where the last one is predicted to end, and not at its knot.
    slopes : bool
        Whether the course is to pull gradients.
    """
    batch, segments, _ = knots.shape
    first = np.broadcast_to(achieved, knots[:, :1].shape)
    now = np.broadcast_to(observation, (batch, len(observation)))
    if chained:
        return _chain(model, states, now, first[:, 0], knots, steps, slopes)
    start = np.concatenate([first, knots[:, :-1]], axis=1)
    at = [now]
    seen = []
    for segment in range(segments):
        whole, place = states.complete(knots[:, segment], at[-1])
        at.append(whole)
        seen.append(place)
    observed = np.stack(at, axis=1)
    rows = batch * segments
    asked = (
        observed[:, :-1].reshape(rows, -1),
        start.reshape(rows, -1),
        knots.reshape(rows, -1),
        np.full(rows, steps - 1, np.float32),
    )
    points, pulls = _ask(model, asked, slopes)
    points = points.reshape(-1, *knots.shape)
    return Course(start, knots, points, observed[:, 1:], np.stack(seen, axis=1), False, pulls)


def _chain(model: Model, states: SeenStates, now: Array, here: Array, knots: Array, steps: int, slopes: bool) -> Course:
    left = np.full(len(knots), steps - 1, np.float32)
    starts: list[Array] = []
    parts: list[tuple[Array, Array, Array, Array]] = []
    pulls: list[Pull] = []
    for segment in range(knots.shape[1]):
        starts.append(here)
        points, pull = _ask(model, (now, here, knots[:, segment], left), slopes)
        here = points.mean(axis=0)
        now, place = states.complete(here, now)
        parts.append((here, points, now, place))
        pulls += pull
    ends, members, observed, places = zip(*parts, strict=True)
    start, end, observation, seen = (np.stack(part, axis=1) for part in (starts, ends, observed, places))
    return Course(start, end, np.stack(members, axis=2), observation, seen, True, pulls)


def _ask(model: Model, asked: tuple[Array, Array, Array, Array], slopes: bool) -> tuple[Array, list[Pull]]:
    if not slopes:
        return model.predict(*asked), []
    points, pull = model.linearise(*asked)
    return points, [pull]
