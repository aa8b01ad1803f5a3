"""Run and cycle identify a state and a transition. With any clock, each counts once, and none is lost."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_for_tests import CYCLE_NS, PARTS, STEPS, Part, discarding, messages, recording, write_log
from test_collector_pairing import GOALS, sample
from test_live_learning import CONFIG, TASK, transition

from tdm_ros.control.episodes import EpisodeMachine
from tdm_ros.control.goals import Goals, Schedule
from tdm_ros.control.live_task import LiveTask
from tdm_ros.control.timeline import COMMANDED
from tdm_ros.data.edit import Selection, trim
from tdm_ros.data.log import LOG_FOLDER, TransitionLog, read_transitions
from tdm_ros.data.pairing import TransitionBuilder
from tdm_ros.data.recording import TRANSITION_TYPE, Recording
from tdm_ros.data.sources import read
from tdm_ros.live.learner import OnlineLearner
from tdm_ros.live.run_record import RunRecord
from tdm_ros.training.experience import read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.types import RANGES, REORDERED, RUNS, CycleRange, CycleSet, LoggedTransition, RunNames, TimeSpan

HOUR_NS = 3600 * 10**9
TEN_YEARS_NS = 10 * 365 * 24 * HOUR_NS


@pytest.fixture
def older_log(tmp_path: Path) -> Path:
    """Run folder of a version without runs: 255 transitions of a live run, 50 of them discarded by the operator."""
    folder = tmp_path / "older" / LOG_FOLDER
    folder.mkdir(parents=True)
    packed = Path(__file__).parent / "recordings" / "without_run.mcap.gz"
    with gzip.open(packed) as source, (folder / "0000.mcap").open("wb") as target:
        shutil.copyfileobj(source, target)
    return folder.parent


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 12))))
def test_cycle_set_has_exactly_what_was_added(ranges: list[tuple[str, int, int]]) -> None:
    found, expected = CycleSet(), set[tuple[str, int]]()
    for run, begin, length in ranges:
        cycles = {(run, cycle) for cycle in range(begin, begin + length)}
        assert found.add(CycleRange(run, begin, begin + length)) == bool(cycles - expected)
        expected |= cycles
    assert all(found.has(run, cycle) == ((run, cycle) in expected) for run in "ab" for cycle in range(80))


def test_cycle_set_memory_is_bounded_and_the_newest_stays() -> None:
    found = CycleSet()
    for number in range(3 * RUNS):
        found.add(CycleRange(f"run {number}", 1, 2))
    for cycle in range(0, 4 * RANGES, 2):  # every second one: no two become one range
        found.add(CycleRange("holes", cycle, cycle + 1))
    assert len(found._runs) == RUNS and len(found._runs["holes"][0]) == RANGES
    assert found.has("holes", 4 * RANGES - 2) and not found.has("holes", 0) and not found.has("run 0", 1)


def test_run_names_of_an_older_stream_begin_anew_where_cycles_fall_back() -> None:
    names = RunNames()
    assert [names.of("", cycle) for cycle in (80, 81, 83, 82, 84)] == ["older 1"] * 5, "locally out of order"
    assert [names.of("", cycle) for cycle in (3, 4)] == ["older 2"] * 2, "the arm was restarted"
    assert names.of("", 4) == "older 3" and names.of("named", 9) == "named" and names.of("", 5) == "older 3"
    assert names.of("", 5 + 10 * REORDERED) == "older 3"


SHIFTS: dict[str, Callable[[int], int]] = {
    "clock set back by an hour": lambda cycle: -HOUR_NS if cycle > 100 else 0,
    "one row an hour ahead": lambda cycle: HOUR_NS if cycle == 100 else 0,
    "one row ten years ahead": lambda cycle: TEN_YEARS_NS if cycle == 100 else 0,
    "clock stands still": lambda cycle: -cycle * CYCLE_NS,
}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS.keys())
def test_pairing_records_every_cycle_for_any_clock(shift: Callable[[int], int]) -> None:
    pairing = TransitionBuilder(GOALS.get, LiveTask(TASK))
    states = [replace(sample(cycle), stamp_ns=cycle * CYCLE_NS + shift(cycle)) for cycle in range(10, 311)]
    found = [made for state in states if (made := pairing.add(state)) is not None]
    assert [one.cycle for one in found] == list(range(10, 309)) and not any(one.last for one in found)


def test_pairing_foreign_states_end_a_piece_and_lose_nothing() -> None:
    pairing = TransitionBuilder(GOALS.get, LiveTask(TASK))
    states = [sample(cycle) for cycle in range(10, 60)]
    foreign = replace(sample(35), run="foreign", stamp_ns=TEN_YEARS_NS, episode=0, source=0)
    found = [pairing.add(state) for state in (*states[:20], foreign, *states[20:], foreign)] + [pairing.flush()]
    assert [one.cycle for one in found if one is not None] == list(range(10, 59))


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS.keys())
def test_live_learning_takes_every_transition_in_for_any_clock(shift: Callable[[int], int]) -> None:
    rows = [replace(transition(c), stamp_ns=c * CYCLE_NS + shift(c)) for c in range(50, 351)]
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    for row in rows:
        assert live.follows(row) or row is rows[0]
        live.add(row)
    assert live.learner.transitions == 300 and live.repeated == 0
    again = OnlineLearner(Learner(TASK, CONFIG, 0))  # a restart: one half from the log, the other live, with an overlap
    again.rebuild(rows[:60])
    for row in rows[40:]:
        again.add(row)
    assert again.learner.transitions == 300 and again.repeated == 20


def test_live_learning_restarted_arm_begins_at_cycle_one_and_all_of_it_is_taken_in() -> None:
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    for run in ("first", "second"):
        live.rebuild(replace(transition(cycle), run=run) for cycle in range(1, 101))
    assert live.learner.transitions == 199 and live.repeated == 0
    assert live.discard([CycleRange("first", 10, 20)]) == 10, "of the one run, not of the other"
    assert live.discarded == 10


def test_live_learning_finds_what_is_discarded_after_the_store_has_wrapped() -> None:
    learner = Learner(TASK, CONFIG, 0)
    learner.store.capacity = 64
    live = OnlineLearner(learner)
    live.rebuild(transition(cycle) for cycle in range(1, 202))
    assert learner.store.total == 200
    assert live.discard([CycleRange("run", 1, 140)]) == 3, "137 to 139 are still held"
    kept_out = learner.store.column("discarded", np.arange(136, 200))
    assert np.flatnonzero(kept_out).tolist() == [0, 1, 2]


def test_run_record_counts_each_published_transition_once_for_any_clock(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, TASK, 0, EpisodeMachine(LiveTask(TASK), Schedule(), Goals(TASK, 0)))
    for run, cycle in [("a", 5), ("a", 6), ("a", 5), ("b", 5), ("a", 8)]:
        record.on_transition(run, cycle)
    assert record.summary()["transitions"]["published"] == 4


def rows_of(made: Recording) -> list[int]:
    """Positions of the transitions."""
    return [position for position, _ in made.of_type(TRANSITION_TYPE)]


def shifted(content: list, shift: Callable[[int], int]) -> list:  # type: ignore[type-arg]
    """The same messages with other stamps."""
    found = []
    for topic, one in content:
        cycle, stamp = one.get("cycle", one.get("start_cycle")), one["header"]["stamp"]
        ns = stamp["sec"] * 10**9 + stamp["nanosec"] + shift(cycle - 15)
        found.append((topic, one | {"header": {"stamp": {"sec": ns // 10**9, "nanosec": ns % 10**9}, "frame_id": ""}}))
    return found


def compare_experience(folder: Path, content: list, other: list) -> None:  # type: ignore[type-arg]
    """Assert that two recordings are the same experience, and each transition of both together counts once."""
    paths = [folder / "a", folder / "b"]
    for path, one in zip(paths, (content, other), strict=True):
        write_log(path / LOG_FOLDER, recording(one))
    expected, found = (read_experience([path], TASK) for path in paths)
    assert found.repeated == 0 and not found.problems
    assert [(s.observation.tobytes(), *rest) for s, *rest in found.steps] == [
        (s.observation.tobytes(), *rest) for s, *rest in expected.steps
    ]
    both = read_experience(paths, TASK)
    assert both.repeated == len(expected.steps) == len(both.steps), "a copy with other stamps is a copy"


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS.keys())
def test_experience_reads_all_of_a_recording_for_any_clock(tmp_path: Path, shift: Callable[[int], int]) -> None:
    compare_experience(tmp_path, messages(PARTS), shifted(messages(PARTS), shift))


def test_experience_puts_messages_that_are_locally_out_of_order_in_order(tmp_path: Path) -> None:
    content = messages((Part(1, gap=0), Part(2, gap=0)))
    order = np.argsort(np.arange(len(content)) + np.random.default_rng(0).uniform(0, 4, len(content)), kind="stable")
    assert (np.diff(order) < 0).sum() > 3
    compare_experience(tmp_path, content, [content[at] for at in order])


def test_experience_discards_cycles_of_their_run_alone(tmp_path: Path) -> None:
    content = messages(PARTS[:2])
    topic, announced = next(one for one in content if "state" in one[1])
    cycles = [one["cycle"] for _, one in content if "action" in one]
    other = [(topic, one | {"run": "another"} if "action" in one else one) for topic, one in content]
    said = (topic, {**announced, **discarding(cycles[2], cycles[6])})
    write_log(tmp_path / "run" / LOG_FOLDER, recording([*content, *other, said]))
    found = read_experience([tmp_path / "run"], TASK)
    assert found.discarded == 4 and len(found.steps) == 4 * STEPS - 4
    assert next(i for i, (_, end, _) in enumerate(found.steps) if end) == 1, "no piece goes across the hole"
    kept = [one["observation"] for _, one in content if one.get("cycle", cycles[2]) not in cycles[2:6]]
    np.testing.assert_array_equal([step.observation for step, _, _ in found.steps[: len(kept)]], np.float32(kept))


def test_trim_by_time_counts_time_that_passed_where_the_clock_was_set_back() -> None:
    plain = recording(messages(PARTS))
    at = rows_of(plain)[10]

    def later(number: int, by_ns: int) -> list:  # type: ignore[type-arg]
        return [
            m._replace(log_time=m.log_time + (by_ns if i >= number else 0), sequence=i)
            for i, m in enumerate(plain.messages)
        ]

    set_back = plain.with_messages(later(at, -HOUR_NS))
    cut = Selection(start_s=1.0, end_s=2.0)
    expected, found = (trim(one, cut) for one in (plain.with_messages(later(at, 0)), set_back))
    assert len(rows_of(expected)) > 10
    assert abs(len(rows_of(found)) - len(rows_of(expected))) <= 1, "the step in which the clock was set takes no time"


def test_older_log_is_read_live_with_what_was_discarded(older_log: Path) -> None:
    log = TransitionLog(older_log / LOG_FOLDER, TASK.fingerprint)
    logged = list(log.read())
    assert len(logged) == 255 and {one.run for one in logged} == {""}
    discarded = log.discarded
    assert [type(one) for one in discarded] == [TimeSpan]
    commanded = sum(one.source in COMMANDED for one in logged)
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.discard(discarded)
    live.rebuild(logged)
    live.rebuild(replace(transition(cycle), run="new") for cycle in range(1, 30))  # the same folder goes on
    assert live.repeated == 0 and live.learner.transitions == commanded + 28 and live.discarded == 50
    late = OnlineLearner(Learner(TASK, CONFIG, 0))
    late.rebuild(logged)
    assert late.discard(discarded) == 50


def test_older_log_is_experience_once_with_what_was_discarded_left_out(older_log: Path) -> None:
    found = read_experience([older_log, older_log], TASK)
    commanded = sum(one.source in COMMANDED for one in read_transitions(older_log / LOG_FOLDER, TASK.fingerprint))
    assert found.discarded == 50 and len(found.steps) == commanded - 50 and found.repeated == commanded
    pieces = [end for _, end, _ in found.steps].count(True)
    assert pieces == 3, "four episodes without the discarded one"
    made = read(older_log)
    assert not made.problems and len(list(made.of_type(TRANSITION_TYPE))) == 255


def restarted(logged: list[LoggedTransition]) -> list[LoggedTransition]:
    """An older log in which the arm was restarted in between: the cycles begin anew."""
    half = len(logged) // 2
    return [*logged[:half], *(replace(one, cycle=one.cycle - logged[half].cycle + 1) for one in logged[half:])]


def test_older_log_of_a_restarted_arm_is_taken_in_whole(older_log: Path) -> None:
    logged = [one for one in read_transitions(older_log / LOG_FOLDER, TASK.fingerprint) if one.source in COMMANDED]
    live = OnlineLearner(Learner(TASK, CONFIG, 0))
    live.rebuild(restarted(logged))
    assert live.repeated == 0 and live.learner.transitions == len(logged) - 1
