"""Summary of a recording message by message: memory grows with the number of episodes, not with that of transitions.

It gives what `summarise` gives of a recording in memory. Where that needs all transitions at once (older logs without
runs, cycles out of order, several tasks), the recording is read into memory after all.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.records import Channel, Message

from tdm_ros.control.timeline import COMMANDED, Source
from tdm_ros.data import recording as data
from tdm_ros.data.counting import Counted
from tdm_ros.data.log import from_message, mcap_files
from tdm_ros.data.mcap_records import Budget, RecordReader
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, decoded, decoder, not_decoded
from tdm_ros.data.repeats import TransitionsOnce
from tdm_ros.data.sources import DATASETS, declared, log_folder, read_nonempty, undecodable
from tdm_ros.data.summary import Summary, clock_time, distances, episode_numbers, mode_of, same_identity, summarise
from tdm_ros.data.table import SOURCES, known_tasks, to_table
from tdm_ros.data.transition_cdr import parser_of, to_transition
from tdm_ros.types import LoggedTransition

MEASURED = 1 << 20
"""Number of time steps from which the rate of an unknown task is computed."""


class _NeedsTableError(Exception):
    """The transitions must be in memory together."""


class _Episode(NamedTuple):
    """Finished episode: number, steps, and goal-space point and goal of its last step, (G,) float32 [goal unit]."""

    number: int
    steps: int
    reached: Any
    goal: Any


@dataclass
class _Track:
    """State of one run of an arm: its newest transition, that of the open episode, and the latter's steps."""

    newest: LoggedTransition | None = None
    last: LoggedTransition | None = None
    steps: int = 0


class _Transitions:
    """What a summary says of transitions; each is added once, in the order of the recording."""

    def __init__(self) -> None:
        self.once = TransitionsOnce()
        self.tasks: Counter[str] = Counter()
        self.sources: Counter[int] = Counter()
        self.sizes: list[int] = [0] * 6
        self.pieces = self.takeovers = self.limited = self.gaps = self.lost_cycles = 0
        self.first_ns: int | None = None
        self.episodes: list[_Episode] = []
        self.steps_ns = array("q")
        self._before: LoggedTransition | None = None
        self._tracks: dict[str, _Track] = {}

    @property
    def count(self) -> int:
        """Number of transitions of the summary."""
        return self.tasks.total()

    def add(self, task: str, one: LoggedTransition) -> None:
        """Add the next transition. Raises _NeedsTableError if it does not fit those before."""
        if not one.run:
            raise _NeedsTableError
        if not self.once.is_new(one.run, one.cycle):
            return
        sizes = [len(vector) for vector in one.step[:6]]
        if (self.tasks and task not in self.tasks) or any(
            a and b and a != b for a, b in zip(sizes, self.sizes, strict=True)
        ):
            raise _NeedsTableError
        self.sizes = [a or b for a, b in zip(self.sizes, sizes, strict=True)]
        self.tasks[task] += 1
        self.sources[one.source] += 1
        self.limited += one.limited
        self.first_ns = one.stamp_ns if self.first_ns is None else min(self.first_ns, one.stamp_ns)
        before, self._before = self._before, one
        self.takeovers += one.source == Source.HUMAN and (before is None or before.source != Source.HUMAN)
        if before is not None and one.cycle == before.cycle + 1 and len(self.steps_ns) < MEASURED:
            self.steps_ns.append(one.stamp_ns - before.stamp_ns)
        self._follow(self._tracks.setdefault(one.run, _Track()), one)

    def _follow(self, track: _Track, one: LoggedTransition) -> None:
        """Continue a run: its pieces and episodes. Raises _NeedsTableError if a cycle is out of order."""
        newest, track.newest = track.newest, one
        if newest is not None and one.cycle <= newest.cycle:
            raise _NeedsTableError
        follows = (
            newest is not None
            and one.cycle == newest.cycle + 1
            and one.episode == newest.episode
            and not newest.last
            and newest.source in COMMANDED
        )
        self.pieces += one.source in COMMANDED and not follows
        if not one.episode:
            return
        if track.last is not None and track.last.episode == one.episode:
            missing = one.cycle - track.last.cycle - 1
            self.gaps += missing > 0
            self.lost_cycles += missing
        else:
            self._end(track)
        track.last, track.steps = one, track.steps + 1

    def _end(self, track: _Track) -> None:
        if (last := track.last) is not None:
            reached, goal = last.step.next_achieved.copy(), last.step.desired.copy()  # they are parts of larger arrays
            self.episodes.append(_Episode(last.episode, track.steps, reached, goal))
        track.last, track.steps = None, 0

    def end(self) -> None:
        """End the open episodes."""
        for track in self._tracks.values():
            self._end(track)

    def final(self) -> dict[str, Any]:
        """Columns of the last transitions of the episodes, as a table has them."""
        columns: dict[str, Any] = {
            "cycle": np.zeros(len(self.episodes)),
            "task": np.array([*self.tasks] * len(self.episodes), object),
        }
        for name, size in (("next_achieved_goal", self.sizes[4]), ("desired_goal", self.sizes[5])):
            columns[name] = np.full((len(self.episodes), size), np.nan, np.float32)
        for row, one in enumerate(self.episodes):
            columns["next_achieved_goal"][row, : len(one.reached)] = one.reached
            columns["desired_goal"][row, : len(one.goal)] = one.goal
        return columns

    def rate_hz(self) -> int:
        """Cycles per second, as `table.rate_hz` computes it [Hz]."""
        if (task := known_tasks().get(next(iter(self.tasks)))) is not None:
            return round(task.rate_hz)
        return max(1, round(1e9 / float(np.median(self.steps_ns)))) if self.steps_ns else 1


