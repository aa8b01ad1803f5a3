"""Records that are in a recording twice: messages with the same bytes, transitions of the same run and cycle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcap.records import Message

from tdm_ros.types import CycleRange, CycleSet, LoggedTransition

REMEMBERED = 1 << 17
"""A repetition is found if no more messages are between it and its original; more than a file of a log has."""


class RepeatedMessages:
    """Finds messages of a file that repeat an earlier one, in bounded memory.

    A repetition has the same channel, number, times and bytes. On a channel whose writer does not number its messages,
    all have the number 0: there equal messages are different ones.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._before: set[int] = set()
        self._first: dict[int, int] = {}
        self._unnumbered: set[int] = set()

    def add(self, message: Message) -> bool:
        """Add the next message; return whether it repeats one."""
        channel = message.channel_id
        key = hash((channel, message.sequence, message.log_time, message.publish_time, message.data))
        if message.sequence == 0:
            if self._first.setdefault(channel, key) != key:
                self._unnumbered.add(channel)
            if channel in self._unnumbered:
                return False
        if key in self._recent or key in self._before:
            return True
        if len(self._recent) == REMEMBERED:
            self._before, self._recent = self._recent, set()
        self._recent.add(key)
        return False


class TransitionsOnce:
    """Counts and leaves out transitions whose run and cycle were there before, in bounded memory.

    Those of older logs, which do not name their run, are not compared.
    """

    def __init__(self) -> None:
        self._seen = CycleSet()
        self.repeated = 0

    def is_new(self, run: str, cycle: int) -> bool:
        """Whether a transition is the first of its run and cycle."""
        if not run or self._seen.add(CycleRange(run, cycle, cycle + 1)):
            return True
        self.repeated += 1
        return False

    def of(self, transitions: Iterable[LoggedTransition]) -> Iterator[LoggedTransition]:
        """Each transition once, in order."""
        return (one for one in transitions if self.is_new(one.run, one.cycle))
