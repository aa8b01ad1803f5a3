"""Summary of a recording in numbers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import Mode, Source, State
from tdm_ros.data.pieces import SOURCES, commanded_pieces, episodes, known_tasks, lost_cycles, rate_hz
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError, Recording, tasks_in
from tdm_ros.data.sources import log_folder, read
from tdm_ros.data.table import Table

NEAR = (0.01, 0.02, 0.05)
"""Distances that episodes which end within are counted by [goal unit]."""


@dataclass(frozen=True)
class Summary:
    """What `tdm_ros data inspect` tells.

    Parameters
    ----------
    name : str
    tasks : list of str
        Fingerprints.
    unit : str
        Of the distances; "" where the task is none of ours.
    start : str
        Local time of the first transition.
    duration_s, robot_s : float
        From the first message to the last; of transitions [s].
    topics : dict
        Topic -> number of messages.
    transitions, damaged : int
        Readable ones; messages of that type that cannot be decoded.
    sources : dict
        Who commanded -> number of transitions.
    pieces : int
        Unbroken runs of commanded transitions: what hindsight goals are drawn from.
    episodes : dict
        Number, length, and for each mode how many there are, how close they ended, how many near their goal.
    takeovers : int
        Times that a person took over or began to drive.
    limited, limited_share
        Transitions whose command the limiter changed.
    gaps, lost_cycles : int
        Inside episodes.
    problems, notes : list of str
    """

    name: str
    tasks: list[str] = field(default_factory=list)
    unit: str = ""
    start: str = ""
    duration_s: float = 0.0
    robot_s: float = 0.0
    topics: dict[str, int] = field(default_factory=dict)
    transitions: int = 0
    damaged: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    pieces: int = 0
    episodes: dict[str, Any] = field(default_factory=dict)
    takeovers: int = 0
    limited: int = 0
    limited_share: float = 0.0
    gaps: int = 0
    lost_cycles: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def distances(columns: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """How far each transition ends from its goal, (N,) [goal unit]; NaN where there is none, as in drives home."""
    found = np.full(len(columns["cycle"]), np.nan)
    reached, goal = columns["next_achieved_goal"], columns["desired_goal"]
    if reached.shape != goal.shape:
        return found
    known = known_tasks()
    for name in set(columns["task"]):
        rows = columns["task"] == name
        task = known.get(name)
        if task is not None and task.goal.size == goal.shape[1]:
            found[rows] = task.distance(reached[rows], goal[rows])
        else:
            found[rows] = np.linalg.norm(reached[rows].astype(float) - goal[rows], axis=1)
    return found


def summarise(recording: Recording, table: Table) -> Summary:
    """Count what a recording holds; its transitions are the rows of ``table``."""
    topics: dict[str, int] = {channel.topic: 0 for channel in recording.channels}
    for message in recording.messages:
        topics[recording.channels[message.channel].topic] += 1
    times = [message.log_time for message in recording.messages]
    common = Summary(
        recording.name,
        topics=topics,
        duration_s=(max(times) - min(times)) / 1e9 if times else 0.0,
        damaged=recording.count(TRANSITION_TYPE) - len(table),
        problems=[*recording.problems, *recording.not_taken(len(table))],
        notes=list(recording.notes),
    )
    if not len(table):
        return common
    columns = table.columns
    tasks = sorted(set(columns["task"]))
    task = known_tasks().get(tasks[0])
    source, limited = columns["source"], columns["limited"]
    human = np.concatenate([[False], source == Source.HUMAN])
    gaps, missing = lost_cycles(table)
    first_s = float(columns["stamp_ns"].min()) / 1e9
    return replace(
        common,
        tasks=tasks,
        unit=task.goal.unit if task else "",
        start=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(first_s)),
        robot_s=len(table) / rate_hz(columns),
        transitions=len(table),
        sources={SOURCES.get(int(v), f"unknown ({v})"): int((source == v).sum()) for v in np.unique(source)},
        pieces=len(commanded_pieces(table)),
        episodes=_episodes(recording, table),
        takeovers=int((human[1:] & ~human[:-1]).sum()),
        limited=int(limited.sum()),
        limited_share=float(limited.mean()),
        gaps=gaps,
        lost_cycles=missing,
    )


def _episodes(recording: Recording, table: Table) -> dict[str, Any]:
    found, columns = episodes(table), table.columns
    if not found:
        return {"count": 0}
    modes = modes_of(recording)
    length = np.array([len(rows) for rows in found])
    kinds = np.array([modes.get(int(columns["episode"][rows[0]]), "not announced") for rows in found])
    ends = distances(columns)[[rows[-1] for rows in found]]
    return {
        "count": len(found),
        "steps": {"median": float(np.median(length)), "shortest": int(length.min()), "longest": int(length.max())},
        "modes": {str(kind): _ends(ends[kinds == kind]) for kind in sorted(set(kinds))},
    }


def _ends(final: NDArray[np.float64]) -> dict[str, Any]:
    """How close the episodes of a mode ended; those without a goal are not judged."""
    judged = final[np.isfinite(final)]
    result: dict[str, Any] = {"count": len(final), "judged": len(judged)}
    if len(judged):
        result["final_distance"] = {
            "median": float(np.median(judged)),
            "mean": float(judged.mean()),
            "p95": float(np.percentile(judged, 95)),
        }
        result["reached"] = {f"{radius:g}": int((judged <= radius).sum()) for radius in NEAR}
    return result


def modes_of(recording: Recording) -> dict[int, str]:
    """Mode of each episode that was announced as running."""
    return {
        message.episode: Mode(message.mode).name.lower()
        for _, message in recording.of_type(EPISODE_TYPE)
        if message.state == State.RUNNING and message.mode in set(Mode)
    }


def as_text(summary: Summary) -> str:
    """The summary for a person."""
    lines = [summary.name, f"  {'task':<18}{', '.join(summary.tasks) or 'no transition of tdm_ros'}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<18}{text}")

    add("topics", ", ".join(f"{topic} {count}" for topic, count in summary.topics.items()) or "none")
    if summary.transitions:
        add(
            "recorded",
            f"{summary.start}, {_clock(summary.duration_s)} in all, {_clock(summary.robot_s)} of transitions",
        )
        total = summary.transitions
        shares = (f"{name} {count} ({count / total:.1%})" for name, count in summary.sources.items())
        add("transitions", f"{total} in {summary.pieces} unbroken pieces")
        add("commanded by", ", ".join(shares))
        add("episodes", _episode_text(summary.episodes))
        for mode, ends in summary.episodes.get("modes", {}).items():
            add(f"  {mode}", _ends_text(ends, summary.unit))
        add("a person drove", f"{summary.takeovers} times" if summary.takeovers else "never")
        add("limiter", f"changed {summary.limited} commands ({summary.limited_share:.1%})")
        add("cycle gaps", f"{summary.gaps} inside episodes, {summary.lost_cycles} cycles lost")
    if summary.damaged:
        add(
            "unreadable",
            f"{summary.damaged} transitions cannot be decoded, or are of another shape or task than the others",
        )
    return "\n".join(lines)


def _episode_text(found: dict[str, Any]) -> str:
    if not found["count"]:
        return "none"
    steps = found["steps"]
    return f"{found['count']} of {steps['median']:g} steps (median; {steps['shortest']} to {steps['longest']})"


def _ends_text(ends: dict[str, Any], unit: str) -> str:
    if "reached" not in ends:
        return f"{ends['count']}, none with a goal"
    near = ", ".join(f"{count} within {radius}" for radius, count in ends["reached"].items())
    final = ", ".join(f"{key} {value:.4g}" for key, value in ends["final_distance"].items())
    return f"{ends['count']}, of {ends['judged']} with a goal {near} {unit}; final distance {final} {unit}".rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


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
