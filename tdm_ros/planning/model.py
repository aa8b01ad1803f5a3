"""Models of the motion towards a goal: predicted goal-space points after a number of steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning.space import Array, GoalSpace, Mask
from tdm_ros.tdm.actor import NumpyActor

Pull = Callable[[Array], tuple[Array, Array]]
"""Gradient with respect to the points, (M, B, G), to gradients with respect to achieved and goal, (B, G) each."""


class Model(ABC):
    """Predicts where the policy arrives: a learned model, or an exact one."""

    space: GoalSpace
    horizon: int
    """Largest ``steps_left`` [steps]."""

    @abstractmethod
    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        """Points after ``steps_left + 1`` steps towards ``goal``, of M members: shapes as `NumpyActor.predict`."""

    @abstractmethod
    def linearise(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> tuple[Array, Pull]:
        """As `predict`, with the function that propagates gradients back: shapes as `NumpyActor.linearise`."""

    def miss(
        self, observation: Array, achieved: Array, goal: Array, steps_left: Array, dims: Mask | None = None
    ) -> Array:
        """Predicted distance to ``goal`` at the end, of the worst member, over all dimensions or ``dims``: (B,)."""
        points = self.predict(observation, achieved, goal, steps_left)
        worst: Array = self.space.distance(points, goal, dims).max(axis=0)
        return worst


class ReachModel(Model):
    """Model of a learned TDM: its critics, at the actor's own action. Raises ValueError for weights without critics."""

    def __init__(self, actor: NumpyActor) -> None:
        if actor.critic is None:
            raise ValueError(
                f'a plan needs critics; weights of the horizon schedule "{actor.horizon_schedule}" have none: '
                'learn with TdmConfig.horizon_schedule "segments"'
            )
        self.actor = actor
        self.space = GoalSpace(actor.features.goal_scale, actor.features.wrap)
        self.horizon = actor.features.horizon

    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        return self.actor.predict(observation, achieved, goal, steps_left)

    def linearise(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> tuple[Array, Pull]:
        return self.actor.linearise(observation, achieved, goal, steps_left)


def predicted_misses(
    model: Model, observation: Array, achieved: Array, goal: Array, horizons: Array, dims: Mask | None = None
) -> Array:
    """Predicted misses of E segments for each of H horizons [steps], as `Model.miss`: (E, H) [goal unit]."""
    count = len(horizons)
    rows = [np.repeat(part, count, axis=0) for part in (observation, achieved, goal)]
    return model.miss(rows[0], rows[1], rows[2], np.tile(horizons, len(goal)), dims).reshape(-1, count)


def shortest_times(
    model: Model, observation: Array, achieved: Array, goal: Array, most: int, slack: float, dims: Mask | None = None
) -> tuple[NDArray[np.int64], Array]:
    """Shortest time per segment in which its predicted miss is at most ``slack`` above the smallest one.

    With more time than it needs, a policy may make a detour; with little time it moves straight. Returns the times,
    (E,) int from 1 to ``most`` [steps], and the predicted misses at them, (E,) [goal unit].
    """
    miss = predicted_misses(model, observation, achieved, goal, np.arange(most, dtype=np.float32), dims)
    chosen = np.argmax(miss <= miss.min(axis=1, keepdims=True) + slack, axis=1)
    return (chosen + 1).astype(np.int64), np.take_along_axis(miss, chosen[:, None], axis=1)[:, 0]
