"""Summary and validation of a recording."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import DEMONSTRATION, Mode, Source, State
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, Recording
from tdm_ros.data.table import (
    SOURCES,
    VECTORS,
    Columns,
    Table,
    commanded_pieces,
    episodes,
    is_commanded,
    known_tasks,
    missing_cycles,
    rate_hz,
    tracks,
)
from tdm_ros.tasks import Channels, TaskSpec

NEAR = (0.01, 0.02, 0.05)
"""Final distances within which episodes are counted as reached [goal unit]."""


@dataclass(frozen=True)
class Summary:
    """Output of `tdm_ros data inspect`; a number without a unit in its name is a count.

    `sources` has transitions by the source of the command, `pieces` are unbroken sequences of commanded transitions,
    `gaps` and `lost_cycles` are those inside episodes, and `damaged` are transitions that cannot be decoded.
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


def distances(columns: Columns) -> NDArray[np.float64]:
    """Distance between next achieved and desired goal, (N,) [goal unit]; NaN without a goal, as in motions home."""
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
    """Summarise a recording whose transitions are the rows of ``table``."""
    topics: dict[str, int] = {channel.topic: 0 for channel in recording.channels}
    for message in recording.messages:
        topics[recording.channels[message.channel].topic] += 1
    times = [message.log_time for message in recording.messages]
    common = Summary(
        recording.name,
        topics=topics,
        duration_s=(max(times) - min(times)) / 1e9 if times else 0.0,
        damaged=recording.count(TRANSITION_TYPE) - len(table) - table.repeated,
        problems=[*recording.problems, *_left_out(recording, table)],
        notes=list(recording.notes),
    )
    if not len(table):
        return common
    columns = table.columns
    tasks = sorted(set(columns["task"]))
    task = known_tasks().get(tasks[0])
    source, limited = columns["source"], columns["limited"]
    human = np.concatenate([[False], source == Source.HUMAN])
    gaps, missing = missing_cycles(table)
    return replace(
        common,
        tasks=tasks,
        unit=task.goal.unit if task else "",
        start=clock_time(float(columns["stamp_ns"].min()) / 1e9),
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


def _left_out(recording: Recording, table: Table) -> list[str]:
    """Sentences on the transitions that are no row of the table."""
    found = recording.not_taken(len(table) + table.repeated)
    if table.repeated:
        found.append(same_identity(recording.name, table.repeated))
    return found


def same_identity(name: str, count: int) -> str:
    """Sentence on transitions that are left out."""
    return f"{name}: {count} transitions have the run and cycle of an earlier one"


def clock_time(seconds: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _episodes(recording: Recording, table: Table) -> dict[str, Any]:
    found, columns = episodes(table), table.columns
    modes = modes_of(recording)
    kinds = [modes.get(int(columns["episode"][rows[0]]), "not announced") for rows in found]
    last = table.at(np.array([rows[-1] for rows in found], np.int64)).columns
    return episode_numbers([len(rows) for rows in found], kinds, distances(last))


def episode_numbers(lengths: Sequence[int], kinds: Sequence[str], ends: NDArray[np.float64]) -> dict[str, Any]:
    """Statistics of episodes, from the length [steps], the mode and the final distance [goal unit] of each."""
    if not lengths:
        return {"count": 0}
    steps = {"median": float(np.median(lengths)), "shortest": min(lengths), "longest": max(lengths)}
    modes = {kind: _final_distances(ends[np.array(kinds) == kind]) for kind in sorted(set(kinds))}
    return {"count": len(lengths), "steps": steps, "modes": modes}


def _final_distances(final: NDArray[np.float64]) -> dict[str, Any]:
    """Statistics of the final distances of a mode's episodes; those without a goal are not judged."""
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
    """Mode of each episode that was announced, or that it is a demonstration."""
    found: dict[int, str] = {}
    for _, message in recording.of_type(EPISODE_TYPE):
        found.update(mode_of(message))
    return found


def mode_of(message: Any) -> dict[int, str]:
    """Mode of the episode that an `Episode` message announces, by number; empty if it announces none."""
    if not getattr(message, "episode", 0) or message.state not in (State.RUNNING, State.HOLD):
        return {}
    if message.mode not in set(Mode):
        return {}
    name = Mode(message.mode).name.lower() if message.state == State.RUNNING else DEMONSTRATION
    return {message.episode: name}


def as_text(summary: Summary) -> str:
    lines = [summary.name, f"  {'task':<20}{', '.join(summary.tasks) or 'no transition of tdm_ros'}"]

    def add(name: str, text: str) -> None:
        lines.append(f"  {name:<20}{text}")

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
        add("operator took over", f"{summary.takeovers} times" if summary.takeovers else "never")
        add("limiter", f"changed {summary.limited} commands ({summary.limited_share:.1%})")
        add("cycle gaps", f"{summary.gaps} inside episodes, {summary.lost_cycles} cycles lost")
    if summary.damaged:
        add(
            "unreadable",
            f"{summary.damaged} transitions cannot be decoded, or have another shape or task than the others",
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


def check(recording: Recording, table: Table) -> list[str]:
    """One sentence per deviation, most serious first; empty for a valid recording."""
    found = list(recording.problems)
    found += _left_out(recording, table)
    if not len(table):
        return [*found, "it contains no transition of tdm_ros"]
    tasks = sorted(set(table.columns["task"]))
    if len(tasks) > 1:
        found.append(f"transitions of {len(tasks)} tasks: {', '.join(tasks)}; one policy cannot learn from all of them")
    known = known_tasks()
    for name in tasks:
        if name in known:
            found += _against_task(table.columns, known[name], table.columns["task"] == name)
        else:
            found.append(f"task {name} is not in this package: its sizes and bounds cannot be checked")
    return [*found, *_numbers(table.columns), *_order(table)]


def _against_task(columns: Columns, task: TaskSpec, rows: NDArray[np.bool_]) -> Iterator[str]:
    """Sizes of the vectors, and actions within their bounds."""
    for name, part in VECTORS.items():
        channels: Channels = getattr(task, part)
        if columns[name].shape[1] != channels.size:
            yield f"{name} has {columns[name].shape[1]} numbers, task {task.name} has {channels.size}"
    outside = rows & is_commanded(columns["source"]) & (np.abs(columns["action"]) > 1).any(axis=1)
    if outside.any():
        largest = np.abs(columns["action"][outside]).max()
        yield f"{outside.sum()} commanded actions are outside [-1, 1], the largest is {largest:g}"


def _numbers(columns: Columns) -> Iterator[str]:
    commanded = is_commanded(columns["source"])
    for name in VECTORS:
        bad = commanded & ~np.isfinite(columns[name]).all(axis=1)
        if bad.any():
            yield f"{bad.sum()} commanded transitions lack a finite {name}, the first in cycle {_first(columns, bad)}"
    unknown = ~np.isin(columns["source"], [int(one) for one in Source])
    if unknown.any():
        yield f"{unknown.sum()} transitions have an unknown source, the first in cycle {_first(columns, unknown)}"


def _order(table: Table) -> Iterator[str]:
    """Stamps increase, cycles are consecutive, and each state is the next state of the transition before it."""
    columns = table.columns
    back = sum(int((np.diff(columns["stamp_ns"][rows]) <= 0).sum()) for rows in tracks(table))
    if back:
        yield f"{back} stamps do not come after the one before: transitions are duplicated, or a clock was set"
    gaps, missing = missing_cycles(table)
    if gaps:
        yield f"{missing} cycles are missing in {gaps} gaps inside episodes"
    torn = 0
    for rows in commanded_pieces(table):
        before, after = columns["next_observation"][rows[:-1]], columns["observation"][rows[1:]]
        torn += int((before != after).any(axis=1).sum())
    if torn:
        yield f"{torn} transitions do not begin where the one before them ended"


def _first(columns: Columns, rows: NDArray[np.bool_]) -> int:
    return int(columns["cycle"][np.flatnonzero(rows)[0]])
