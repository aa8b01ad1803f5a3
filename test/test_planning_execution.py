"""Pursuing a plan: which knot when, and when to plan anew."""

from __future__ import annotations

import numpy as np

from tdm_ros.planning import GoalSpace, Plan, Status
from tdm_ros.planning.plan import Pursuer, PursuitSettings

SPACE = GoalSpace((0.2, 0.2), (False, False))


def plan_of(*knots: tuple[float, float], steps: int = 5) -> Plan:
    count = len(knots)
    misses = np.full(count, 0.01, np.float32)
    return Plan(Status.PLANNED, np.array(knots, np.float32), np.full(count, steps), misses)


def pursuer(free=lambda start, end: True) -> Pursuer:
    return Pursuer(SPACE, PursuitSettings(10, 0.04, 0.1), free)


def test_begin_leaves_out_knots_that_are_passed_already() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.0, 0.01), (0.02, 0.0), (0.3, 0.0), (0.6, 0.0)), 7, (0.0, 0.0))
    target = pursuit.target(7)
    assert target is not None and target.number == 2 and target.steps_left == 4
    assert pursuit.replan_reason(7, (0.0, 0.0)) == "", "nothing was carried out"
    assert pursuit.advance(8, (0.01, 0.0)) == []


def test_begin_does_not_leave_out_a_knot_on_the_way_around_something() -> None:
    pursuit = pursuer(free=lambda start, end: False)
    pursuit.begin(plan_of((0.0, 0.01), (0.3, 0.0)), 0, (0.0, 0.0))
    assert pursuit.target(0).number == 0


def test_begin_never_leaves_out_the_last_knot() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.0, 0.01)), 0, (0.0, 0.0))
    assert pursuit.target(0).number == 0


def test_advance_ends_segments_by_time_and_by_nearness_and_says_how_far_off() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((0.3, 0.0), (0.6, 0.0), (0.9, 0.0)), 0, (0.0, 0.0))
    assert pursuit.advance(2, (0.15, 0.0)) == [] and pursuit.target(2).steps_left == 2
    (near,) = pursuit.advance(3, (0.27, 0.0))
    assert (near.number, near.steps) == (0, 3) and abs(near.miss - 0.03) < 1e-6
    assert pursuit.replan_reason(3, (0.27, 0.0)) == "end of a segment"
    (late,) = pursuit.advance(8, (0.45, 0.0))
    assert (late.number, late.steps) == (1, 5) and abs(late.miss - 0.15) < 1e-6


def test_due_off_the_plan_by_schedule_and_at_the_end() -> None:
    pursuit = pursuer()
    assert pursuit.replan_reason(0, (0, 0)) == "no plan"
    pursuit.begin(plan_of((1.0, 0.0), steps=20), 0, (0.0, 0.0))
    assert pursuit.replan_reason(3, (0.2, 0.05)) == ""
    assert pursuit.replan_reason(3, (0.2, 0.11)) == "off the plan"
    assert pursuit.replan_reason(10, (0.5, 0.0)) == "schedule"
    pursuit.advance(20, (1.0, 0.0))
    assert pursuit.replan_reason(20, (1.0, 0.0)) == "end of the plan"
    assert pursuit.target(20).steps_left == 0


def test_begin_with_the_same_knot_does_not_put_it_off() -> None:
    pursuit = pursuer()
    pursuit.begin(plan_of((1.0, 0.0), steps=12), 0, (0.0, 0.0))
    pursuit.begin(plan_of((1.0, 0.01), (1.5, 0.0), steps=12), 5, (0.4, 0.0))
    assert pursuit.target(5).steps_left == 6
    pursuit.begin(plan_of((1.0, 0.0), steps=3), 6, (0.5, 0.0))
    assert pursuit.target(6).steps_left == 2, "sooner is welcome"
    pursuit.begin(plan_of((0.0, 1.0), steps=12), 7, (0.5, 0.0))
    assert pursuit.target(7).steps_left == 11, "another knot has its own time"
    pursuit.begin(plan_of((0.0, 1.0), steps=12), 19, (0.0, 0.9))
    assert pursuit.target(19).steps_left == 11, "so has the same one, once its time was over"
