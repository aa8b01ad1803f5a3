"""Inputs of the networks: one implementation in numpy, for training and for the 20 Hz loop."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec

COMPRESSION_SCALE = 5.0
"""Normalised observations are compressed (arcsinh) beyond about this many standard deviations of the random phase."""
FULL_TURN_RAD = 2 * np.pi
LONGEST_HORIZON = 10_000
"""Longest horizon that is read from a file or a message [steps]."""


def measure_reachable_distances(
    achieved: NDArray[np.float32], last: NDArray[np.bool_], scale: NDArray[np.float32], horizon: int
) -> NDArray[np.float32]:
    """Distance of random motion in 1 .. ``horizon + 1`` steps, as a fraction of the largest of these distances.

    Root mean square over all pairs of states of one trajectory; it does not decrease with the time, and is at least
    proportional to it. For positions it is about proportional; velocities change as much in one step as in ten.
    ``achieved`` (N, G) are the goal-space points of consecutive states and ``scale`` (G,) their unit [goal unit];
    ``last`` (N,) marks the last state of each trajectory. Returns (horizon + 1,) float32 in (0, 1].
    """
    trajectory: NDArray[np.int64] = np.cumsum(last) - last
    distances = np.zeros(horizon + 1)
    for steps in range(1, horizon + 2):
        same: NDArray[np.bool_] = trajectory[steps:] == trajectory[:-steps]
        moved = (achieved[steps:] - achieved[:-steps])[same] / scale
        if len(moved):
            distances[steps - 1] = np.sqrt(np.square(moved).sum(axis=-1).mean())
    proportional = np.arange(1, horizon + 2) / (horizon + 1)
    fractions = distances / distances.max() if distances.max() > 0 else proportional
    return np.clip(np.maximum.accumulate(fractions), proportional, 1).astype(np.float32)


def _statistics(observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation, (O,) each; of a constant coordinate the deviation is one."""
    std = observations.std(axis=0)
    return observations.mean(axis=0), np.where(std > 1e-6, std, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Features:
    """Conversion of observation, goal and horizon to network inputs; the statistics are of the random phase."""

    mean: NDArray[np.float32]  # (O,) of the observations
    std: NDArray[np.float32]  # (O,) of the observations
    goal_scale: NDArray[np.float32]  # (G,) unit of distances [goal unit]
    goal_centre: NDArray[np.float32]  # (G,) of the goal box [goal unit]
    wrap: NDArray[np.bool_]  # (G,) goal dimensions that are angles, compared modulo one turn
    near_scale: float  # width of the tanh of the second difference input [multiples of ``goal_scale``]
    horizon: int  # largest ``steps_left`` [steps]
    reachable_distances: NDArray[np.float32]  # (horizon + 1,) per ``steps_left``, as a fraction of the last one
    relative_goal: bool  # the goal is an input as the difference from the achieved goal, or as its own coordinates
    angle: NDArray[np.bool_]  # (O,) observations that are angles: inputs of the one-step model as sine and cosine
    motion_scale: float  # root mean square motion of the goal point in one step [multiples of ``goal_scale``]
    transitions: int  # number of observations of the statistics

    @classmethod
    def fit(
        cls,
        task: TaskSpec,
        observations: NDArray[np.float32],
        near_scale: float,
        reachable_distances: NDArray[np.float32] | None = None,
        relative_goal: bool = True,
        motion_scale: float = 1.0,
    ) -> Features:
        """Compute the statistics of ``observations``, (N, O); the scale of a constant coordinate is one.

        Without ``reachable_distances``, distances have the same scale for every horizon.
        """
        goal, (mean, std) = task.goal, _statistics(observations)
        if reachable_distances is None:
            reachable_distances = np.ones(task.horizon + 1, np.float32)
        return cls(
            mean=mean,
            std=std,
            goal_scale=np.asarray(goal.scale, np.float32),
            goal_centre=((np.asarray(goal.low) + np.asarray(goal.high)) / 2).astype(np.float32),
            wrap=np.asarray(goal.wrap or (False,) * goal.size),
            near_scale=near_scale,
            horizon=task.horizon,
            reachable_distances=reachable_distances,
            relative_goal=relative_goal,
            angle=np.isin(np.arange(task.observation.size), task.angles),
            motion_scale=motion_scale,
            transitions=len(observations),
        )

    def renormalised(self, observations: NDArray[np.float32]) -> Features:
        """The same with the statistics of other ``observations``, (N, O)."""
        mean, std = _statistics(observations)
        return replace(self, mean=mean, std=std, transitions=len(observations))

    @property
    def size(self) -> int:
        """Number of inputs: observation, goal (a difference twice: plain, and its tanh), horizon."""
        return len(self.mean) + (2 if self.relative_goal else 1) * len(self.goal_scale) + 1

    @property
    def one_step_size(self) -> int:
        """Number of inputs of the one-step model."""
        return len(self.mean) + int(self.angle.sum())

    def one_step_inputs(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inputs of the one-step model: (..., O) -> (..., one_step_size) float32."""
        angles, others = observation[..., self.angle], self._state(observation)[..., ~self.angle]
        return np.concatenate([others, np.sin(angles), np.cos(angles)], axis=-1, dtype=np.float32)

    def _state(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised observation, compressed where it is large."""
        state = COMPRESSION_SCALE * np.arcsinh((observation - self.mean) / (COMPRESSION_SCALE * self.std))
        return np.asarray(state, np.float32)

    def gap(self, achieved: NDArray[np.float32], goal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Goal minus achieved, angles in half a turn, (..., G) [multiples of ``goal_scale``]."""
        gap = goal - achieved
        if self.wrap.any():
            gap = gap - np.float32(FULL_TURN_RAD) * np.round(gap / np.float32(FULL_TURN_RAD)) * self.wrap
        return gap / self.goal_scale

    def place(self, goal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Goal relative to the centre of the goal box, (..., G) [multiples of ``goal_scale``]."""
        return (goal - self.goal_centre) / self.goal_scale

    def reachable_distance(self, steps_left: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reachable distance, as a fraction of the one of the whole horizon: (...) -> (...)."""
        return self.reachable_distances[steps_left.astype(np.intp)]

    def inputs(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Network inputs: (..., O), (..., G), (..., G), (...) -> (..., size) float32."""
        horizon = (2 / max(self.horizon, 1)) * steps_left - 1
        if self.relative_goal:
            gap = self.gap(achieved, goal)
            goals = [gap, np.tanh(gap / np.float32(self.near_scale))]
        else:
            goals = [self.place(goal)]
        return np.concatenate([self._state(observation), *goals, horizon[..., None]], axis=-1, dtype=np.float32)

    def vjp(
        self, gradient: NDArray[np.float32], achieved: NDArray[np.float32], goal: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gradients with respect to ``achieved`` and ``goal``, (B, G), from that with respect to `inputs`."""
        start, goals = len(self.mean), len(self.goal_scale)
        by_goal = gradient[:, start : start + goals] / self.goal_scale
        if not self.relative_goal:
            return np.zeros_like(by_goal), by_goal
        near = np.tanh(self.gap(achieved, goal) / np.float32(self.near_scale))
        width = self.goal_scale * np.float32(self.near_scale)
        by_goal = by_goal + gradient[:, start + goals : start + 2 * goals] * (1 - near * near) / width
        return -by_goal, by_goal

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fields as arrays, for a safetensors file; `from_tensors` reads them."""
        return {f"features.{f.name}": np.atleast_1d(np.asarray(getattr(self, f.name))) for f in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]]) -> Features:
        """Rebuild from `tensors`.

        Raises ValueError if one is missing, not finite, or of a size that does not fit the others.
        """
        numbers: dict[str, type] = dict(near_scale=float, horizon=int, relative_goal=bool, motion_scale=float)
        numbers["transitions"] = int
        try:
            values: dict[str, Any] = {f.name: tensors[f"features.{f.name}"] for f in fields(cls)}
        except KeyError as error:
            raise ValueError(f"the weights lack {error}; they were written by another version") from error
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise ValueError(f"features.{name} is not finite; the learner that wrote it has diverged")
        for name, like in (("std", "mean"), ("angle", "mean"), ("goal_centre", "goal_scale"), ("wrap", "goal_scale")):
            if values[name].ndim != 1 or values[name].shape != values[like].shape:
                raise ValueError(f"features.{name} must have the size of features.{like}, got {values[name].shape}")
        values |= {name: kind(values[name].ravel()[0]) for name, kind in numbers.items() if values[name].size}
        if not all(isinstance(values[name], kind) for name, kind in numbers.items()):
            raise ValueError(f"features {', '.join(numbers)} must have one number each")
        if not 0 <= values["horizon"] <= LONGEST_HORIZON:
            raise ValueError(f"features.horizon must be in [0, {LONGEST_HORIZON}] steps, got {values['horizon']}")
        if values["angle"].dtype != np.bool_:
            raise ValueError(f"features.angle must be of bools, got {values['angle'].dtype}")
        positive = min(values["near_scale"], values["motion_scale"])
        if not (positive > 0 and (values["std"] > 0).all() and (values["goal_scale"] > 0).all()):
            raise ValueError("features near_scale, motion_scale, std and goal_scale must be positive")
        reachable, expected = values["reachable_distances"], (values["horizon"] + 1,)
        if reachable.shape != expected:
            raise ValueError(f"features.reachable_distances must have shape {expected}, got {reachable.shape}")
        return cls(**values)
