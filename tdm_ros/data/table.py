"""Transitions of a recording as columns, and their segmentation: tasks, pieces, episodes, missing cycles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros import tasks
from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data.log import TRANSITION_TOPIC, discarded_of, nanoseconds
from tdm_ros.data.pairing import chains
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, Channel, DataError, Message, Recording, tasks_in
from tdm_ros.data.repeats import TransitionsOnce
from tdm_ros.robots.arm import actuations
from tdm_ros.robots.description import load_robot, robot_files
from tdm_ros.tasks import TaskSpec, reach_task
from tdm_ros.tasks.pushing import push_task
from tdm_ros.types import DiscardedSet, TimeSpan

Columns = dict[str, NDArray[Any]]
VECTORS = {
    "observation": "observation",
    "next_observation": "observation",
    "action": "action",
    "achieved_goal": "goal",
    "next_achieved_goal": "goal",
    "desired_goal": "goal",
}
"""Vectors of a transition, and the part of the task that describes them."""
NUMBERS = {
    "cycle": np.uint64,
    "episode": np.uint32,
    "step": np.uint32,
    "source": np.uint8,
    "limited": np.bool_,
    "terminated": np.bool_,
    "truncated": np.bool_,
}
TEXTS = ("frame_id", "task", "run", "arm")
ADDED = ("run", "arm")
"""Fields that older definitions of a transition lack; they are "" then."""
ROW_COST = 1024
"""Memory of one transition of a table [bytes]."""
SOURCES = {int(source): source.name.lower() for source in Source}
"""Name of each source."""


@dataclass(frozen=True)
class Table:
    """Transitions as columns."""

    columns: Columns
    """Field -> (N,) or (N, D): `VECTORS` float32, `NUMBERS`, ``stamp_ns`` int64 and `TEXTS`. A vector without elements
    is a row of NaN. ``arm`` is the namespace of the topic where the message does not name its arm."""
    repeated: int = 0
    """Number of transitions that were left out, since a row has their run and cycle."""

    def __len__(self) -> int:
        return len(self.columns["cycle"])

    def at(self, rows: NDArray[Any]) -> Table:
        """Table of some rows, by (M,) numbers or an (N,) mask."""
        return replace(self, columns={name: column[rows] for name, column in self.columns.items()})

    def message(self, row: int) -> Any:
        """Fields of one row, by the names that they have in `Transition.msg`."""
        values = {name: column[row] for name, column in self.columns.items()}
        for name in VECTORS:
            values[name] = [] if np.isnan(values[name]).all() else values[name]
        sec, nanosec = divmod(int(values.pop("stamp_ns")), 1_000_000_000)
        header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=values.pop("frame_id"))
        return SimpleNamespace(header=header, **values)


@dataclass(frozen=True)
class Dataset(Recording):
    """Transitions of a Parquet or LeRobot dataset. Its messages have no bytes: each represents one row."""

    table: Table = field(default_factory=lambda: _table([]))

    def of_type(self, type_name: str) -> Iterator[tuple[int, Any]]:
        """Position and fields of each transition; a dataset has no announcements."""
        if type_name == TRANSITION_TYPE:
            yield from ((row, self.table.message(row)) for row in range(len(self.table)))

    def not_taken(self, taken: int) -> list[str]:
        """Empty: every row is a transition."""
        return []


def dataset(name: str, columns: Mapping[str, NDArray[Any]]) -> Dataset:
    """Recording of the transitions that a dataset has as columns; further columns are ignored.

    Raises DataError if a column is missing, or has another type or length than a transition's field.
    """
    count = len(next(iter(columns.values()), ()))
    kinds: dict[str, Any] = dict.fromkeys(VECTORS, np.float32) | NUMBERS | {"stamp_ns": np.int64}
    found: Columns = {text: np.full(count, "", object) for text in (*ADDED, "frame_id")}
    if missing := [text for text in (*kinds, *TEXTS) if text not in columns and text not in found]:
        raise DataError(
            f"{name} is a dataset without the columns {', '.join(missing)}: give one that `tdm_ros data convert` wrote"
        )
    for field_name in (*kinds, *(text for text in TEXTS if text in columns)):
        column, dimensions = columns[field_name], 2 if field_name in VECTORS else 1
        kind = kinds.get(field_name, object)
        if len(column) != count or column.ndim != dimensions or not np.can_cast(column.dtype, kind, "same_kind"):
            raise DataError(
                f"{name}: column {field_name} has type {column.dtype} and shape {column.shape}, expected "
                f"{np.dtype(kind)} and {count} rows of {dimensions - 1} dimensions"
            )
        if kind is object and not all(isinstance(value, str) for value in column):
            raise DataError(f"{name}: column {field_name} has values that are no text, or none: export the log again")
        found[field_name] = column.astype(kind)
    table = Table(found)
    times = table.columns["stamp_ns"].tolist()
    channel = Channel(TRANSITION_TOPIC, TRANSITION_TYPE, b"")
    return Dataset(name, (channel,), [Message(0, t, t, row, b"") for row, t in enumerate(times)], table=table)


def check_original(recording: Recording) -> None:
    """Check that a recording has its original messages. Raises DataError if it is a dataset."""
    if isinstance(recording, Dataset):
        raise DataError(
            f"{recording.name} is an exported dataset, which has columns but no messages, so neither a bag nor another "
            "format can be made of it: keep the original log, and use that"
        )


def to_table(recording: Recording, advance: Callable[[int], Any] = lambda count: None) -> Table:
    """Table of the transitions of a recording, each once; those of another shape or task than the others are left out.

    ``advance`` is called with the number of further transitions that were read, for a progress bar.
    """
    if isinstance(recording, Dataset):
        return recording.table
    rows, once = [], TransitionsOnce()
    for arm, message in by_namespace(recording, TRANSITION_TYPE):
        advance(1)
        if (row := _row(message, arm)) is not None and once.is_new(row["run"], int(row["cycle"])):
            rows.append(row)
    sizes = _sizes(rows)
    known = tasks_in(Counter(row["task"] for row in rows))
    fits = [row for row in rows if row["task"] in known and all(len(row[n]) in (0, s) for n, s in sizes.items())]
    return replace(_table(fits), repeated=once.repeated)


def by_namespace(recording: Recording, type_name: str) -> Iterator[tuple[str, Any]]:
    """Each message of a type, with the namespace of its topic, without the leading slash."""
    for position, message in recording.of_type(type_name):
        topic = recording.channels[recording.messages[position].channel].topic
        yield topic.rpartition("/")[0].removeprefix("/"), message


def _row(message: Any, namespace: str) -> dict[str, Any] | None:
    """Values by column; None if a field is missing or has another type, as in definitions of other programs."""
    try:
        row: dict[str, Any] = {name: np.array(getattr(message, name), np.float32).reshape(-1) for name in VECTORS}
        row |= {name: kind(getattr(message, name)) for name, kind in NUMBERS.items()}
        row |= {"stamp_ns": nanoseconds(message.header.stamp), "frame_id": str(message.header.frame_id)}
        row |= {"task": str(message.task)} | {name: str(getattr(message, name, "")) for name in ADDED}
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    row["arm"] = row["arm"] or namespace
    return row


def _sizes(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Most frequent length of each vector."""
    lengths = {name: Counter(len(row[name]) for row in rows if len(row[name])) for name in VECTORS}
    return {name: found.most_common(1)[0][0] if found else 0 for name, found in lengths.items()}


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    columns: Columns = {"stamp_ns": np.array([row["stamp_ns"] for row in rows], np.int64)}
    for name in TEXTS:
        columns[name] = np.array([*(row[name] for row in rows), None], object)[:-1]
    columns |= {name: np.array([row[name] for row in rows], kind) for name, kind in NUMBERS.items()}
    for name, size in _sizes(rows).items():
        columns[name] = np.full((len(rows), size), np.nan, np.float32)
        for number, row in enumerate(rows):
            columns[name][number, : len(row[name])] = row[name]
    return Table(columns)


