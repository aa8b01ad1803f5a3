"""Numbers of messages tell whether one publishes or two, whatever else happens to the messages."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from std_msgs.msg import Bool

from tdm_ros.nodes.subscriptions import WINDOW_S, OneSource, _Input

NODES = Path(__file__).resolve().parents[1] / "tdm_ros" / "nodes"


@given(st.lists(st.integers(1, 5), min_size=21, max_size=200), st.integers(0, 200))
def test_one_source_that_loses_messages_and_is_started_again_is_one(steps: list[int], again: int) -> None:
    source, number = OneSource(), 0
    for position, step in enumerate(steps):
        number = 1 if position == again else number + step
        assert not source.take(number, 0.05 * position)


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.lists(st.integers(1, 3), min_size=8, max_size=30),
)
def test_two_sources_that_take_turns_are_two(first: int, second: int, turns: list[int]) -> None:
    source, numbers, found = OneSource(), [first, second], False
    for turn, length in enumerate(turns):
        for _ in range(length):
            numbers[turn % 2] += 1
            found |= source.take(numbers[turn % 2], 0.05 * turn)
    assert found


def test_two_sources_one_of_which_has_ended_are_one_again() -> None:
    source = OneSource()
    assert [source.take(n, 0.0) for n in (500, 1, 501, 2)] == [False, False, True, True]
    assert source.take(502, 0.1) and source.take(503, 0.1 + WINDOW_S / 2)
    assert not source.take(504, 0.2 + WINDOW_S)


def test_second_source_that_seldom_sends_is_found_by_the_first_message_after_it() -> None:
    source = OneSource()
    assert not any(source.take(n, 0.05 * n) for n in range(1, 100))
    assert not source.take(1, 5.0), "one that was started again, or another one"
    assert source.take(100, 5.05)


class _Node:
    """Names and counts the publishers of a topic, as the graph does, and keeps what is rejected."""

    def __init__(self, publishers: int) -> None:
        self.publishers, self.rejections, self.rejected = publishers, self, []

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic}"

    def get_namespace(self) -> str:
        return "/"

    def count_publishers(self, topic: str) -> int:
        return self.publishers

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return [SimpleNamespace(node_namespace="/", node_name=f"device{k}") for k in range(self.publishers)]

    def reject(self, what: str, detail: str = "") -> None:
        self.rejected.append(what)


def received(publishers: int, messages: list[tuple[float, int, bool]]) -> tuple[list[bool], list[str]]:
    """Values that are passed on, and rejections, of messages of an external topic: time sent [s], number, value."""
    node, values = _Node(publishers), []
    topic = _Input(node, Bool, "deadman", lambda message: values.append(message.data), 100, lambda why: None, True)
    for sent_s, number, value in messages:
        info = {"source_timestamp": int(1e9 * sent_s), "publication_sequence_number": number}
        topic.take(serialize_message(Bool(data=value)), info)
    return values, node.rejected


def test_message_of_both_subscriptions_counts_once_and_an_overtaken_one_does_not() -> None:
    first, second, third = (10.0, 1, True), (10.1, 2, False), (10.2, 3, True)
    assert received(1, [first, first, second, second, third, third])[0] == [True, False, True]
    assert received(1, [first, third, second, third])[0] == [True, True]
    clock_set_back = (5.0, 4, False)
    assert received(1, [third, clock_set_back])[0] == [True, False]


def test_second_publisher_whose_clock_is_behind_is_found_and_not_taken_for_overtaken() -> None:
    messages = [m for k in range(6) for m in ((10.0 + k / 10, 100 + k, True), (9.5 + k / 10, 7 + k, False))]
    values, rejected = received(2, messages)
    assert "deadman: two publishers" in rejected and len(values) <= 3


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["collector"], True),
        (["collector", "stranger"], False),
        (["collector", "collector"], False),
        (["stranger"], False),
        (["_NODE_NAME_UNKNOWN_"], False),
        ([], False),
    ],
)
def test_message_of_another_than_the_only_publisher_is_rejected(names: list[str], taken: bool) -> None:
    node, values = _Node(len(names)), []
    node.get_publishers_info_by_topic = lambda _: [SimpleNamespace(node_namespace="/", node_name=one) for one in names]
    _Input(node, Bool, "transition", values.append, 100, None, only="collector").take(serialize_message(Bool()), {})
    assert len(values) == taken
    assert node.rejected == ([] if taken else ["transition: not from its own publisher alone"])


@pytest.mark.parametrize("learner", ["trainer", "planner"])
def test_nodes_that_learn_take_transitions_of_the_collector_alone(learner: str) -> None:
    calls = [line for line in (NODES / f"{learner}.py").read_text().splitlines() if "listen(self, Transition" in line]
    assert calls and all("only=" in call for call in calls)


def test_trainer_reads_from_the_logs_what_it_rejected_and_nothing_otherwise() -> None:
    from tdm_ros.nodes.trainer import TrainerNode

    read: list[str] = []
    counts = {"transition: not from its own publisher alone": 0, "transition: too large": 7}
    node = SimpleNamespace(rejections=SimpleNamespace(counts=counts), _arms={"", "arm1"}, _foreign=0, _final=False)
    node._catch_up = read.append
    TrainerNode._read_rejected(node)
    assert read == []
    counts["arm1/transition: not from its own publisher alone"] = 3
    TrainerNode._read_rejected(node)
    TrainerNode._read_rejected(node)
    assert read == ["", "arm1"]