class _Inspection:
    """Files of a recording, read one after the other."""

    def __init__(self, name: str) -> None:
        self.name, self.counted, self.transitions = name, Counted(), _Transitions()
        self.topics: dict[str, int] = {}
        self.modes: dict[int, str] = {}
        self.total = self.undecoded = 0
        """Numbers of transitions, and of those that cannot be decoded though their definition is known."""
        self._decoders: dict[Any, tuple[Any, Any]] = {}

    def read(self, path: Path, budget: Budget) -> None:
        """Read one file."""
        reader, counts = RecordReader(path, budget), Counter[int]()
        channels: dict[int, data.Channel] = {}
        for one in reader:
            if isinstance(one, Message):
                counts[one.channel_id] += 1
                self.counted.see(one.log_time)
                self._take(channels[one.channel_id], one.data)
            elif isinstance(one, Channel):
                channels[one.id] = declared(reader, one)
                self.topics.setdefault(one.topic, 0)
        for key, count in counts.items():
            self.topics[channels[key].topic] += count
        self.counted.problems += reader.problems
        self.counted.problems += undecodable(path, [(one, counts[key]) for key, one in channels.items()])
        self.counted.notes += reader.notes

    def _take(self, channel: Any, data: bytes) -> None:
        if channel.type_name not in (TRANSITION_TYPE, EPISODE_TYPE):
            return
        if channel not in self._decoders:
            parse = parser_of(channel.type_name, channel.schema_encoding, channel.schema)
            self._decoders[channel] = parse, decoder(channel)
        parse, decode = self._decoders[channel]
        if channel.type_name == EPISODE_TYPE:
            self.modes.update(mode_of(decode and decoded(decode, data)))
            return
        self.total += 1
        if (raw := parse(data)) is not None:
            self.transitions.add(raw.task, to_transition(data, raw))
        elif decode is not None:
            self._take_message(decoded(decode, data))

    def _take_message(self, message: Any) -> None:
        """Add a transition of another definition."""
        try:
            found = str(message.task), from_message(message)
        except (AttributeError, TypeError, ValueError, OverflowError):
            self.undecoded += 1
            return
        self.transitions.add(*found)

    def summary(self) -> Summary:
        """Summary of what was read."""
        found, counted = self.transitions, self.counted
        found.end()
        problems, repeated = list(counted.problems), found.once.repeated
        if self.undecoded:
            problems.append(not_decoded(self.name, self.undecoded))
        if repeated:
            problems.append(same_identity(self.name, repeated))
        first_ns, last_ns = counted.times_ns or (0, 0)
        common = Summary(
            self.name,
            topics=self.topics,
            duration_s=(last_ns - first_ns) / 1e9,
            damaged=self.total - found.count - repeated,
            problems=problems,
            notes=list(counted.notes),
        )
        if not found.count:
            return common
        task = known_tasks().get(next(iter(found.tasks)))
        return replace(
            common,
            tasks=sorted(found.tasks),
            unit=task.goal.unit if task else "",
            start=clock_time((found.first_ns or 0) / 1e9),
            robot_s=found.count / found.rate_hz(),
            transitions=found.count,
            sources={SOURCES.get(v, f"unknown ({v})"): count for v, count in sorted(found.sources.items())},
            pieces=found.pieces,
            episodes=self._episodes(),
            takeovers=int(found.takeovers),
            limited=int(found.limited),
            limited_share=found.limited / found.count,
            gaps=int(found.gaps),
            lost_cycles=found.lost_cycles,
        )

    def _episodes(self) -> dict[str, Any]:
        found = self.transitions
        kinds = [self.modes.get(one.number, "not announced") for one in found.episodes]
        return episode_numbers([one.steps for one in found.episodes], kinds, distances(found.final()))


def inspect(path: Path, unpack_limit: int | None = None) -> Summary:
    """Summary of a recording.

    Raises DataError if there is no recording, it has no message, or it unpacks to more than allowed.
    """
    folder = log_folder(path)
    files = [path] if path.is_file() else mcap_files(folder) if folder.is_dir() else []
    if files and not any(has_layout(path) for has_layout in DATASETS):
        budget, found = Budget(sum(file.stat().st_size for file in files), unpack_limit), _Inspection(str(path))
        try:
            for file in files:
                found.read(file, budget)
        except _NeedsTableError:
            pass
        else:
            if found.counted.times_ns is not None:
                return found.summary()
    recording = read_nonempty(path, True, unpack_limit)
    return summarise(recording, to_table(recording))
