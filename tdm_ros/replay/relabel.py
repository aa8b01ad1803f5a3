"""Relabelling of goals and horizons in hindsight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tdm_ros.replay.store import TrajectoryStore


@dataclass(frozen=True)
class GoalMix:
    """Fractions of the goals of a batch by their origin; they sum to one."""

    future: float = 0.4
    """A later achieved goal of the same trajectory."""
    buffer: float = 0.1
    """An achieved goal of any stored step."""
    box: float = 0.3
    """A point drawn uniformly from the task's goal box."""
    near: float = 0.2
    """The next achieved goal of the same step, plus Gaussian noise."""
    rollout: float = 0.0
    """The desired goal of the step."""
    near_std: float = 0.15
    """Standard deviation of that noise [fraction of the task's goal scale]."""
    span: float = 2.0
    """Range of ``future`` in horizons (``horizon + 1`` steps); 0: to the end of the trajectory."""

    def __post_init__(self) -> None:
        shares = (self.future, self.buffer, self.box, self.near, self.rollout)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"GoalMix shares must be >= 0 and sum to 1, got {shares}")
        if self.near_std <= 0:
            raise ValueError(f"GoalMix.near_std must be positive, got {self.near_std}")
        if self.span < 0:
            raise ValueError(f"GoalMix.span must be >= 0 horizons, got {self.span}")


class Batch(NamedTuple):
    """``N`` batches of ``B`` relabelled transitions; every array is (N, B, ...) float32."""

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    next_observation: NDArray[np.float32]
    achieved: NDArray[np.float32]
    next_achieved: NDArray[np.float32]
    goal: NDArray[np.float32]
    """(N, B, G) relabelled goal [goal unit]."""
    steps_left: NDArray[np.float32]
    """(N, B) horizon, uniform over 0 .. horizon and independent of the goal [steps]."""
    terminated: NDArray[np.bool_]
    """(N, B) the environment ended the episode: the distance counts now, for any ``steps_left``."""


def sample_batches(
    store: TrajectoryStore,
    mix: GoalMix,
    shape: tuple[int, int],
    rng: np.random.Generator,
    operator_fraction: float = 0.0,
    horizon: int | None = None,
) -> Batch:
    """Draw ``shape = (N, B)`` transitions and relabel their goals and horizons.

    Several batches are drawn at once because the cost is mostly per call. A fraction of ``operator_fraction``, in [0,
    1], is drawn from the operator's transitions, if there are any, and the rest from all. ``horizon`` is the longest
    ``steps_left``, by default the task's [steps]. Raises ValueError if the store is empty.

    Source: hindsight goals and uniform horizons as in Pong et al. 2018, section 4; the "box" and "near" goals are ours.
    """
    index = store.draw(rng, shape)
    if operator_fraction and len(human := store.human()):
        by_operator = rng.random(shape) < operator_fraction
        index[by_operator] = rng.choice(human, int(by_operator.sum()))
    rows = store.rows(index)
    horizon = store.task.horizon if horizon is None else horizon
    goal = _future(store, index, int(mix.span * (horizon + 1)), rng)
    kind = rng.random(shape)
    edges = np.cumsum([mix.future, mix.buffer, mix.box, mix.near])
    elsewhere = (kind >= edges[0]) & (kind < edges[1])
    goal[elsewhere] = store.column("next_achieved", store.draw(rng, (int(elsewhere.sum()),)))
    boxed = (kind >= edges[1]) & (kind < edges[2])
    spec = store.task.goal
    goal[boxed] = rng.uniform(spec.low, spec.high, (int(boxed.sum()), spec.size))
    near = (kind >= edges[2]) & (kind < edges[3])
    noise = rng.standard_normal((int(near.sum()), spec.size)) * (mix.near_std * np.asarray(spec.scale))
    goal[near] = rows["next_achieved"][near] + noise
    pursued = kind >= edges[3]
    goal[pursued] = rows["desired"][pursued]
    return Batch(
        rows["observation"],
        rows["action"],
        rows["next_observation"],
        rows["achieved"],
        rows["next_achieved"],
        goal,
        rng.integers(0, horizon + 1, shape).astype(np.float32),
        rows["terminated"],
    )


def _future(
    store: TrajectoryStore, index: NDArray[np.int64], limit: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Next achieved goals of the same trajectory, from this step to ``limit`` steps later (0: no limit)."""
    span = store.end_of(index) - index
    if limit:
        span = np.minimum(span, limit)
    later = index + (rng.random(index.shape) * span).astype(np.int64)
    return store.column("next_achieved", later)
