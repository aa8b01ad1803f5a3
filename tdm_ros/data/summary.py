"""Summary of a recording in numbers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.timeline import Mode, Source, State
from tdm_ros.data.pieces import SOURCES, commanded_pieces, episodes, lost_cycles
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, Recording
from tdm_ros.data.table import Table
from tdm_ros.data.tasks import known_tasks, rate_hz

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
