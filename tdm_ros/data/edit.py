"""Merging and trimming of recordings; messages stay unchanged."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, DataError, Message, Recording, joined, tasks_in
from tdm_ros.data.table import SOURCES, check_original

SET_BACK_NS = 1_000_000_000
"""Messages are out of order by less than this; a larger step back means that the clock was set back [ns]."""


def merge(parts: Sequence[Recording], name: str) -> tuple[Recording, int]:
    """Join recordings of one task in the order of their times; return also the number of duplicates that were left out.

    The order within each recording is kept. A message that several recordings contain is in the result once. Raises
    DataError if they are of different tasks, or one is a dataset.
    """
    for part in parts:
        check_original(part)
    transitions = ((part, Counter(message.task for _, message in part.of_type(TRANSITION_TYPE))) for part in parts)
    tasks = {task: part.name for part, counts in transitions for task in sorted(tasks_in(counts))}
    if len(tasks) > 1:
        listed = "; ".join(f"{where} has task {task}" for task, where in tasks.items())
        raise DataError(f"only recordings of one task can be merged, and {listed}: merge those of each task alone")
    whole = joined(name, parts)
    streams, at = [], 0
    for number, part in enumerate(parts):
        streams.append(_clocked(whole.messages[at : at + len(part.messages)], number))
        at += len(part.messages)
    owner: dict[Message, int] = {}
    messages = [
        message
        for _, number, message in heapq.merge(*streams, key=lambda one: one[:2])
        if owner.setdefault(message, number) == number
    ]
    return whole.with_messages(messages), len(whole.messages) - len(messages)


def _clocked(stream: Iterable[Message], number: int) -> Iterator[tuple[int, int, Message]]:
    """Messages with the latest time so far, which never decreases, even if the clock was set back."""
    newest = 0
    for message in stream:
        newest = max(newest, message.log_time)
        yield newest, number, message


LONGEST = 40
"""Largest number of characters of one range of episodes."""


@dataclass(frozen=True)
class Selection:
    """Conditions on the transitions to keep; None is no condition."""

    start_s: float | None = None
    end_s: float | None = None
    """Counted from the first transition [s]."""
    episodes: tuple[range, ...] | None = None
    """By number; 0: motions home."""
    sources: frozenset[str] | None = None
    """Sources of commands, by their names in `SOURCES`."""


def numbers(text: str) -> tuple[range, ...]:
    """Parse numbers of episodes, for example ``3,5-8``. Raises DataError if the text has another form."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > LONGEST:
            raise DataError(f"episodes are given as numbers and ranges, for example 3,5-8, got {text[:LONGEST]!r}")
        found.append(range(int(first), int(last or first) + 1))
    return tuple(found)


def sources(names: Iterable[str]) -> frozenset[str]:
    """Check names of sources. Raises DataError if one is unknown."""
    found = frozenset(names)
    if unknown := sorted(found - set(SOURCES.values())):
        raise DataError(f"a source is one of {', '.join(SOURCES.values())}, got {', '.join(unknown)}")
    return found


def trim(recording: Recording, selection: Selection) -> Recording:
    """Keep the transitions that fulfil the conditions, their episodes' announcements, and other messages between them.

    Raises DataError if nothing is left, or the recording is a dataset.
    """
    check_original(recording)
    transitions = list(recording.of_type(TRANSITION_TYPE))
    if not transitions:
        raise DataError(f"{recording.name} has no transition of tdm_ros: there is nothing to trim")
    passed = _passed_ns(recording, transitions[0][0])
    kept = [(at, one) for at, one in transitions if _fulfils(selection, one, passed[at])]
    if not kept:
        span = passed[-1] / 1e9
        raise DataError(
            f"no transition of {recording.name} is left: it has {len(transitions)} over {span:.1f} s, episodes "
            f"{min(o.episode for _, o in transitions)} to {max(o.episode for _, o in transitions)}; ask for others"
        )
    positions, episodes = {at for at, _ in kept}, {one.episode for _, one in kept}
    announced = {at: one.episode for at, one in recording.of_type(EPISODE_TYPE)}
    spans = _spans(kept)
    starts = [start for start, _ in spans]
    of_transitions = {at for at, _ in transitions}

    def stays(at: int, message: Message) -> bool:
        if at in of_transitions:
            return at in positions
        if announced.get(at, 0):
            return announced[at] in episodes
        before = bisect_right(starts, at)
        return bool(before) and at <= spans[before - 1][1]

    return recording.with_messages([m for at, m in enumerate(recording.messages) if stays(at, m)])


def _fulfils(selection: Selection, transition: Any, after_ns: int) -> bool:
    return (
        (selection.start_s is None or after_ns >= selection.start_s * 1e9)
        and (selection.end_s is None or after_ns <= selection.end_s * 1e9)
        and (selection.episodes is None or any(transition.episode in span for span in selection.episodes))
        and (selection.sources is None or SOURCES.get(transition.source) in selection.sources)
    )


def _passed_ns(recording: Recording, first: int) -> list[int]:
    """Time from the message at ``first`` to each message [ns]; a clock that is set back adds no time."""
    times = [message.log_time for message in recording.messages]
    steps = [after - before for before, after in pairwise(times)]
    passed = list(accumulate((step if step > -SET_BACK_NS else 0 for step in steps), initial=0))
    return [time - passed[first] for time in passed]


def _spans(kept: Sequence[tuple[int, Any]]) -> list[tuple[int, int]]:
    """Positions of the first and the last transition of each sequence of kept transitions of one episode."""
    groups = (list(group) for _, group in groupby(kept, key=lambda one: one[1].episode))
    return [(group[0][0], group[-1][0]) for group in groups]
