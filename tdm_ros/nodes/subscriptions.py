"""Validated subscriptions: bounded size, readable messages and, where it matters, one publisher only."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

WINDOW_S, FALLS = 3.0, 2
"""Time that is looked at [s], and how often the numbers of a topic's messages may not fall in it."""
LEAP = 10
"""Numbers that go on where they were before they fell, by a leap of more than this and of half their size, are those of
another publisher than the fallen ones: one that was started again has to count up to there."""


class OneSource:
    """Follows the numbers of a topic's messages, each publisher's from 1.

    With one publisher they rise. They fall once where it was started again; where two publish they fall again and
    again, or fall and leap back.
    """

    def __init__(self) -> None:
        self._last = self._highest = 0
        self._fell_s: deque[float] = deque(maxlen=FALLS)
        self._leapt_s = -float("inf")

    def take(self, number: int, now_s: float) -> bool:
        """Take the number of the next message in; return whether two publish."""
        if number <= self._last:
            self._fell_s.append(now_s)
        leaps = number > self._highest > self._last and number - self._last > max(LEAP, self._highest // 2)
        self._leapt_s = now_s if leaps else self._leapt_s
        self._last, self._highest = number, max(number, self._highest)
        falls = len(self._fell_s) == FALLS and now_s - self._fell_s[0] < WINDOW_S
        return falls or now_s - self._leapt_s < WINDOW_S


LARGEST_BYTES = 1_000_000
"""No message but weights comes near."""
LARGEST_WEIGHTS = 65_000_000
"""Of `policy_weights`: what an actor may have, and the rest of the message."""


def listen(
    node: Any,
    kind: type[Any],
    topic: str,
    call: Callable[[Any], object],
    profile: QoSProfile,
    largest_bytes: int = LARGEST_BYTES,
    on_two: Callable[[str], object] | None = None,
) -> Subscription:
    """Subscribe to messages that are checked before they are made: in Python a large one takes ten times its size.

    Parameters
    ----------
    node : Node
        Its ``rejections`` count what is not taken in.
    kind : type
        Of the messages.
    topic : str
    call : callable
        Given each message.
    profile : QoSProfile
    largest_bytes : int
        Larger messages are not read.
    on_two : callable, optional
        With it, messages of two publishers at once are not taken in; it is given a sentence that names them.
    """
    taken = _Input(node, kind, topic, call, largest_bytes, on_two).take
    return node.create_subscription(kind, topic, taken, profile, raw=True)


class _Input:
    """What a subscription does with serialised messages."""

    def __init__(
        self,
        node: Any,
        kind: type[Any],
        topic: str,
        call: Callable[[Any], object],
        largest_bytes: int,
        on_two: Callable[[str], object] | None,
    ) -> None:
        self._node, self._kind, self._topic, self._call = node, kind, topic, call
        self._largest, self._on_two, self._source = largest_bytes, on_two, OneSource()
        self._full = node.resolve_topic_name(topic)

    def take(self, data: bytes, info: Any) -> None:
        """Take a serialised message in."""
        if self._on_two is not None and self._two(info):
            sentence = two_publishers(self._node, self._full)
            self._node.rejections.reject(f"{self._topic}: two publishers", sentence)
            self._on_two(sentence)
            return
        if len(data) > self._largest:
            self._node.rejections.reject(
                f"{self._topic}: too large", f"{len(data)} bytes, expected at most {self._largest}"
            )
            return
        try:
            message = deserialize_message(data, self._kind)
        except Exception as error:  # rclpy has its own kinds of it
            self._node.rejections.reject(f"{self._topic}: cannot be read", f"{type(error).__name__}: {error}")
            return
        self._call(message)

    def _two(self, info: Any) -> bool:
        """Whether two publish; in the graph one that was killed counts for a while, so that the numbers tell, too."""
        number = info.get("publication_sequence_number")
        falls = self._source.take(number, time.monotonic()) if number is not None else True
        return falls and self._node.count_publishers(self._full) > 1


def publishers_of(node: Node, topic: str) -> list[str]:
    """Names of the nodes that publish a topic, which is given in full."""
    found = node.get_publishers_info_by_topic(topic)
    return sorted(f"{one.node_namespace.rstrip('/')}/{one.node_name}" for one in found)


def two_publishers(node: Node, topic: str) -> str:
    """Say that a topic has more publishers than one."""
    return (
        f"{topic} has more than one publisher: {' and '.join(publishers_of(node, topic))}. Where two systems run in "
        f"ROS_DOMAIN_ID {os.environ.get('ROS_DOMAIN_ID', '0')}, end one, or give it another domain or a namespace"
    )


def other_publisher(node: Any, topic: str, wanted: str) -> str:
    """Say that a topic has another publisher than the one node that is wanted, or several; "" if it has that one.

    Parameters
    ----------
    node : Node
    topic : str
        In full.
    wanted : str
        Name of a node, in full or in the namespace of ``node``.
    """
    full = wanted if wanted.startswith("/") else f"{node.get_namespace().rstrip('/')}/{wanted}"
    found = sorted(set(publishers_of(node, topic)))  # one that was killed and started again is there twice for a while
    if found == [full]:
        return ""
    who = " and ".join(found) or "a node that is not known"
    return f"{topic} is published by {who}, expected {full} alone: end the others, start it under that name"
