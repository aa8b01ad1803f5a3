"""The planner as a whole: a plan, the policy itself, or a reason; it learns from what was executed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planning_for_tests import EXACT, PLANE, STEP_M, WALL, lattice, plane

from benchmarks.planning_geometric import StraightLines
from tdm_ros.planning import OPTIMISERS, KeepOut, Objective, PlannerSettings, SeenStates, Status, SubgoalPlanner
from tdm_ros.planning.planner import RANGE, Multiplier
from tdm_ros.replay import Step, TrajectoryStore

START, GOAL = np.array([-0.5, 0.0]), np.array([0.5, 0.0])


def planner(optimiser: str = "graph", learned: bool = True, task=PLANE, clock=None, **changes) -> SubgoalPlanner:
    objective = Objective.for_task(task, **({"rarity": 0.0} | changes))
    keywords = {} if clock is None else {"clock": clock}
    made = SubgoalPlanner(task, PlannerSettings(optimiser, objective), **keywords)
    if learned:
        made.learn(EXACT, lattice())
    return made


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_plan_around_a_wall_leads_to_the_goal_without_crossing_it(optimiser):
    made = planner(optimiser)
    made.keep_out = WALL
    plan = made.plan(START, START, GOAL)
    assert plan.status is Status.PLANNED and plan.usable and plan.optimiser == optimiser
    assert len(plan.knots) == len(plan.steps) == len(plan.predicted_miss) >= 2
    assert np.linalg.norm(plan.knots[-1] - GOAL) <= 0.1
    assert not WALL.crosses(np.concatenate([[START], plan.knots[:-1]]), plan.knots).any()
    assert 1.0 < plan.steps.sum() * STEP_M <= 3.0 and 0 < plan.cpu_s < 20


def test_plan_to_what_the_policy_reaches_by_itself_is_the_goal_in_the_time_that_it_takes():
    plan = planner().plan(START, START, START + np.array([0.3, 0]))
    assert plan.status is Status.DIRECT and "the goal itself" in plan.reason
    assert plan.knots.tolist() == [pytest.approx([-0.2, 0.0])]
    assert plan.steps[0] in (5, 6) and plan.predicted_miss[0] <= 0.04


def test_plan_in_the_direct_formulation_never_has_subgoals():
    far = planner(formulation="direct").plan(START, START, GOAL)
    assert far.status is Status.DIRECT and len(far.knots) == 1 and far.predicted_miss[0] == pytest.approx(0.2, abs=0.02)


def test_plan_prefers_the_policy_where_its_prediction_is_better():
    # Short of the goal by 0.05 after 16 steps: not within the tolerance, yet better than any plan of a slow graph.
    near = START + np.array([0.85, 0])
    made = planner(tolerance=0.02)
    assert made.plan(START, START, near).status is Status.PLANNED
    made.learn(states=SeenStates(np.array([[9, 9.0]]), np.array([[9, 9.0]]), EXACT.space))
    plan = made.plan(START, START, near)
    assert plan.status is Status.DIRECT and plan.predicted_miss[0] == pytest.approx(0.05, abs=0.01)


def test_plan_to_a_goal_inside_a_keep_out_is_none():
    made = planner()
    made.keep_out = WALL
    plan = made.plan(START, START, (0.0, 0.0))
    assert plan.status is Status.GOAL_IN_KEEP_OUT and not plan.usable and plan.knots.shape == (0, 2)
    assert "inside a keep-out" in plan.reason


@pytest.mark.parametrize("goal", [(np.nan, 0.0), (np.inf, 0.0), (0.0,), "here", None])
def test_plan_to_a_goal_that_is_none_reports_it(goal):
    plan = planner().plan(START, START, goal)
    assert plan.status is Status.BAD_GOAL and "goal" in plan.reason


def test_plan_from_a_state_that_is_none_reports_it():
    assert planner().plan((np.nan, 0.0), START, GOAL).status is Status.BAD_STATE
    assert planner().plan(START, (0.0,), GOAL).status is Status.BAD_STATE


def test_plan_without_weights_or_states_says_what_is_missing():
    made = planner(learned=False)
    assert "learned weights" in made.plan(START, START, GOAL).reason
    made.learn(model=EXACT)
    plan = made.plan(START, START, GOAL)
    assert plan.status is Status.NO_EXPERIENCE and "seen states" in plan.reason and not made.ready
    made.learn(states=lattice())
    assert made.plan(START, START, GOAL).usable and made.ready


@pytest.mark.parametrize("optimiser", ["graph", "cem", "mppi", "gradient"])
def test_plan_to_what_nothing_leads_to_is_unreachable(optimiser):
    made = planner(optimiser)
    box = np.array(
        [[[0.2, -0.3], [0.8, -0.2]], [[0.2, 0.2], [0.8, 0.3]], [[0.2, -0.3], [0.3, 0.3]], [[0.7, -0.3], [0.8, 0.3]]]
    )
    made.keep_out = KeepOut(box, (0, 1))
    plan = made.plan(START, START, GOAL)
    assert plan.status is Status.UNREACHABLE and not plan.usable and len(plan.reason) > 20


def test_plan_that_ends_on_its_way_is_good_as_long_as_it_comes_nearer():
    made = planner("cem", segments=2, segment_steps=6, on_the_way=1.0)
    plan = made.plan((-0.9, 0.0), (-0.9, 0.0), (0.9, 0.0))
    assert plan.status is Status.PLANNED and "from the goal" in plan.reason
    assert plan.knots[-1][0] == pytest.approx(-0.9 + 0.6, abs=0.15)


def test_plan_whose_time_is_over_reports_it():
    ticks = iter(range(1000))
    made = planner("cem", clock=lambda: float(next(ticks)))
    made.keep_out = WALL
    plan = made.plan(START, START, GOAL, budget_s=0.5)
    assert plan.status is Status.OUT_OF_TIME and not plan.usable


def test_plan_begins_with_the_last_one_for_the_same_goal_alone():
    made = planner("cem")
    made.keep_out = WALL
    first = made.plan(START, START, GOAL)
    assert made._warm(np.asarray(GOAL, np.float32)).tolist() == first.knots.tolist()
    assert made._warm(np.zeros(2, np.float32)) is None
    made.forget()
    assert made._warm(np.asarray(GOAL, np.float32)) is None


def test_executed_segments_change_the_price_that_plans_are_made_with():
    made = planner()
    before = made.multiplier.value
    assert made.executed(predicted=(0.2, 0.0), reached=(0.4, 0.0)) > before
    for _ in range(20):
        made.executed((0.2, 0.0), (0.2, 0.0))
    assert made.multiplier.value < before


def test_keep_out_assigned_later_counts_at_once():
    made = planner()
    straight = made.plan(START, START, GOAL)
    made.keep_out = WALL
    around = made.plan(START, START, GOAL)
    assert straight.steps.sum() < around.steps.sum()
    assert made.free(np.array([-1, 0.0]), np.array([-0.5, 0.0])) and not made.free(START, GOAL)


@pytest.mark.parametrize("optimiser", ["graph", "cem"])
def test_plan_with_a_free_dimension_goes_where_it_is_nearest(optimiser):
    made = planner(optimiser, task=plane(free_y=True))
    plan = made.plan((-0.9, 0.9), (-0.9, 0.9), (0.4, -0.9))
    assert plan.usable and plan.knots[-1][0] == pytest.approx(0.4, abs=0.1)
    assert plan.knots[-1][1] > -0.5, "all the way down to y = -0.9 nothing is to be had"


def test_plan_where_every_dimension_counts_goes_for_those_too_that_the_score_does_not_name():
    task = plane(free_y=True)
    made = SubgoalPlanner(task, PlannerSettings("graph", Objective.for_task(task, rarity=0.0), all_dimensions=True))
    made.learn(EXACT, lattice())
    plan = made.plan((-0.9, 0.9), (-0.9, 0.9), (0.4, -0.9))
    assert plan.usable and plan.knots[-1] == pytest.approx([0.4, -0.9], abs=0.1)


def test_planner_with_an_unknown_optimiser_is_rejected():
    with pytest.raises(ValueError, match="graph, cem, mppi, gradient"):
        PlannerSettings("sqp")


def test_straight_lines_measured_from_a_store_are_as_fast_as_what_was_seen():
    store = TrajectoryStore(PLANE)
    at = np.zeros(2, np.float32)
    for _ in range(40):
        then = at + np.array([0.01, 0], np.float32)
        store.add(Step(at, np.zeros(2, np.float32), then, at, then, then, False), last=False)
        at = then
    assert StraightLines.measured(store, 15).step == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ValueError, match="motion over 51 steps"):
        StraightLines.measured(store, 50)


# The price of infeasibility


def test_multiplier_rises_with_misses_beyond_the_tolerance_and_falls_slowly_within():
    multiplier = Multiplier(1.0, tolerance=0.02, rate=0.5, allowed=0.1)
    assert multiplier.executed(0.03) == pytest.approx(math.exp(0.25)), "half a tolerance too much"
    assert multiplier.executed(0.02) == pytest.approx(math.exp(0.25)), "just tolerated"
    assert multiplier.executed(0.0) == pytest.approx(math.exp(0.25 - 0.05))


def test_multiplier_moves_no_faster_than_its_rate_and_stays_within_its_range():
    multiplier = Multiplier(1.0, 0.02, 0.5)
    assert multiplier.executed(100.0) == pytest.approx(math.exp(0.5))
    for _ in range(100):
        multiplier.executed(100.0)
    assert multiplier.value == RANGE[1]
    for _ in range(1000):
        multiplier.executed(0.0)
    assert multiplier.value == RANGE[0]


def test_multiplier_settles_where_the_allowed_part_misses():
    rng = np.random.default_rng(0)
    multiplier = Multiplier(1.0, tolerance=0.02, rate=0.2, allowed=0.1)
    missed = []
    for _ in range(4000):
        missed.append(rng.random() < 1 / (1 + multiplier.value))  # the dearer, the more careful
        multiplier.executed(1.0 if missed[-1] else 0.0)
    assert sum(missed[1000:]) / 3000 == pytest.approx(0.1, abs=0.02)


def test_multiplier_of_zero_leaves_the_constraint_out_for_good():
    assert Multiplier(0.0, 0.02).executed(1.0) == 0.0


@pytest.mark.parametrize("miss", [math.nan, math.inf])
def test_multiplier_does_not_look_at_a_miss_that_is_no_number(miss):
    assert Multiplier(2.0, 0.02).executed(miss) == 2.0
