"""Inputs of the networks. One implementation, in numpy, for training and the 20 Hz loop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec

BEND = 5.0
"""Normalised observations are compressed smoothly from about 5 standard deviations on. The random phase is slow: a
runner soon is at ten times its standard deviations, and what is cut off there is lost."""
FULL_TURN = 2 * np.pi
LONGEST_HORIZON = 10_000
"""Longest horizon that is read from a file or a message [steps]."""


def measure_reaches(
    achieved: NDArray[np.float32], last: NDArray[np.bool_], scale: NDArray[np.float32], horizon: int
) -> NDArray[np.float32]:
    """How far random motion gets in 1 .. ``horizon + 1`` steps, as a part of the last of these.

    A hand gets about proportionally farther with time, a velocity swings as far in one step as in ten. It is the root
    mean square over all pairs of states of one trajectory, never less than proportional to the time.

    Parameters
    ----------
    achieved : (N, G) float32
        Goal-space points of consecutive states [goal unit].
    last : (N,) bool
        Where a trajectory ends.
    scale : (G,) float32
    horizon : int

    Returns
    -------
    (horizon + 1,) float32 in (0, 1]
    """
    trajectory: NDArray[np.int64] = np.cumsum(last) - last
    spans = np.zeros(horizon + 1)
    for span in range(1, horizon + 2):
        together: NDArray[np.bool_] = trajectory[span:] == trajectory[:-span]
        moved = (achieved[span:] - achieved[:-span])[together] / scale
        if len(moved):
            spans[span - 1] = np.sqrt(np.square(moved).sum(axis=-1).mean())
    proportional = np.arange(1, horizon + 2) / (horizon + 1)
    parts = spans / spans.max() if spans.max() > 0 else proportional
    return np.clip(np.maximum.accumulate(parts), proportional, 1).astype(np.float32)


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
    reaches : (horizon + 1,) float32
        How far one gets with that many steps left, as a part of how far one gets in the whole horizon.
    difference : bool
        Whether the goal is seen as a difference from what is achieved, or by itself.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    goal_scale: NDArray[np.float32]
    goal_centre: NDArray[np.float32]
    wrap: NDArray[np.bool_]
    near_scale: float
    horizon: int
    reaches: NDArray[np.float32]
    difference: bool = True

    @classmethod
    def fit(
        cls,
        task: TaskSpec,
        observations: NDArray[np.float32],
        near_scale: float,
        reaches: NDArray[np.float32] | None = None,
        difference: bool = True,
    ) -> Features:
        """Take the statistics of ``observations``, (N, O); a coordinate that never moved keeps its scale of one.

        Without ``reaches`` distances count alike whatever the time.
        """
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
            reaches=np.ones(task.horizon + 1, np.float32) if reaches is None else reaches,
            difference=difference,
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
        """How far one gets in that time, as a part of how far one gets in the whole horizon: (...) -> (...)."""
        return self.reaches[steps_left.astype(np.intp)]

    def inputs(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Assemble network inputs: (..., O), (..., G), (..., G), (...) -> (..., size) float32."""
        state = BEND * np.arcsinh((observation - self.mean) / (BEND * self.std))
        horizon = (2 / max(self.horizon, 1)) * steps_left - 1
        if self.difference:
            gap = self.gap(achieved, goal)
            seen = [gap, np.tanh(gap / np.float32(self.near_scale))]
        else:
            seen = [self.place(goal)]
        return np.concatenate([state, *seen, horizon[..., None]], axis=-1, dtype=np.float32)

    def pull(
        self, slope: NDArray[np.float32], achieved: NDArray[np.float32], goal: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gradients with respect to ``achieved`` and ``goal``, (B, G), from that with respect to `inputs`."""
        start, goals = len(self.mean), len(self.goal_scale)
        there = slope[:, start : start + goals] / self.goal_scale
        if not self.difference:
            return np.zeros_like(there), there
        saturating = np.tanh(self.gap(achieved, goal) / np.float32(self.near_scale))
        width = self.goal_scale * np.float32(self.near_scale)
        there = there + slope[:, start + goals : start + 2 * goals] * (1 - saturating * saturating) / width
        return -there, there

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fields as arrays, for a safetensors blob; `from_tensors` reads them back."""
        return {f"features.{f.name}": np.atleast_1d(np.asarray(getattr(self, f.name))) for f in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray[Any]]) -> Features:
        """Rebuild from `tensors`.

        Raises
        ------
        ValueError
            If one is missing, not finite, or ``reaches`` does not fit the horizon.
        """
        numbers: dict[str, type] = {"near_scale": float, "horizon": int, "difference": bool}
        try:
            values: dict[str, Any] = {f.name: tensors[f"features.{f.name}"] for f in fields(cls)}
        except KeyError as error:
            raise ValueError(f"the weights lack {error}; they were written by another version") from error
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise ValueError(f"features.{name} is not finite; the learner that wrote it has diverged")
        for name, like in (("std", "mean"), ("goal_centre", "goal_scale"), ("wrap", "goal_scale")):
            if values[name].ndim != 1 or values[name].shape != values[like].shape:
                raise ValueError(f"features.{name} must have the size of features.{like}, got {values[name].shape}")
        values |= {name: kind(values[name].ravel()[0]) for name, kind in numbers.items() if values[name].size}
        if not all(isinstance(values[name], kind) for name, kind in numbers.items()):
            raise ValueError(f"features {', '.join(numbers)} must have one number each")
        if not 0 <= values["horizon"] <= LONGEST_HORIZON:
            raise ValueError(f"features.horizon must be in [0, {LONGEST_HORIZON}] steps, got {values['horizon']}")
        if not (values["near_scale"] > 0 and (values["std"] > 0).all() and (values["goal_scale"] > 0).all()):
            raise ValueError("features near_scale, std and goal_scale must be positive")
        if values["reaches"].ndim != 1 or len(values["reaches"]) != values["horizon"] + 1:
            raise ValueError(
                f"features.reaches must have {values['horizon'] + 1} entries, got {len(values['reaches'])}"
            )
        return cls(**values)
