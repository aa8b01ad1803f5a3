"""Steps of several arms, in any order, give whole trajectories of one arm each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_live_learning import CONFIG, TASK, transition

from tdm_ros.data.pairing import PATIENCE, TrajectoryQueue
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.training.learner import Learner
from tdm_ros.types import CycleRange, LoggedTransition


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