def discarded_rows(recording: Recording, table: Table) -> NDArray[np.bool_]:
    """Transitions that the operator discarded, by the announcements of the recording, (N,) bool."""
    columns, by_arm = table.columns, defaultdict[str, DiscardedSet](DiscardedSet)
    known = set(columns["task"])
    for arm, message in by_namespace(recording, EPISODE_TYPE):
        for one in discarded_of(message) if message.task in known else ():
            by_arm[arm if isinstance(one, TimeSpan) else ""].add(one)
    identity = zip(columns["run"], columns["arm"], columns["cycle"].tolist(), columns["stamp_ns"].tolist(), strict=True)
    return np.array([by_arm["" if run else arm].has(run, cycle, ns) for run, arm, cycle, ns in identity], np.bool_)


def known_tasks() -> dict[str, TaskSpec]:
    """Tasks of this package, and of the robots that are described, by fingerprint."""
    found: dict[str, TaskSpec] = {}
    for robot in map(load_robot, robot_files()):
        for task in (*(reach_task(robot, actuation) for actuation in actuations(robot)), push_task(robot)):
            found[task.fingerprint] = task
    for value in vars(tasks).values():
        for one in value.values() if isinstance(value, dict) else [value]:
            if isinstance(one, TaskSpec):
                found[one.fingerprint] = one
    return found


