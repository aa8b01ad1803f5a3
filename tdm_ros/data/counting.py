"""Numbers of a recording without reading it into memory: from the index of its log, or message by message."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcap.records import Channel, Message

from tdm_ros.control.timeline import Source
from tdm_ros.data.log import mcap_files
from tdm_ros.data.log_index import read_index
from tdm_ros.data.mcap_records import Budget, RecordReader
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError, not_decoded, tasks_in
from tdm_ros.data.sources import DATASETS, declared, log_folder, read, undecodable, why_nothing
from tdm_ros.data.tally import Tally, TallyCounter

COLUMNS = ("recording", "task", "transitions", "human", "episodes", "length", "recorded", "MB", "state")


@dataclass
class Counted:
    """Numbers of one file or of several, and the times of the first and the last message [ns]."""

    tally: Tally = field(default_factory=Tally)
    times_ns: tuple[int, int] | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def see(self, time_ns: int) -> None:
        """Extend the times to that of a message."""
        first, last = self.times_ns or (time_ns, time_ns)
        self.times_ns = min(first, time_ns), max(last, time_ns)

    def add(self, other: Counted) -> None:
        """Add the numbers of another file."""
        self.tally.add(other.tally)
        for time_ns in other.times_ns or ():
            self.see(time_ns)
        self.problems += other.problems
        self.notes += other.notes


def count_file(path: Path, budget: Budget | None = None) -> Counted:
    """Read one file and keep its numbers alone. Raises DataError if the budget does not allow it."""
    reader, counter, found = RecordReader(path, budget), TallyCounter(), Counted()
    channels: dict[int, Any] = {}
    counts: Counter[int] = Counter()
    for one in reader:
        if isinstance(one, Message):
            counts[one.channel_id] += 1
            found.see(one.log_time)
            counter.add(one.channel_id, one.data)
        elif isinstance(one, Channel):
            channels[one.id] = declared(reader, one)
            counter.declare(one.id, channels[one.id])
    found.tally, found.notes = counter.tally, reader.notes
    found.problems = [*reader.problems, *undecodable(path, [(one, counts[key]) for key, one in channels.items()])]
    return found


def count_recording(path: Path, unpack_limit: int | None = None) -> Counted:
    """Numbers of a log, bag or file. Files that the index of their log has are not opened.

    Raises DataError if there is no recording, or it unpacks to more than allowed.
    """
    folder = log_folder(path)
    files = [path] if path.is_file() else mcap_files(folder) if folder.is_dir() else []
    if not files:
        raise DataError(why_nothing(path))
    index = {} if path.is_file() else read_index(folder)
    budget, found = Budget(sum(file.stat().st_size for file in files), unpack_limit), Counted()
    for file in files:
        known = index.get(file.name)
        if known is None or known.tally is None:
            found.add(count_file(file, budget))
        else:
            found.add(Counted(known.tally, (known.start_ns, known.end_ns) if known.count else None))
    if found.tally.undecoded:
        found.problems.append(not_decoded(str(path), found.tally.undecoded))
    return found


def overview(path: Path, unpack_limit: int | None = None) -> dict[str, Any]:
    """Row of the list; for a recording that cannot be read ``problems`` has the reason."""
    found: dict[str, Any] = {"path": str(path), "transitions": 0, "human": 0, "episodes": 0, "tasks": [], "notes": []}
    where = log_folder(path)
    files = [where] if where.is_file() else [file for file in where.rglob("*") if file.is_file()]
    found["bytes"] = sum(file.stat().st_size for file in files)
    is_dataset = any(has_layout(path) for has_layout in DATASETS)
    try:
        counted = _count_dataset(path, unpack_limit) if is_dataset else count_recording(path, unpack_limit)
    except DataError as error:
        return found | {"problems": [str(error)], "start_ns": 0, "duration_s": 0.0}
    first_ns, last_ns = counted.times_ns or (0, 0)
    return found | {
        "transitions": counted.tally.transitions,
        "human": counted.tally.human,
        "episodes": len(counted.tally.episodes),
        "tasks": sorted(tasks_in(counted.tally.tasks)),
        "start_ns": first_ns,
        "duration_s": (last_ns - first_ns) / 1e9,
        "problems": counted.problems,
        "notes": counted.notes,
    }


def _count_dataset(path: Path, unpack_limit: int | None) -> Counted:
    """Numbers of a Parquet or LeRobot dataset, whose columns are read into memory."""
    recording = read(path, True, unpack_limit)
    transitions = [message for _, message in recording.of_type(TRANSITION_TYPE)]
    human = sum(message.source == Source.HUMAN for message in transitions)
    episodes = {message.episode for _, message in recording.of_type(EPISODE_TYPE)} - {0}
    tally = Tally(len(transitions), human, 0, Counter(message.task for message in transitions), episodes)
    counted = Counted(tally, None, list(recording.problems), list(recording.notes))
    for message in recording.messages:
        counted.see(message.log_time)
    return counted


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [COLUMNS, *map(_line, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text if rows else ["no recording"])


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    state = "damaged" if row["problems"] else "unfinished" if row["notes"] else "whole"
    recorded = time.strftime("%Y-%m-%d %H:%M", time.localtime(row["start_ns"] / 1e9)) if row["start_ns"] else "-"
    return (
        row["path"],
        ", ".join(name.partition(":")[0] for name in row["tasks"]) or "-",
        str(row["transitions"]),
        str(row["human"]),
        str(row["episodes"]),
        f"{row['duration_s'] / 60:.1f} min",
        recorded,
        f"{row['bytes'] / 1e6:.1f}",
        state,
    )
