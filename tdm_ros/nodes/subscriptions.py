"""Validated subscriptions: bounded size, readable messages and, where it matters, one publisher only."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from tdm_ros.nodes import qos

WINDOW_S, FALLS = 3.0, 2
"""Window [s], and number of decreases of a topic's sequence numbers in it that mean two publishers."""
LEAP = 10
"""After a decrease, an increase above the earlier maximum by more than this, and by more than half of it, means another
publisher: one that was started again counts from 1."""


class OneSource:
    """Detects a second publisher by the sequence numbers of a topic's messages, which each publisher counts from 1.

    With one publisher they increase, with gaps where messages are lost; they decrease once if it is started again. With
    two publishers they decrease repeatedly, or decrease and return to the earlier maximum.
    """

    def __init__(self) -> None:
        self._last = self._highest = 0
        self._fell_s: deque[float] = deque(maxlen=FALLS)
        self._leapt_s = -float("inf")

    def take(self, number: int, now_s: float) -> bool:
        """Add the number of the next message; return whether there are two publishers."""
        if number <= self._last:
            self._fell_s.append(now_s)
        leaps = number > self._highest > self._last and number - self._last > max(LEAP, self._highest // 2)
        self._leapt_s = now_s if leaps else self._leapt_s
        self._last, self._highest = number, max(number, self._highest)
        falls = len(self._fell_s) == FALLS and now_s - self._fell_s[0] < WINDOW_S
        return falls or now_s - self._leapt_s < WINDOW_S


REMEMBERED = 64  # number of messages of a topic by which the same one of the other subscription is recognised
OVERTAKEN_NS = 1_000_000_000
"""Age relative to the newest message below which an older one was overtaken by it; above, a clock was set back [ns]."""

COLLECTOR = "collector"
"""Name of the node whose transitions are learned from."""
FOREIGN = "not from its own publisher alone"
UNKNOWN, NAMELESS = "_NODE_NAME_UNKNOWN_", "a node whose name is not known (yet)"
"""Name of a node that has not announced its name yet: in the graph of rcl, and in our sentences."""

LARGEST_BYTES = 1_000_000  # limit for all messages but weights
LARGEST_WEIGHTS = 65_000_000  # limit for `policy_weights`: the largest actor, and the rest of the message


def listen(
    node: Any,
    kind: type[Any],
    topic: str,
    call: Callable[[Any], object],
    profile: QoSProfile,
    largest_bytes: int = LARGEST_BYTES,
    on_two: Callable[[str], object] | None = None,
    external: bool = False,
    only: str = "",
) -> Subscription:
    """Subscribe to messages; those that are too large, unreadable or of another task than the node's are rejected.

    The size is checked before a message is deserialised: a Python message takes ten times that. While there are two or
    more publishers, ``on_two`` is called with a sentence that names them, in place of ``call``. With ``only``, messages
    are rejected unless the node of that name, relative to our namespace, is the topic's one publisher.
    """
    taken = _Input(node, kind, topic, call, largest_bytes, on_two, twice=external, only=only).take
    if external:
        node.create_subscription(kind, topic, taken, qos.EXTERNAL, raw=True)
    return node.create_subscription(kind, topic, taken, profile, raw=True)


listen_external = partial(listen, external=True)
"""Subscribe to reliable and to best-effort publishers, as `listen` does, and pass on each message once.

A best-effort subscription matches both kinds, and may lose messages of a reliable publisher; a reliable one does not
match best-effort publishers.
"""


@dataclass
class _Input:
    """Callback of a subscription to serialised messages, or with ``twice`` of two that receive the same ones."""

    node: Any
    kind: type[Any]
    topic: str
    call: Callable[[Any], object]
    largest_bytes: int
    on_two: Callable[[str], object] | None
    twice: bool = False
    only: str = ""

    def __post_init__(self) -> None:
        self._source, self._newest_ns = OneSource(), 0
        self._taken: deque[tuple[Any, Any]] = deque(maxlen=REMEMBERED)
        self._full = self.node.resolve_topic_name(self.topic)

    def take(self, data: bytes, info: Any) -> None:
        """Check, deserialise and pass on a message."""
        if self.twice and self._is_received(info):
            return
        if self.on_two is not None and self._two(info):
            names, domain = publishers_of(self.node, self._full), os.environ.get("ROS_DOMAIN_ID", "0")
            sentence = (
                f"{self._full} has more than one publisher: {' and '.join(names)}. Where two systems run in "
                f"ROS_DOMAIN_ID {domain}, end one, or give it another domain or a namespace"
            )
            self._reject("two publishers", sentence)
            self.on_two(sentence)
            return
        if self.twice and self.on_two is not None and self._is_overtaken(info):
            return
        if self.only and (problem := self._foreign()):
            self._reject(FOREIGN, problem)
            return
        if len(data) > self.largest_bytes:
            self._reject("too large", f"{len(data)} bytes, expected at most {self.largest_bytes}")
            return
        try:
            message = deserialize_message(data, self.kind)
        except Exception as error:  # rclpy has its own kinds of it
            self._reject("cannot be read", f"{type(error).__name__}: {error}")
            return
        if hasattr(message, "task") and message.task != self.node.task.fingerprint:
            self._reject("another task", message.task or "none")
        else:
            self.call(message)

    def _reject(self, why: str, detail: str) -> None:
        self.node.rejections.reject(f"{self.topic}: {why}", detail)

    def _foreign(self) -> str:
        """Return that another publisher than the only one is there, or a second one of its name; "" if there is none.

        One that was killed and started again is listed twice for up to 20 s: it cannot be told from a stranger.
        """
        problem, names = other_publisher(self.node, self._full, self.only), publishers_of(self.node, self._full)
        return problem or (f"{self._full} has {len(names)} publishers of one name" if len(names) > 1 else "")

    def _is_received(self, info: Any) -> bool:
        """Return whether the other subscription of an external topic has received this message."""
        key = info.get("source_timestamp"), info.get("publication_sequence_number")
        if key in self._taken:
            return None not in key
        self._taken.append(key)
        return False

    def _is_overtaken(self, info: Any) -> bool:
        """Return whether a newer message of the only publisher arrived before, by the other subscription."""
        sent_ns = info.get("source_timestamp") or self._newest_ns
        if 0 < self._newest_ns - sent_ns < OVERTAKEN_NS:
            return True
        self._newest_ns = sent_ns
        return False

    def _two(self, info: Any) -> bool:
        """Return whether there are two publishers; the graph lists a killed one for a while: the numbers count, too."""
        number = info.get("publication_sequence_number")
        falls = self._source.take(number, time.monotonic()) if number is not None else True
        return falls and self.node.count_publishers(self._full) > 1


def publishers_of(node: Node, topic: str) -> list[str]:
    """Return the names of the nodes that publish a topic (full name)."""
    found = node.get_publishers_info_by_topic(topic)
    return sorted(f"{one.node_namespace.rstrip('/')}/{one.node_name}" for one in found)


def other_publisher(node: Any, topic: str, wanted: str) -> str:
    """Return that a topic has another publisher than the expected node, or several; "" if it has that one alone.

    ``topic`` is the full name, ``wanted`` a name in full or relative to the namespace of ``node``.
    """
    full = wanted if wanted.startswith("/") else f"{node.get_namespace().rstrip('/')}/{wanted}"
    found = sorted(set(publishers_of(node, topic)))  # one that was killed and restarted is listed twice for a while
    if found == [full]:
        return ""
    who = " and ".join(NAMELESS if UNKNOWN in name else name for name in found) or "an unknown node"
    return f"{topic} is published by {who}, expected {full} alone: end the others, start it under that name"
