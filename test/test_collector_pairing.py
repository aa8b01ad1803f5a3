"""Two consecutive states are one transition; no piece continues across a gap."""

from dataclasses import replace

import numpy as np
import pytest

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.data.pairing import TransitionBuilder, TransitionFilter
from tdm_ros.types import LoggedTransition

GOALS = {
    n: Announcement(State.RUNNING, episode=n, start_cycle=5 * n + 5, length=5, goal=np.full(3, n / 10, np.float32))
    for n in (1, 2)
}


def sample(cycle: int, episode: int = 1, source: Source = Source.POLICY) -> ArmSample:
    """A state whose numbers tell its cycle; ``episode`` and ``source`` are those of the cycle before."""
    return ArmSample(
        cycle,
        cycle * 50_000_000,
        episode,
        np.full(7, cycle / 100),
        np.full(7, cycle / 10),
        np.full(3, float(cycle)),
        np.full(7, cycle / 1000, np.float32),
        int(source),
        run="run",
    )


def collect(samples: list[ArmSample]) -> list[LoggedTransition]:
    pairing = TransitionBuilder(GOALS.get)
    found = [pairing.add(s) for s in samples] + [pairing.flush()]
    return [t for t in found if t is not None]


def test_pairing_consecutive_states_take_the_action_between_them() -> None:
    found = collect([sample(10), sample(11), sample(12)])
    assert [t.cycle for t in found] == [10, 11]
    first = found[0]
    np.testing.assert_allclose(first.step.observation[-3:], 10)
    np.testing.assert_allclose(first.step.next_observation[-3:], 11)
    np.testing.assert_allclose(first.step.action, 0.011)
    np.testing.assert_allclose(first.step.desired, 0.1)
    assert (first.number, first.last, found[1].number, found[1].last) == (0, False, 1, True)


NONE, RESET, SAFETY, RANDOM = Source.NONE, Source.RESET, Source.SAFETY, Source.RANDOM
PIECES: dict[str, tuple[list[ArmSample], list[tuple[int, int, bool]]]] = {
    "a lost cycle is a gap that ends the piece": (
        [sample(10), sample(11), sample(13), sample(14)],
        [(10, 1, True), (13, 1, True)],
    ),
    "a hold between episodes is not recorded": (
        [sample(10, 0, NONE), sample(11, 0, NONE), sample(12, 1), sample(13, 0, NONE)],
        [(11, 1, True)],
    ),
    "a safety hold inside an episode ends the piece before it": (
        [sample(10), sample(11), sample(12, 1, SAFETY), sample(13)],
        [(10, 1, True), (11, 5, True), (12, 1, True)],
    ),
    "random and policy actions are one piece": (
        [sample(10), sample(11, 1, RANDOM), sample(12)],
        [(10, 3, False), (11, 1, True)],
    ),
    "a repeated state changes nothing": (
        [sample(10), sample(11), sample(11), sample(12)],
        [(10, 1, False), (11, 1, True)],
    ),
    "a restart of the arm ends the piece": (
        [sample(12), sample(13), *(replace(sample(cycle), run="another") for cycle in (10, 11))],
        [(12, 1, True), (10, 1, True)],
    ),
}


@pytest.mark.parametrize(("states", "expected"), PIECES.values(), ids=PIECES.keys())
def test_pairing_pieces(states: list[ArmSample], expected: list[tuple[int, int, bool]]) -> None:
    """Cycle, source and end of the piece of each transition."""
    assert [(t.cycle, t.source, t.last) for t in collect(states)] == expected


def test_pairing_time_limit_is_truncated_never_terminated() -> None:
    states = [sample(c, 1) for c in range(10, 16)] + [sample(c, 2) for c in range(16, 18)]
    found = collect(states)
    assert [t.last for t in found] == [False] * 4 + [True] + [False, True]
    assert not any(t.step.terminated for t in found)


def test_pairing_lost_cycles_are_counted() -> None:
    pairing = TransitionBuilder(GOALS.get)
    for cycle in (10, 11, 14):
        pairing.add(sample(cycle))
    assert pairing.gaps == 2


def test_pairing_reset_is_recorded_with_its_source_and_no_goal() -> None:
    found = collect([sample(10, 0, RESET), sample(11, 0, RESET)])
    assert found[0].source == Source.RESET and found[0].episode == 0 and found[0].step.desired.size == 0


def test_pairing_state_before_its_episodes_start_is_dropped_and_counted() -> None:
    pairing = TransitionBuilder(GOALS.get)
    for cycle in (5, 6, 7):
        pairing.add(sample(cycle))
    assert pairing.flush() is None and pairing.orphans == 2


def test_pairing_unknown_episode_is_dropped_and_counted() -> None:
    pairing = TransitionBuilder({}.get)
    for cycle in (10, 11):
        pairing.add(sample(cycle))
    assert pairing.flush() is None and pairing.orphans == 1


def join(transitions: list[LoggedTransition]) -> list[LoggedTransition]:
    joining = TransitionFilter()
    return [t for t in map(joining.add, transitions) if t is not None]


def test_joining_hole_in_the_stream_ends_the_piece() -> None:
    stream = collect([sample(c) for c in range(10, 16)])
    joined = join([*stream[:2], *stream[3:]])
    assert [(t.cycle, t.last) for t in joined] == [(10, False), (11, True), (13, False)]


def test_joining_log_and_live_overlap_counts_once() -> None:
    stream = collect([sample(c) for c in range(10, 16)])
    assert [t.cycle for t in join(stream[:4] + stream[2:])] == [10, 11, 12, 13]


def test_joining_resets_and_holds_are_left_out() -> None:
    stream = collect([sample(10), sample(11), sample(12, 1, Source.SAFETY), sample(13)])
    joined = join([*stream, replace(stream[-1], cycle=99)])
    assert {t.source for t in joined} == {1} and all(t.last for t in joined)


def test_pairing_operators_motion_between_episodes_is_recorded_with_the_reached_position_as_goal() -> None:
    pairing = TransitionBuilder({}.get)
    made = [pairing.add(sample(c, episode=0, source=Source.HUMAN)) for c in range(1, 6)]
    made.append(pairing.add(sample(6, episode=0, source=Source.NONE)))
    found = [t for t in made if t is not None]
    assert [t.cycle for t in found] == [1, 2, 3, 4] and [t.last for t in found] == [False, False, False, True]
    assert all(t.source == Source.HUMAN and t.episode == 0 for t in found) and pairing.orphans == 0
    np.testing.assert_array_equal(found[0].step.desired, found[0].step.next_achieved)
