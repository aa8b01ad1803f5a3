"""Learning from a stream of transitions, and the live line and table, without ROS."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.control.timeline import Source
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.live.run_record import cycles_of, end_table
from tdm_ros.replay import Step
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner
from tdm_ros.types import CycleRange, LoggedTransition

TASK = SAWYER_REACH["velocity"]
CONFIG = TdmConfig(hidden_size=16, batch_size=8, learning_starts=20, initial_gradient_steps=10)


def transition(cycle: int, source: Source = Source.POLICY, size: int = 17) -> LoggedTransition:
    rng = np.random.default_rng(cycle)
    seen = rng.normal(size=(2, size)).astype(np.float32)
    goal = np.full(3, 0.4, np.float32)
    step = Step(seen[0], np.zeros(7, np.float32), seen[1], seen[0][-3:], seen[1][-3:], goal, False)
    return LoggedTransition(step, 1, cycle, cycle, cycle * 50_000_000, int(source), False, cycle % 50 == 49, "run")


def test_live_learning_log_then_overlapping_stream_counts_each_once() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.rebuild(transition(c) for c in range(1, 31))
    for cycle in range(20, 41):
        live.add(transition(cycle))
    assert live.learner.transitions == 39 and live.repeated == 11  # the newest still waits for its successor


def test_updates_are_skipped_of_a_checkpoints_missing_transitions_alone() -> None:
    learner = Learner(TASK, CONFIG, 0)
    learner.skip_updates_of_missing()
    assert learner.skipped_updates == 0
    learner.updates = 10_000
    learner.skip_updates_of_missing()
    learner.updates += CONFIG.initial_gradient_steps  # those of the random phase, made once it is over
    OnlineLearner(learner).rebuild(transition(c) for c in range(1, CONFIG.learning_starts + 12))
    assert learner.updates_due() > 0


def test_live_learning_resets_are_not_learned_from() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.rebuild(transition(c, Source.RESET) for c in range(1, 31))
    assert live.learner.transitions == 0


def test_live_learning_stays_within_its_budget() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    live = OnlineLearner(Learner(TASK, CONFIG, 0), clock)
    live.rebuild(transition(c) for c in range(1, 41))
    due = live.learner.updates_due()
    assert 0 < live.learn(0.045) < due
    while live.learner.updates_due():
        assert live.learn(0.045) > 0
    assert live.learn(0.045) == 0


@pytest.mark.parametrize("bad", ["size", "nan"])
def test_live_learning_bad_transition_is_rejected_and_the_stream_continues(bad: str) -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.add(transition(1))
    broken = transition(2, size=9 if bad == "size" else 17)
    if bad == "nan":
        broken.step.next_observation[3] = np.nan
    with pytest.raises(ValueError, match="observation must"):
        live.add(broken)
    live.add(transition(3))
    live.add(transition(4))
    assert live.learner.transitions == 2


def test_live_learning_log_with_transitions_that_can_not_be_used_is_taken_in_without_them() -> None:
    """Once a single changed byte in the log of an older version ended the trainer at every start."""
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    rows = [transition(cycle) for cycle in range(1, 11)]
    rows[3].step.next_observation[3] = np.inf
    rows[6] = transition(7, size=9)
    problems = live.rebuild(rows)
    assert [problem.partition(" must ")[0] for problem in problems] == ["next_observation", "observation"]
    live.add(transition(11))
    live.add(transition(12))
    assert live.learner.transitions == 9
    ends = live.learner.store.end_of(np.arange(9))
    assert ends.tolist() == [3, 3, 3, 5, 5, 9, 9, 9, 9]


def test_cycles_of_garbled_diagnostics_gives_zeros() -> None:
    cycles = cycles_of({"total": "NaN", "answered": "many", "period_ms.p50": "50.1", "overruns": "inf"})
    assert cycles["total"] == cycles["answered"] == cycles["overruns"] == 0
    assert cycles["period_ms"]["p50"] == 50.1


def test_summary_without_evaluation_is_printed() -> None:
    summary = {
        "robot_time_s": 12.0,
        "episodes": 4,
        "evaluated": 0,
        "updates": 0,
        "final_distance_m": None,
        "success": None,
        "cycles": cycles_of({}),
        "transitions": {"published": 3, "logged": 3},
    }
    assert "evaluation        none" in end_table(summary)


def test_live_learning_marks_the_operators_transitions_and_excludes_discarded_ones() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    sources = [Source.HUMAN if 10 <= c < 20 else Source.POLICY for c in range(1, 42)]
    live.rebuild(transition(c, source) for c, source in enumerate(sources, start=1))
    store = live.learner.store
    assert len(store.human()) == 10 and live.learner.transitions == 40
    span = CycleRange("run", 15, 25)
    assert live.discard([span]) == 10 and live.discard([span]) == 0
    assert len(store.human()) == 5 and live.discarded == 10
    assert live.learner.transitions == 40, "what was seen was seen"
    live.learner.update(1)


def test_live_learning_later_transitions_of_a_discarded_range_are_excluded() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.discard([CycleRange("run", 0, 5)])
    live.rebuild(transition(c) for c in range(1, 12))
    assert live.learner.transitions == 10 and live.discarded == 4


def test_live_learning_all_discarded_there_is_nothing_to_learn() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.rebuild(transition(c) for c in range(1, 40))
    assert live.learner.updates_due() > 0
    live.discard([CycleRange("run", 0, 10**6)])
    assert live.learner.updates_due() == 0
