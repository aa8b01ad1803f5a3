"""Model of a plan: predicted state some steps after pursuing a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tdm_ros.planning.space import Array, GoalSpace, Mask
from tdm_ros.tdm.actor import NumpyActor, evaluate, linearise

Pull = Callable[[Array], tuple[Array, Array]]
"""From the gradient with respect to the points, (M, B, G), to those with respect to achieved and goal, (B, G) each."""


class Model(ABC):
    """Predicts outcomes. A learned one, or one that is known exactly.

    Attributes
    ----------
    space : GoalSpace
    horizon : int
        Largest ``steps_left`` [steps].
    """

    space: GoalSpace
    horizon: int

    @abstractmethod
    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        """Where one will be after ``steps_left + 1`` steps towards ``goal``, by each of M members.

        Parameters
        ----------
        observation : (B, O) float32
        achieved, goal : (B, G) float32 [goal unit]
        steps_left : (B,) float32
            Within 0 .. horizon [steps].

        Returns
        -------
        (M, B, G) float32 [goal unit]
        """

    @abstractmethod
    def linearise(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> tuple[Array, Pull]:
        """As `predict`, with the function that pulls gradients back; the observation is held."""

    def miss(
        self, observation: Array, achieved: Array, goal: Array, steps_left: Array, dims: Mask | None = None
    ) -> Array:
        """How far from ``goal`` one will be, by the member that expects the worst: (B,) [goal unit].

        Parameters
        ----------
        observation, achieved, goal, steps_left
            As `predict`.
        dims : (G,) bool, optional
            The dimensions that count; all, if left out.
        """
        points = self.predict(observation, achieved, goal, steps_left)
        worst: Array = self.space.distance(points, goal, dims).max(axis=0)
        return worst


class ReachModel(Model):
    """A learned TDM as a model: critics asked about the actor's own action.

    Parameters
    ----------
    actor : NumpyActor
        With critics, as a policy that chooses its horizon has them.

    Raises
    ------
    ValueError
        If there are none.
    """

    def __init__(self, actor: NumpyActor) -> None:
        if actor.critic is None:
            raise ValueError(
                f'a plan needs critics that predict points; these weights act by "{actor.running}" and hold none: '
                'learn with TdmConfig.running "align"'
            )
        self.actor, self._critic = actor, actor.critic
        features = self._features = actor.features
        self.space = GoalSpace(features.goal_scale, features.wrap)
        self.horizon = features.horizon
        self._actions = actor.sizes[2]

    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        actor = self.actor
        x = self._features.inputs(observation, achieved, goal, steps_left)
        action = np.tanh(evaluate(actor.layers, x, actor.layer_norm)[0, :, : self._actions])
        out = evaluate(self._critic, np.concatenate([x, action], axis=-1), actor.layer_norm)
        return self._origin(achieved) + out * self._size(steps_left)

    def linearise(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> tuple[Array, Pull]:
        actor, features = self.actor, self._features
        x = features.inputs(observation, achieved, goal, steps_left)
        heads, pull_actor = linearise(actor.layers, x, actor.layer_norm)
        action = np.tanh(heads[0, :, : self._actions])
        out, pull_critic = linearise(self._critic, np.concatenate([x, action], axis=-1), actor.layer_norm)
        size = self._size(steps_left)

        def pull(slope: Array) -> tuple[Array, Array]:
            both = pull_critic(slope * size)
            head = np.zeros_like(heads)
            head[0, :, : self._actions] = both[:, features.size :] * (1 - action * action)
            here, there = features.pull(both[:, : features.size] + pull_actor(head), achieved, goal)
            return (here + slope.sum(axis=0) if actor.residual else here), there

        return self._origin(achieved) + out * size, pull

    def _origin(self, achieved: Array) -> Array:
        """Where the critics count from: a motion from here, or a place in the goal box."""
        return achieved if self.actor.residual else self._features.goal_centre

    def _size(self, steps_left: Array) -> Array:
        """What one of a critic's output is [goal unit]."""
        scale = self._features.goal_scale
        return self._features.reach(steps_left)[:, None] * scale if self.actor.residual else scale


def misses(
    model: Model, observation: Array, achieved: Array, goal: Array, horizons: Array, dims: Mask | None = None
) -> Array:
    """Predicted miss of E reaches for each of H horizons, by the worst member: (E, H) [goal unit].

    Parameters
    ----------
    model : Model
    observation : (E, O)
    achieved, goal : (E, G) [goal unit]
    horizons : (H,) [steps]
    dims : (G,) bool, optional
        As `Model.miss`.
    """
    count = len(horizons)
    rows = [np.repeat(part, count, axis=0) for part in (observation, achieved, goal)]
    return model.miss(rows[0], rows[1], rows[2], np.tile(horizons, len(goal)), dims).reshape(-1, count)


def quickest(
    model: Model, observation: Array, achieved: Array, goal: Array, most: int, slack: float, dims: Mask | None = None
) -> tuple[NDArray[np.int64], Array]:
    """The shortest time of each reach in which it is promised to miss by no more than ``slack`` beyond the best.

    A policy that has more time than it needs may take any way; one that has to hurry goes straight.

    Parameters
    ----------
    model, observation, achieved, goal, dims
        As `misses`.
    most : int
        Steps that are to be had, at least 1 [steps].
    slack : float
        [goal unit]

    Returns
    -------
    steps : (E,) int
        From 1 to ``most`` [steps].
    miss : (E,) float32
        What is promised then [goal unit].
    """
    miss = misses(model, observation, achieved, goal, np.arange(most, dtype=np.float32), dims)
    chosen = np.argmax(miss <= miss.min(axis=1, keepdims=True) + slack, axis=1)
    return (chosen + 1).astype(np.int64), np.take_along_axis(miss, chosen[:, None], axis=1)[:, 0]
