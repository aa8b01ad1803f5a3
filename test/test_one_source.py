"""Numbers of messages tell whether one publishes or two, whatever else happens to the messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tdm_ros.nodes.subscriptions import WINDOW_S, OneSource


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