def rate_hz(columns: Columns) -> int:
    """Cycles per second, from the task or else from the stamps of consecutive cycles [Hz]."""
    task = known_tasks().get(str(columns["task"][0])) if len(columns["task"]) else None
    if task is not None:
        return round(task.rate_hz)
    steps = np.diff(columns["stamp_ns"])[np.diff(columns["cycle"].astype(np.int64)) == 1]
    return max(1, round(1e9 / float(np.median(steps)))) if len(steps) else 1


def is_commanded(source: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each transition is experience to learn from, (N,) bool."""
    return np.isin(source, [int(one) for one in COMMANDED])


def tracks(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each run of an arm, in the order of its cycles; together they are all rows.

    In older logs a transition does not name its run. There one follows another if its cycle is the next and its state
    is the next state of the other, so that two arms in one recording are separate.
    """
    columns = table.columns
    run, cycle = columns["run"], columns["cycle"].astype(np.int64)
    found = []
    for name in sorted(set(run) - {""}):
        rows = np.flatnonzero(run == name)
        found.append(rows[np.argsort(cycle[rows], kind="stable")])
    return found + _older_tracks(table, np.flatnonzero(run == ""), cycle)


def _older_tracks(table: Table, rows: NDArray[np.int64], cycle: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    arms = table.columns["arm"][rows]
    before, after = (table.columns[name] for name in ("observation", "next_observation"))
    begins = [(arm, cycle[row], before[row].tobytes()) for arm, row in zip(arms, rows, strict=True)]
    ends = [(arm, cycle[row] + 1, after[row].tobytes()) for arm, row in zip(arms, rows, strict=True)]
    found: list[list[int]] = []
    for chain in chains(begins, ends):
        first = cycle[rows[chain[0]]]
        ended = [t for t in found if arms[t[0]] == arms[chain[0]] and cycle[rows[t[-1]]] + 1 < first]
        if ended:
            max(ended, key=lambda t: cycle[rows[t[-1]]]).extend(chain)
        else:
            found.append(chain)
    return [rows[track] for track in found]


def commanded_pieces(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each unbroken piece of commanded transitions, in the order of their first rows."""
    columns, pieces = table.columns, []
    for track in tracks(table):
        here, there = track[:-1], track[1:]
        follows = (
            (columns["cycle"][there] == columns["cycle"][here] + 1)
            & (columns["episode"][there] == columns["episode"][here])
            & ~(columns["terminated"][here] | columns["truncated"][here])
            & is_commanded(columns["source"][here])
        )
        pieces += np.split(track, np.flatnonzero(~follows) + 1)
    commanded = [piece[is_commanded(columns["source"][piece])] for piece in pieces]
    return sorted((piece for piece in commanded if len(piece)), key=lambda piece: piece[0])


def episodes(table: Table) -> list[NDArray[np.int64]]:
    """Rows of each episode of an arm, in the order of their first rows; a repeated number is a new episode."""
    columns, found = table.columns, []
    for track in tracks(table):
        rows = track[columns["episode"][track] != 0]
        here, there = rows[:-1], rows[1:]
        other = columns["episode"][there] != columns["episode"][here]
        back = columns["cycle"][there] <= columns["cycle"][here]
        found += np.split(rows, np.flatnonzero(other | back) + 1)
    return sorted((rows for rows in found if len(rows)), key=lambda rows: rows[0])


def missing_cycles(table: Table) -> tuple[int, int]:
    """Number of gaps inside episodes, and of the cycles that are missing in them."""
    gaps = missing = 0
    for rows in episodes(table):
        steps = np.diff(table.columns["cycle"][rows].astype(np.int64)) - 1
        gaps += int((steps > 0).sum())
        missing += int(steps.sum())
    return gaps, missing
