"""Two consecutive states are one transition; no piece continues across a gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_live_learning import CONFIG, TASK, transition

from tdm_ros.control.arm_io import ArmSample
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.data.pairing import PATIENCE, TrajectoryQueue, TransitionBuilder, TransitionFilter
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.training.learner import Learner
from tdm_ros.types import CycleRange, LoggedTransition

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
    pairing = TransitionBuilder(GOALS.get, LiveTask(TASK))
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
    pairing = TransitionBuilder(GOALS.get, LiveTask(TASK))
    for cycle in (10, 11, 14):
        pairing.add(sample(cycle))
    assert pairing.gaps == 2


def test_pairing_reset_is_recorded_with_its_source_and_no_goal() -> None:
    found = collect([sample(10, 0, RESET), sample(11, 0, RESET)])
    assert found[0].source == Source.RESET and found[0].episode == 0 and found[0].step.desired.size == 0


def test_pairing_state_before_its_episodes_start_is_dropped_and_counted() -> None:
    pairing = TransitionBuilder(GOALS.get, LiveTask(TASK))
    for cycle in (5, 6, 7):
        pairing.add(sample(cycle))
    assert pairing.flush() is None and pairing.orphans == 2


def test_pairing_unknown_episode_is_dropped_and_counted() -> None:
    pairing = TransitionBuilder({}.get, LiveTask(TASK))
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
    pairing = TransitionBuilder({}.get, LiveTask(TASK))
    made = [pairing.add(sample(c, episode=0, source=Source.HUMAN)) for c in range(1, 6)]
    made.append(pairing.add(sample(6, episode=0, source=Source.NONE)))
    found = [t for t in made if t is not None]
    assert [t.cycle for t in found] == [1, 2, 3, 4] and [t.last for t in found] == [False, False, False, True]
    assert all(t.source == Source.HUMAN and t.episode == 0 for t in found) and pairing.orphans == 0
    np.testing.assert_array_equal(found[0].step.desired, found[0].step.next_achieved)


# Steps of several arms, in any order, give whole trajectories of one arm each


class Written:
    """What came out: a list of trajectories, each a list of (arm, cycle)."""

    def __init__(self) -> None:
        self.pieces: list[list[tuple[str, int]]] = [[]]
        self.interleave = TrajectoryQueue(self._write, self._close)

    def _write(self, arm: str, step: LoggedTransition) -> None:
        self.pieces[-1].append((arm, step.cycle))
        if step.last:
            self._close()

    def _close(self) -> None:
        self.pieces.append([])

    @property
    def steps(self) -> list[tuple[str, int]]:
        return [step for piece in self.pieces for step in piece]


def test_interleave_steps_of_a_single_arm_never_wait() -> None:
    written = Written()
    for cycle in range(1, 120):
        written.interleave.add("arm1", transition(cycle))
        assert written.steps[-1] == ("arm1", cycle)


@pytest.mark.parametrize("seed", range(5))
def test_interleave_trajectories_stay_whole_and_nothing_is_lost_or_put_out_of_order(seed: int) -> None:
    written, rng = Written(), np.random.default_rng(seed)
    arms = [f"arm{number}" for number in range(1, 5)]
    cycles = {arm: int(rng.integers(1, 50)) for arm in arms}  # each is elsewhere in its episode
    added: list[tuple[str, int]] = []
    for _ in range(1500):
        arm = str(rng.choice(arms))
        written.interleave.add(arm, transition(cycles[arm]))
        added.append((arm, cycles[arm]))
        cycles[arm] += 1
        assert written.interleave.waiting <= 100 * len(arms)
    written.interleave.settle()
    assert written.interleave.waiting == 0 and sorted(written.steps) == sorted(added)
    for piece in filter(None, written.pieces):
        first = piece[0][1]
        assert piece == [(piece[0][0], first + number) for number in range(len(piece))], "one arm, in order"
        assert all(cycle % 50 != 49 for _, cycle in piece[:-1]), "nothing goes on across the end of an episode"
    whole = [piece for piece in written.pieces if len(piece) == 50]
    assert len(whole) > 15, "episodes were not cut"


def test_interleave_silent_arm_delays_the_others_for_a_bounded_time() -> None:
    written = Written()
    for cycle in range(1, 8):
        written.interleave.add("silent", transition(cycle))
    for cycle in range(1, PATIENCE + 50):
        written.interleave.add("here", transition(cycle))
    assert [step for step in written.steps if step[0] == "here"] == [("here", c) for c in range(1, PATIENCE + 50)]
    assert written.pieces[0] == [("silent", cycle) for cycle in range(1, 8)]


def test_live_learning_arms_with_the_same_cycles_stay_apart() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    for cycle in range(1, 202):
        for number, arm in enumerate(("arm1", "arm2", "arm3")):
            live.add(replace(transition(cycle), stamp_ns=cycle * 50_000_000 + number), arm)
    live.settle()
    assert live.repeated == 0 and live.taken == {"arm1": 200, "arm2": 200, "arm3": 200}
    store = live.learner.store
    index = np.arange(store.total)
    ends = np.unique(store.end_of(index))
    assert len(ends) == 15, "episodes of 49, 50, 50, 50 and one step more, of three arms"
    for begin, end in zip([0, *ends], ends, strict=False):  # the cycle is what the contents were drawn from
        rows = store.rows(np.arange(begin, end))["observation"]
        cycles = [next(c for c in range(1, 202) if np.array_equal(transition(c).step.observation, row)) for row in rows]
        assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))


def test_live_learning_what_is_discarded_of_one_arm_is_kept_of_the_other() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    span = CycleRange("run", 10, 20)
    for cycle in range(1, 61):
        for arm in ("arm1", "arm2"):
            live.add(transition(cycle), arm)
    live.settle()
    assert live.discard([span], "arm1") == 10 and live.discarded == 10
    assert live.discard([span], "arm1") == 0 and live.discard([span], "arm2") == 10


def test_live_learning_knows_when_something_may_be_missing() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    assert not live.follows(transition(5), "arm1"), "it may have moved before we knew of it"
    live.add(transition(5), "arm1")
    assert live.follows(transition(6), "arm1") and live.follows(transition(5), "arm1")
    assert not live.follows(transition(8), "arm1") and not live.follows(transition(6), "arm2")
    assert live.has(transition(5), "arm1") and not live.has(transition(5), "arm2")
