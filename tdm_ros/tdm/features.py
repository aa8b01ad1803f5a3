"""What the networks see. The one implementation, in numpy, serves training and the 20 Hz loop alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec

CLIP = 5.0
"""Normalised observations are clipped to +-5 standard deviations."""


@dataclass(frozen=True)
class Features:
    """Turns observation, goal and horizon into network inputs.

    Parameters
    ----------
    mean, std : (O,) float32
        Statistics of the observations of the random phase.
    goal_scale : (G,) float32
        Distance that counts as one [goal unit].
    near_scale : float
        Width of the saturating difference input [parts of ``goal_scale``].
    horizon : int
        Largest ``steps_left`` [steps].
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    goal_scale: NDArray[np.float32]
    near_scale: float
    horizon: int

    @classmethod
    def fit(cls, task: TaskSpec, observations: NDArray[np.float32], near_scale: float) -> Features:
        """Take the statistics of ``observations``, (N, O); a coordinate that never moved keeps its scale of one."""
        std = observations.std(axis=0)
        return cls(
            mean=observations.mean(axis=0),
            std=np.where(std > 1e-6, std, 1.0).astype(np.float32),
            goal_scale=np.asarray(task.goal.scale, np.float32),
            near_scale=near_scale,
            horizon=task.horizon,
        )

    @property
    def size(self) -> int:
        """Number of inputs: the observation, the goal difference twice, the horizon."""
        return len(self.mean) + 2 * len(self.goal_scale) + 1

    def gap(self, achieved: NDArray[np.float32], goal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Goal minus achieved, (..., G) [parts of ``goal_scale``]."""
        return (goal - achieved) / self.goal_scale

    def reach(self, steps_left: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far one can get, as a part of how far one gets in the whole horizon: proportional to the time left."""
        return ((steps_left + 1) / np.float32(self.horizon + 1)).astype(np.float32)

    def inputs(
        self, observation: NDArray[np.float32], gap: NDArray[np.float32], steps_left: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Assemble network inputs: (..., O), (..., G), (...) -> (..., size) float32."""
        state = np.clip((observation - self.mean) / self.std, -CLIP, CLIP)
        horizon = 2 * steps_left / max(self.horizon, 1) - 1
        parts = [state, gap, np.tanh(gap / np.float32(self.near_scale)), horizon[..., None]]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fields as arrays, for a safetensors blob; `from_tensors` reads them back."""
        return {
            "features.mean": self.mean,
            "features.std": self.std,
            "features.goal_scale": self.goal_scale,
            "features.near_scale": np.array([self.near_scale], np.float32),
            "features.horizon": np.array([self.horizon], np.int64),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]]) -> Features:
        """Rebuild from `tensors`.

        Raises
        ------
        ValueError
            If one is missing.
        """
        try:
            return cls(
                tensors["features.mean"],
                tensors["features.std"],
                tensors["features.goal_scale"],
                float(tensors["features.near_scale"][0]),
                int(tensors["features.horizon"][0]),
            )
        except KeyError as error:
            raise ValueError(f"the weights lack {error}; they were written by another version") from error
