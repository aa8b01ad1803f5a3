"""The control loop's deadlines and its statistics, with time injected."""

import numpy as np
import pytest

from tdm_ros.control.loop_timing import CycleStatistics, Durations, HostSteal, Pacer
from tdm_ros.control.validation import Rejections


@pytest.mark.parametrize(("now_s", "late", "deadline_s"), [(10.06, False, 10.10), (10.09, True, 10.14)])
def test_pacer_slightly_late_keeps_the_grid_and_more_than_half_a_period_late_anchors_again(
    now_s: float, late: bool, deadline_s: float
) -> None:
    pacer = Pacer(0.05, now_s=10.0)
    assert pacer.advance(now_s) == late
    assert pacer.deadline_s == pytest.approx(deadline_s)


def test_pacer_thousand_jittering_cycles_does_not_drift() -> None:
    rng = np.random.default_rng(0)
    pacer = Pacer(0.05, now_s=0.0)
    for _ in range(1000):
        pacer.advance(pacer.deadline_s + rng.uniform(0, 0.02))
    assert pacer.deadline_s == pytest.approx(1001 * 0.05)


def test_pacer_work_of_a_whole_period_leaves_time_before_the_next_deadline() -> None:
    pacer = Pacer(0.05, now_s=10.0)
    pacer.advance(10.05)
    pacer.postpone(10.08, 0.01)
    assert pacer.deadline_s == pytest.approx(10.10)
    pacer.postpone(10.12, 0.01)
    assert pacer.deadline_s == pytest.approx(10.13)


def test_durations_percentiles_match_numpy_within_a_bin() -> None:
    samples = np.random.default_rng(1).gamma(2.0, 0.004, 5000)
    durations = Durations()
    for sample in samples:
        durations.add(float(sample))
    for percent in (50, 99):
        exact = np.percentile(samples * 1e3, percent)
        assert durations.percentile_ms(percent) == pytest.approx(exact, abs=0.2)
    assert durations.worst_ms == pytest.approx(samples.max() * 1e3)


def test_durations_beyond_the_last_bin_gives_the_worst() -> None:
    durations = Durations()
    durations.add(3.0)
    assert durations.percentile_ms(50) == durations.worst_ms == 3000.0


def test_cycle_statistics_hold_cycles_do_not_count() -> None:
    statistics = CycleStatistics()
    statistics.end_cycle(0.05, expected=False, answered=False)
    statistics.end_cycle(0.05, expected=True, answered=True)
    statistics.end_cycle(0.05, expected=True, answered=False)
    found = statistics.as_dict(0.0)
    assert [found[key] for key in ("total", "answered", "missed", "answered_fraction")] == [2, 1, 1, 0.5]


def test_cycle_statistics_loop_itself_late_is_an_overrun_not_a_miss() -> None:
    statistics = CycleStatistics()
    statistics.end_cycle(0.12, expected=True, answered=False, late=True)
    statistics.end_cycle(0.12, expected=True, answered=True, late=True)
    found = statistics.as_dict(0.0)
    assert [found[key] for key in ("total", "missed", "overruns")] == [1, 0, 2]
    assert statistics.period.worst_ms == pytest.approx(120.0)


def test_host_steal_counts_the_eighth_number() -> None:
    steal = HostSteal("cpu 100 0 100 700 0 0 0 100 50 0\ncpu0 1 1\n")
    assert steal.fraction("cpu 150 0 100 730 0 0 0 120 90 0\n") == pytest.approx(20 / 100)
    assert HostSteal("").fraction("") == 0.0


def test_rejections_many_in_a_second_are_counted_and_said_once() -> None:
    lines: list[str] = []
    now = [0.0]
    rejections = Rejections(lines.append, clock=lambda: now[0])
    for _ in range(50):
        rejections.reject("not finite", "cycle 3")
    rejections.reject("wrong size")
    assert rejections.counts == {"not finite": 50, "wrong size": 1}
    assert len(lines) == 2
    now[0] = 1.0
    rejections.reject("not finite")
    assert len(lines) == 3 and "51" in lines[-1]
