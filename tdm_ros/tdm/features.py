"""What the networks see. The one implementation, in numpy, serves training and the 20 Hz loop alike."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec

CLIP = 5.0
"""Normalised observations are clipped to +-5 standard deviations."""
FULL_TURN = 2 * np.pi


@dataclass(frozen=True)
class Features:
    """Turns observation, goal and horizon into network inputs.

    Parameters
    ----------
    mean, std : (O,) float32
        Statistics of the observations of the random phase.
    goal_scale, goal_centre : (G,) float32
        Distance that counts as one, and the middle of the goal box [goal unit].
    wrap : (G,) bool
        Goal dimensions that are compared modulo one turn.
    near_scale : float
        Width of the saturating difference input [parts of ``goal_scale``].
    horizon : int
        Largest ``steps_left`` [steps].
    difference : bool
        Whether the goal is seen as a difference from what is achieved, or by itself.
    by_reach : bool
        Whether distances count in parts of what is within reach (`reach`).
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    goal_scale: NDArray[np.float32]
    goal_centre: NDArray[np.float32]
    wrap: NDArray[np.bool_]
    near_scale: float
    horizon: int
    difference: bool = True
    by_reach: bool = True

    @classmethod
    def fit(
        cls,
        task: TaskSpec,
        observations: NDArray[np.float32],
        near_scale: float,
        difference: bool = True,
        by_reach: bool = True,
    ) -> Features:
        """Take the statistics of ``observations``, (N, O); a coordinate that never moved keeps its scale of one."""
        std = observations.std(axis=0)
        goal = task.goal
        return cls(
            mean=observations.mean(axis=0),
            std=np.where(std > 1e-6, std, 1.0).astype(np.float32),
            goal_scale=np.asarray(goal.scale, np.float32),
            goal_centre=((np.asarray(goal.low) + np.asarray(goal.high)) / 2).astype(np.float32),
            wrap=np.asarray(goal.wrap or (False,) * goal.size),
            near_scale=near_scale,
            horizon=task.horizon,
            difference=difference,
            by_reach=by_reach,
        )

    @property
    def size(self) -> int:
        """Number of inputs: the observation, the goal (the difference twice), the horizon."""
        return len(self.mean) + (2 if self.difference else 1) * len(self.goal_scale) + 1

    def gap(self, achieved: NDArray[np.float32], goal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Goal minus achieved, the short way round, (..., G) [parts of ``goal_scale``]."""
        gap = goal - achieved
        if self.wrap.any():
            gap = gap - np.float32(FULL_TURN) * np.round(gap / np.float32(FULL_TURN)) * self.wrap
        return gap / self.goal_scale

    def place(self, goal: NDArray[np.float32]) -> NDArray[np.float32]:
        """The goal as seen from the middle of the goal box, (..., G) [parts of ``goal_scale``]."""
        return (goal - self.goal_centre) / self.goal_scale

    def reach(self, steps_left: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far one can get, as a part of how far one gets in the whole horizon: proportional to the time left.

        One, whatever the time, where distances do not count ``by_reach``.
        """
        if not self.by_reach:
            return np.ones_like(steps_left, np.float32)
        return ((steps_left + 1) / np.float32(self.horizon + 1)).astype(np.float32)

    def inputs(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Assemble network inputs: (..., O), (..., G), (..., G), (...) -> (..., size) float32."""
        state = np.clip((observation - self.mean) / self.std, -CLIP, CLIP)
        horizon = (2 / max(self.horizon, 1)) * steps_left - 1
        if self.difference:
            gap = self.gap(achieved, goal)
            seen = [gap, np.tanh(gap / np.float32(self.near_scale))]
        else:
            seen = [self.place(goal)]
        return np.concatenate([state, *seen, horizon[..., None]], axis=-1, dtype=np.float32)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fields as arrays, for a safetensors blob; `from_tensors` reads them back."""
        return {f"features.{f.name}": np.atleast_1d(np.asarray(getattr(self, f.name))) for f in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]]) -> Features:
        """Rebuild from `tensors`.

        Raises
        ------
        ValueError
            If one is missing.
        """
        numbers: dict[str, type] = {"near_scale": float, "horizon": int, "difference": bool, "by_reach": bool}
        try:
            values: dict[str, Any] = {f.name: tensors[f"features.{f.name}"] for f in fields(cls)}
        except KeyError as error:
            raise ValueError(f"the weights lack {error}; they were written by another version") from error
        values |= {name: kind(values[name][0]) for name, kind in numbers.items()}
        return cls(**values)
