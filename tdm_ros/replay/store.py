"""Store of whole trajectories in flat arrays, in order; the operator's transitions are marked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.types import Step


class TrajectoryStore:
    """Ring buffer of transitions with the end of each trajectory; the operator's and discarded ones are marked.

    Every step is checked against the task's sizes and copied. After ``capacity`` transitions the oldest are
    overwritten.
    """

    def __init__(self, task: TaskSpec, capacity: int = 1_000_000) -> None:
        if capacity < 1:
            raise ValueError(f"TrajectoryStore capacity must be >= 1 transition, got {capacity}")
        self.task = task
        self.capacity = capacity
        self.total = 0
        """Number of added transitions; transition ``i`` (counted from the first) is in slot ``i % capacity``."""
        self._open_since = 0
        rows = min(capacity, 4096)
        self._vectors = vectors_of(task)
        self._shapes = _shapes(task)
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros((rows, channels.size), np.float32) for name, channels in self._vectors.items()
        }
        self._columns |= {name: np.zeros(rows, np.bool_) for name in ("terminated", "human", "discarded")}
        self._end = np.zeros(rows, np.int64)
        self._discarded = 0

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def add(self, step: Step, last: bool, human: bool = False) -> None:
        """Append one step; ``last`` ends its trajectory, so that no goal of the next one is used for relabelling.

        Steps of the operator, ``human``, can be drawn separately (see `human`). Raises ValueError if a vector has
        another size than the task's, or is not finite.
        """
        values = _joined(step, self._shapes)
        if values is None or not np.isfinite(values).all():
            checked = {name: channels.checked(getattr(step, name), name) for name, channels in self._vectors.items()}
            step = Step(**checked, terminated=step.terminated)
        self._grow()
        slot = self.total % self.capacity
        self._discarded -= int(len(self) == self.capacity and self._columns["discarded"][slot])
        columns = self._columns
        for name in self._vectors:
            columns[name][slot] = getattr(step, name)
        columns["terminated"][slot], columns["human"][slot], columns["discarded"][slot] = step.terminated, human, False
        self.total += 1
        if last or step.terminated:
            self.close()

    def close(self) -> None:
        """End the open trajectory, if there is one."""
        first = max(self._open_since, self.total - self.capacity)
        self._end[np.arange(first, self.total) % self.capacity] = self.total
        self._open_since = self.total

    def rows(self, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Copy the columns of the transitions ``index`` (any shape, absolute numbers): name -> (*index.shape, D)."""
        slots = index % self.capacity
        return {name: column[slots] for name, column in self._columns.items()}

    def column(self, name: str, index: NDArray[np.int64]) -> NDArray[Any]:
        """Copy one column of the transitions ``index`` (absolute numbers)."""
        return self._columns[name][index % self.capacity]

    def end_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Absolute number just past the trajectory of each transition; an open one ends with the newest."""
        return np.where(index >= self._open_since, self.total, self._end[index % self.capacity])

    def discard(self, index: NDArray[np.int64]) -> None:
        """Exclude transitions, (N,) absolute numbers, from drawing; those that are not stored are ignored."""
        held = index[(index >= self.total - len(self)) & (index < self.total)]
        self._columns["discarded"][held % self.capacity] = True
        self._discarded = int(self._columns["discarded"][: len(self)].sum())

    @property
    def usable(self) -> int:
        """Number of transitions that can be drawn."""
        return len(self) - self._discarded

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Draw absolute transition numbers uniformly. Raises ValueError if nothing is stored, or all is discarded."""
        if self.usable == 0:
            raise ValueError("cannot sample from an empty TrajectoryStore; add steps first")
        index = rng.integers(max(0, self.total - self.capacity), self.total, shape)
        while self._discarded and (again := self._columns["discarded"][index % self.capacity]).any():
            index[again] = rng.integers(max(0, self.total - self.capacity), self.total, int(again.sum()))
        return index

    def human(self) -> NDArray[np.int64]:
        """Absolute numbers of the operator's transitions, (H,), oldest first."""
        held = slice(len(self))
        slots = np.flatnonzero(self._columns["human"][held] & ~self._columns["discarded"][held])
        oldest = self.total - len(self)
        return np.sort(oldest + (slots - oldest) % self.capacity)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Stored transitions, oldest first, with the ends of their trajectories; `restore` reads them."""
        index = np.arange(self.total - len(self), self.total)
        return {**self.rows(index), "end": self.end_of(index), "total": np.array([self.total])}

    def restore(self, data: dict[str, NDArray[Any]]) -> None:
        """Fill an empty store with `dump` data; the trajectory that was open is ended.

        Raises ValueError if the store is not empty, or the data have the sizes of another task.
        """
        if self.total:
            raise ValueError(f"restore needs an empty TrajectoryStore, this one has {self.total} transitions")
        total, end = int(data["total"][0]), data["end"]
        if (found := data["observation"].shape[1:]) != (self.task.observation.size,):
            raise ValueError(f"stored observations have shape {found}, task is {self.task.name}")
        self.total = self._open_since = total
        while len(self._end) < min(total, self.capacity):
            self._grow()
        slots = np.arange(total - len(end), total) % self.capacity
        later = {name: np.zeros(len(end), np.bool_) for name in ("human", "discarded")}  # added since the first version
        rows = later | data
        for name, column in self._columns.items():
            column[slots] = rows[name]
        self._end[slots] = end
        self._discarded = int(rows["discarded"].sum())

    def _grow(self) -> None:
        rows = len(self._end)
        if self.total < rows or rows == self.capacity:
            return
        more = min(2 * rows, self.capacity)
        for name, column in self._columns.items():
            self._columns[name] = np.resize(column, (more, *column.shape[1:]))
        self._end = np.resize(self._end, more)


def vectors_of(task: TaskSpec) -> dict[str, Channels]:
    """Descriptions of the vectors of a step."""
    seen, goal = task.observation, task.goal
    vectors = {"observation": seen, "next_observation": seen, "action": task.action}
    return vectors | dict.fromkeys(("achieved", "next_achieved", "desired"), goal)


def _shapes(task: TaskSpec) -> tuple[tuple[int], ...]:
    """Shapes of the vectors of a step, in its order."""
    vectors = vectors_of(task)
    return tuple((vectors[name].size,) for name in Step._fields[:-1])


def _joined(step: Step, shapes: tuple[tuple[int], ...]) -> NDArray[np.float32] | None:
    """The vectors of a step in one array; None if one has another shape or is no float32."""
    try:
        if tuple(vector.shape for vector in step[:-1]) != shapes:
            return None
    except AttributeError:
        return None
    values = np.concatenate(step[:-1])
    return values if values.dtype == np.float32 else None


ACTION_SLACK = 1e-3
"""Rounding error by which an executed action may exceed [-1, 1]."""


class StepCheck:
    """Checks steps of a task, fast where nothing is wrong."""

    def __init__(self, task: TaskSpec) -> None:
        self._task, self._shapes, vectors = task, _shapes(task), vectors_of(task)
        ones = np.ones(task.action.size)
        bounds = {name: channels.plausible_bounds for name, channels in vectors.items()} | {"action": (-ones, ones)}
        self._least, self._most = (np.concatenate([bounds[name][i] for name in Step._fields[:-1]]) for i in (0, 1))

    def __call__(self, step: Step) -> None:
        """Check every vector. Raises ValueError as `check_step`."""
        values = _joined(step, self._shapes)
        if values is None or not ((values >= self._least) & (values <= self._most)).all():
            check_step(step, self._task)


def check_step(step: Step, task: TaskSpec) -> None:
    """Check every vector of a step. Raises ValueError if one has a wrong size, or values not finite or implausible."""
    for name, channels in vectors_of(task).items():
        if name != "action":
            channels.plausible(getattr(step, name), name)
    action = task.action.checked(step.action, "action")
    if (abs(action) > 1 + ACTION_SLACK).any():
        raise ValueError(f"action must be in [-1, 1], got {action.tolist()}")
