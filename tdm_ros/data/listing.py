"""List of recordings, one line each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError, tasks_in
from tdm_ros.data.sources import log_folder, read

COLUMNS = ("recording", "task", "transitions", "human", "episodes", "length", "recorded", "MB", "state")


def overview(path: Path, unpack_limit: int | None = None) -> dict[str, Any]:
    """What the list says of a recording; one that cannot be read says why in ``problems``."""
    found: dict[str, Any] = {"path": str(path), "transitions": 0, "human": 0, "episodes": 0, "tasks": [], "notes": []}
    where = log_folder(path)
    files = [where] if where.is_file() else [file for file in where.rglob("*") if file.is_file()]
    found["bytes"] = sum(file.stat().st_size for file in files)
    try:
        recording = read(path, True, unpack_limit)
    except DataError as error:
        return found | {"problems": [str(error)], "start_ns": 0, "duration_s": 0.0}
    transitions = [message for _, message in recording.of_type(TRANSITION_TYPE)]
    times = [message.log_time for message in recording.messages]
    return found | {
        "transitions": len(transitions),
        "human": sum(message.source == 2 for message in transitions),
        "episodes": len({m.episode for _, m in recording.of_type(EPISODE_TYPE)} - {0}),
        "tasks": sorted(tasks_in(Counter(message.task for message in transitions))),
        "start_ns": min(times, default=0),
        "duration_s": (max(times) - min(times)) / 1e9 if times else 0.0,
        "problems": [*recording.problems, *recording.not_taken(len(transitions))],
        "notes": list(recording.notes),
    }


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """The list for a person."""
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
