"""Numbers of the transitions and episodes of a file, counted message by message; the index of a log has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tdm_ros.control.timeline import Source
from tdm_ros.data.recording import EPISODE_TYPE, TRANSITION_TYPE, Channel, decoded, decoder
from tdm_ros.data.transition_cdr import parser_of

MOST_EPISODES = 1_000_000
"""Largest number of episodes that a line of the index may have; a file of a log has some hundreds."""


@dataclass
class Tally:
    """Numbers of messages of tdm_ros that can be decoded."""

    transitions: int = 0
    human: int = 0
    """Transitions that the operator made."""
    undecoded: int = 0
    """Transitions that cannot be decoded; not counted where no definition is known."""
    tasks: Counter[str] = field(default_factory=Counter)
    """Number of transitions of each task."""
    episodes: set[int] = field(default_factory=set)
    """Numbers of the announced episodes."""

    def add(self, other: Tally) -> None:
        """Add the numbers of another file."""
        self.transitions += other.transitions
        self.human += other.human
        self.undecoded += other.undecoded
        self.tasks.update(other.tasks)
        self.episodes |= other.episodes

    def as_json(self) -> list[Any]:
        """Values for a line of the index; consecutive episodes are one range."""
        counts = [self.transitions, self.human, self.undecoded]
        return [*counts, dict(self.tasks), [[begin, end] for begin, end in _ranges(sorted(self.episodes))]]

    @classmethod
    def of_json(cls, values: Any) -> Tally | None:
        """Numbers of a line of the index; None if it was written without.

        Raises ValueError, TypeError, AttributeError or OverflowError if the values are no such numbers.
        """
        if values is None:
            return None
        transitions, human, undecoded, tasks, ranges = values
        numbers = [range(int(begin), int(end)) for begin, end in ranges]
        if (count := sum(map(len, numbers))) > MOST_EPISODES:
            raise ValueError(f"a file announces {count} episodes, expected {MOST_EPISODES} at most")
        episodes = {number for part in numbers for number in part}
        counts = Counter({str(task): int(count) for task, count in tasks.items()})
        return cls(int(transitions), int(human), int(undecoded), counts, episodes)


def _ranges(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Ranges [begin, end) of sorted numbers."""
    found = set(numbers)
    begins = [number for number in numbers if number - 1 not in found]
    return zip(begins, [number + 1 for number in numbers if number + 1 not in found], strict=True)


class TallyCounter:
    """Counts messages by channel, each under a key of the caller; messages of other types are ignored."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._counts: dict[Any, Callable[[bytes], None]] = {}

    def declare(self, key: Any, channel: Channel) -> None:
        """Let messages with this key be those of a channel."""
        decode = decoder(channel) if channel.type_name in (TRANSITION_TYPE, EPISODE_TYPE) else None
        if decode is None:
            self._counts.pop(key, None)
        elif channel.type_name == EPISODE_TYPE:
            self._counts[key] = lambda data: self._count_episode(decoded(decode, data))
        else:
            parse = parser_of(channel.type_name, channel.schema_encoding, channel.schema)
            self._counts[key] = lambda data: self._count_transition(parse(data) or decoded(decode, data))

    def add(self, key: Any, data: bytes) -> None:
        """Count one serialised message."""
        if (count := self._counts.get(key)) is not None:
            count(data)

    def _count_transition(self, message: Any) -> None:
        try:
            task, human = message.task, message.source == Source.HUMAN
        except AttributeError:
            self.tally.undecoded += 1
            return
        self.tally.transitions += 1
        self.tally.human += human
        self.tally.tasks[str(task)] += 1

    def _count_episode(self, message: Any) -> None:
        number = getattr(message, "episode", 0)
        if isinstance(number, int) and number:
            self.tally.episodes.add(number)
