"""Store of whole trajectories in flat arrays, in order; the operator's transitions are marked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.tasks import TaskSpec
from tdm_ros.types import Step


class TrajectoryStore:
    """Ring buffer of transitions with the end of each trajectory; the operator's and discarded ones are marked.

    Parameters
    ----------
    task : TaskSpec
        Determines the sizes; every step is checked against it and copied.
    capacity : int
        Largest number of transitions; after that the oldest are overwritten.
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
        sizes = {"observation": task.observation.size, "action": task.action.size, "achieved": task.goal.size}
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros((rows, sizes[name.removeprefix("next_")]), np.float32)
            for name in ("observation", "next_observation", "action", "achieved", "next_achieved")
        }
        self._columns["desired"] = np.zeros((rows, task.goal.size), np.float32)
        for name in ("terminated", "human", "discarded"):
            self._columns[name] = np.zeros(rows, np.bool_)
        self._end = np.zeros(rows, np.int64)
        self._discarded = 0

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def add(self, step: Step, last: bool, human: bool = False) -> None:
        """Append one step; ``last`` ends its trajectory, so that no goal of the next one is used for relabelling.

        Steps of the operator, ``human``, can be drawn separately (see `human`).

        Raises
        ------
        ValueError
            If a vector has another size than the task's, or is not finite.
        """
        task = self.task
        checked: dict[str, Any] = {
            "observation": task.observation.checked(step.observation, "observation"),
            "next_observation": task.observation.checked(step.next_observation, "next_observation"),
            "action": task.action.checked(step.action, "action"),
            "achieved": task.goal.checked(step.achieved, "achieved"),
            "next_achieved": task.goal.checked(step.next_achieved, "next_achieved"),
            "desired": task.goal.checked(step.desired, "desired"),
            "terminated": step.terminated,
            "human": human,
            "discarded": False,
        }
        self._grow()
        slot = self.total % self.capacity
        self._discarded -= int(len(self) == self.capacity and self._columns["discarded"][slot])
        for name, value in checked.items():
            self._columns[name][slot] = value
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
        """Draw absolute transition numbers uniformly.

        Raises
        ------
        ValueError
            If the store is empty, or everything in it was discarded.
        """
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

        Raises
        ------
        ValueError
            If the store is not empty, or the data have the sizes of another task.
        """
        if self.total:
            raise ValueError(f"restore needs an empty TrajectoryStore, this one has {self.total} transitions")
        total, end = int(data["total"][0]), data["end"]
        if data["observation"].shape[1:] != (self.task.observation.size,):
            raise ValueError(
                f"stored observations have shape {data['observation'].shape[1:]}, task is {self.task.name}"
            )
        self.total = total - len(end)
        self._open_since = self.total
        later = {name: np.zeros(len(end), np.bool_) for name in ("human", "discarded")}  # added since the first version
        rows = later | data
        for row in range(len(end)):
            self._grow()
            slot = self.total % self.capacity
            for name, column in self._columns.items():
                column[slot] = rows[name][row]
            self._end[slot] = end[row]
            self.total += 1
        self._open_since = self.total
        self._discarded = int(rows["discarded"].sum())

    def _grow(self) -> None:
        rows = len(self._end)
        if self.total < rows or rows == self.capacity:
            return
        more = min(2 * rows, self.capacity)
        for name, column in self._columns.items():
            self._columns[name] = np.resize(column, (more, *column.shape[1:]))
        self._end = np.resize(self._end, more)


ACTION_SLACK = 1e-3
"""Rounding error by which an executed action may exceed [-1, 1]."""


def check_step(step: Step, task: TaskSpec) -> None:
    """Check every vector of a step before it is stored.

    Raises
    ------
    ValueError
        If a vector has another size than the task's, is not finite, or has implausible values.
    """
    kinds = {"observation": task.observation, "next_observation": task.observation}
    kinds |= {"achieved": task.goal, "next_achieved": task.goal, "desired": task.goal}
    for name, channels in kinds.items():
        channels.plausible(getattr(step, name), name)
    action = task.action.checked(step.action, "action")
    if (abs(action) > 1 + ACTION_SLACK).any():
        raise ValueError(f"action must be in [-1, 1], got {action.tolist()}")
