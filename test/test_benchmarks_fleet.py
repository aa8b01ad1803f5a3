"""The benchmark of several arms: its clock, its pacing, its table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fleet import Fleet
from benchmarks.fleet_report import draw, markdown, reached_s


def test_fleet_each_cycle_brings_a_step_of_every_arm_and_no_more_updates_than_the_rate_allows() -> None:
    fleet = Fleet(arms=2, seed=0, rate=40.0, compiled=False)
    for _ in range(160):
        fleet.step()
    learner = fleet.learner
    assert fleet.robot_s == 8.0
    assert 320 - 55 <= learner.transitions <= 320, "an episode at most waits for the end of the other arm's"
    learning = learner.updates
    assert 0 < learning <= 40.0 * fleet.robot_s and learner.updates_due() > 0
    for _ in range(20):
        fleet.step()
    assert learner.updates == learning + 40, "one second at the rate"
    assert all(arm.actor is not None for arm in fleet.arms)


def test_fleet_arms_have_goals_of_their_own() -> None:
    fleet = Fleet(arms=2, seed=1, rate=0.0, compiled=False)
    first, second = (arm.step(1).step for arm in fleet.arms)
    assert not np.array_equal(first.desired, second.desired) and not np.array_equal(first.action, second.action)


def rows(*medians_m: float) -> list[dict[str, float]]:
    each = {"mean_m": 0.1, "transitions": 100, "updates": 500, "due": 0}
    return [{"robot_s": float(number), "median_m": m, **each} for number, m in enumerate(medians_m, start=1)]


@pytest.mark.parametrize(
    ("medians_m", "seconds"),
    [((0.03, 0.019, 0.03, 0.02, 0.01), 4.0), ((0.01, 0.01), 1.0), ((0.03, 0.01), None), ((), None)],
)
def test_reached_is_the_first_of_two_marks_in_a_row(medians_m: tuple[float, ...], seconds: float | None) -> None:
    assert reached_s(rows(*medians_m), 0.02) == seconds


def test_table_and_picture_compare_with_one_arm(tmp_path) -> None:
    def run(arms: int, seed: int, *medians_m: float) -> dict:
        return {"arms": arms, "seed": seed, "rate": 400.0, "compiled": True, "rows": rows(*medians_m)}

    results = [run(1, 0, 0.1, 0.1, 0.1, 0.015, 0.009, 0.009), run(3, 0, 0.1, 0.015, 0.009, 0.009)]
    one, three = markdown(results).splitlines()[2:]
    assert one == "| 1 arm | 1 | 400 updates/s | 5.0 updates | **4** (4) | 1.00 | **5** (5) | 1.00 |"
    assert three == "| 3 arms | 1 | 400 updates/s | 5.0 updates | **2** (2) | 2.00 | **3** (3) | 1.67 |"
    draw(results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
