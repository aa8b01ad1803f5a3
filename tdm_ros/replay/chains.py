"""Consecutive transitions in whatever order they arrive: several arms in one recording are kept apart."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Sequence


def chains(begins: Sequence[Hashable], ends: Sequence[Hashable]) -> list[list[int]]:
    """Positions of each unbroken chain, the chains in the order of their first members.

    Parameters
    ----------
    begins, ends : sequence of hashable, of one length
        What each item begins with, and what the one after it must begin with.
    """
    waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for position, begin in enumerate(begins):
        waiting[begin].append(position)
    after: dict[int, int] = {}
    for position, end in enumerate(ends):
        if found := waiting.get(end):
            after[position] = found.popleft()
    followers = set(after.values())
    made = []
    for position in range(len(begins)):
        if position not in followers:
            chain = [position]
            while (follower := after.get(chain[-1])) is not None:
                chain.append(follower)
            made.append(chain)
    return made
