"""Plan, numbers and report of `benchmarks.soak`, from a run whose numbers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import chaos_kills
from benchmarks.chaos import damage, untested
from benchmarks.soak import NODES, per_second, plan, standstill
from benchmarks.soak_report import lives_of, slope_of, write_report


def test_plan_comes_from_the_seed_and_leaves_the_ends_alone() -> None:
    assert plan(3, 10) == plan(3, 10) != plan(4, 10)
    times = [fault.at_s for fault in plan(3, 60)]
    assert min(times) >= 60 and max(times) < 59 * 60 and {fault.node for fault in plan(3, 60)} == set(NODES)


def states(sources: list[int], speeds: list[float]) -> np.ndarray:
    """A state every 0.05 s from 10 s on."""
    both = zip(sources, speeds, strict=False)
    rows = [[10 + 0.05 * n, n, source, True, fast, False] for n, (source, fast) in enumerate(both)]
    return np.array(rows)


@pytest.mark.parametrize(("alive", "violation"), [(4, False), (9, True)])
def test_policy_that_counts_as_alive_after_its_end_is_a_violation(alive: int, violation: bool) -> None:
    fault = {"node": "policy", "kind": "kill", "seconds": 0.0, "there": True, "begin_s": 10.0}
    found = standstill(fault, states([1] * alive + [5] * 12, [0.3] * 3 + [0.0] * (alive + 9)))
    assert found["violation"] is violation
    assert found["standstill_s"] == pytest.approx(0.15)


def test_seconds_have_states_share_of_answered_cycles_and_largest_gap() -> None:
    (row,) = per_second(states([1] * 10, [0.1] * 10), 10.0, 1)
    assert row == [10, 1.0, pytest.approx(0.05)]


def samples() -> list[dict]:
    """Two processes of a node; the second has as much memory as the first, and grows by 6 MB per hour, as it does."""
    found = []
    for second in range(600):
        age = second % 300
        node = {"arm": (100 + age / 600, 20, 7)}
        found.append({"s": second, "nodes": node, "processes": {"arm": second // 300}, "log_bytes": 100 * second})
        found[-1]["acknowledged"] = 20 * second
    return found


def test_slope_is_that_within_a_process_however_many_there_were() -> None:
    lives = lives_of(samples(), "arm")
    assert [len(life) for life in lives] == [300, 300]
    assert slope_of(lives, 2) == pytest.approx((6.0, 6.0, 6.0)) and slope_of(lives, 3) == (0.0, 0.0, 0.0)
    assert slope_of([lives[0][:150]], 2) is None


def test_arm_that_does_not_stop_without_a_policy_is_a_violation() -> None:
    fault = {"node": "policy", "kind": "kill", "seconds": 0.0, "there": True}
    for speeds, violation in (([0.5] * 21, True), ([0.5] * 15 + [0.0] * 6, True), ([0.5] * 5 + [0.0] * 16, False)):
        found = standstill(fault | {"begin_s": 10.0}, states([5] * 21, speeds))
        assert found["violation"] is violation


def test_report_says_what_was_lost(tmp_path: Path) -> None:
    result = {"minutes": 10, "seed": 0, "exit_status": 0, "acknowledged": 12000, "logged": 11999, "twice": 0, "lost": 1}
    fault = {"at_s": 70.0, "node": "policy", "kind": "kill", "seconds": 0.0, "there": True}
    result["faults"] = [fault | {"violation": False, "standstill_s": 0.15}]
    text = write_report({**result, "seconds": [[20, 1.0, 0.06]] * 600, "samples": samples()}, tmp_path)
    assert "| lost | 1 |" in text and "| `arm` | 2 | 100.1 to 100.5 |" in text
    assert "5 bytes in the first half, 5 in the second" in text and (tmp_path / "soak.png").stat().st_size > 5000


def test_robot_is_at_rest_once_it_stays_so() -> None:
    speeds = [(9.9, 0.0), (10.1, 0.3), (10.2, 0.001), (10.3, 0.2), (10.4, 0.001), (10.5, 0.0)]
    assert chaos_kills.standstill_s(speeds, 10.0) == pytest.approx(0.4)
    assert chaos_kills.standstill_s(speeds[:4], 10.0) is None
    loop = chaos_kills.Loop(2, 0, Path())
    loop.judge("arm_watchdog", 0.3)
    assert not loop.violations
    loop.judge("arm_watchdog", None)
    loop.judge("supervisor", 1.6)
    assert len(loop.violations) == 2 and loop.result()["standstill_s"]["arm_watchdog"] == [0.3, 0.3, 1]


def test_damage_of_each_record_costs_what_was_damaged_alone_and_a_copy_nothing() -> None:
    table, violations, files = damage()
    chunks, others = table[2:]
    assert not violations and files > 4 * 100
    assert chunks.startswith("| chunk: one cycle | 55 | 1540 of 1540 |") and chunks.endswith("| none |")
    assert others.startswith("| all others: no messages in them | 124 | 1540 of 1540 |") and others.endswith(
        "| none | none | none |"
    )


def test_what_was_not_tested_is_a_violation() -> None:
    assert untested(200, 200, [5, 5, 5]) == []
    assert untested(199, 200, [5, 0, 5]) == ["only 199 of 200 kills were made", "a part acknowledged no transition"]
