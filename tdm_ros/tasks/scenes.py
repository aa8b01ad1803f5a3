"""Scenes around the arm: keep-outs of the hand, and goals of their evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks.spec import Array, TaskSpec

Point = tuple[float, float, float]
CLEAR_M = 0.03
"""Goals are drawn at least this far from every region [m]."""


@dataclass(frozen=True)
class Scene:
    """Keep-out boxes in the first three dimensions of the goal space, and the evaluation in this scene.

    The simulation does not stop the hand at a box: an episode that enters one counts as failed. Raises ValueError if a
    lower corner is not below its upper one.
    """

    keep_out_m: tuple[tuple[Point, Point], ...] = ()
    """Opposite corners of boxes in frame base [m]."""
    evaluate_low_m: Point | None = None
    evaluate_high_m: Point | None = None
    """(3,) [m] each: box of the evaluation's goals; default: the task's."""
    evaluate_steps: int | None = None
    """Length of an evaluation episode [steps]; default: the task's."""

    def __post_init__(self) -> None:
        _check(self.boxes_m)

    @property
    def boxes_m(self) -> NDArray[np.float64]:
        """Keep-out boxes, (K, 2, 3) [m]."""
        return np.array(self.keep_out_m, np.float64).reshape(-1, 2, 3)

    def inside(self, points_m: ArrayLike, margin_m: float = 0.0) -> NDArray[np.bool_]:
        """Whether points are within the margin of a box: (..., 3) [m] -> (...)."""
        points, boxes = np.asarray(points_m, np.float64)[..., None, :], self.boxes_m
        within = (points > boxes[:, 0] - margin_m) & (points < boxes[:, 1] + margin_m)
        return np.asarray(within.all(axis=-1).any(axis=-1))

    def sample_goal(self, task: TaskSpec, rng: np.random.Generator, evaluation: bool = False) -> Array:
        """Draw a goal outside every region, (G,) float32 [m]."""
        low, high = task.goal.low, task.goal.high
        if evaluation and self.evaluate_low_m is not None and self.evaluate_high_m is not None:
            low, high = self.evaluate_low_m, self.evaluate_high_m
        while True:
            goal = rng.uniform(low, high).astype(np.float32)
            if not (len(self.boxes_m) and self.inside(goal, CLEAR_M)):
                return goal


def boxes_of_numbers(numbers: ArrayLike) -> NDArray[np.float64]:
    """Boxes, (K, 2, 3) [m], of a flat array with six numbers each: x, y, z of the lower and of the upper corner.

    Raises ValueError if there are not six numbers per box, or a lower corner is not below its upper one.
    """
    flat = np.asarray(numbers, np.float64)
    if flat.size % 6:
        raise ValueError(f"a keep-out box is six numbers, x y z of its lower and upper corner [m], got {flat.size}")
    boxes = flat.reshape(-1, 2, 3)
    _check(boxes)
    return boxes


def _check(boxes_m: NDArray[np.float64]) -> None:
    if not (boxes_m[:, 0] < boxes_m[:, 1]).all():  # NaN is not below anything
        raise ValueError(f"each keep-out box must have its lower corner below its upper one, got {boxes_m.tolist()}")


SCENES: dict[str, Scene] = {
    "open": Scene(),
    "wall": Scene(
        keep_out_m=(((0.10, -0.05, -0.10), (1.10, 0.05, 0.40)),),
        evaluate_low_m=(0.40, -0.35, 0.05),
        evaluate_high_m=(0.75, -0.12, 0.30),
        evaluate_steps=100,
    ),
}
"""Scenes by name. `wall` stands on the table between the arm's neutral hand (y = 0.16 m) and its evaluation's goals."""
