"""The problem by itself: what each term says, and that the gradient is that of the cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planning_for_tests import EXACT, PLANE, SPACE, WALL, lattice, plane, problem

from tdm_ros.planning import KeepOut, Objective, Problem, SeenStates
from tdm_ros.planning.gradient import slope
from tdm_ros.tasks import Channels


def knots(*points: tuple[float, float]) -> np.ndarray:
    return np.array([points], np.float32)


def test_terms_of_a_straight_way_are_known():
    terms = problem(on_the_way=0.1).terms(knots((-0.1, 0), (0.3, 0), (0.5, 0)))
    assert terms.task == pytest.approx([0.1 * (0.6 + 0.2)], abs=1e-6)
    assert terms.miss == pytest.approx(np.zeros((1, 3)), abs=1e-6)
    for part in (terms.infeasible, terms.keep_out, terms.limits, terms.rarity):
        assert part == pytest.approx([0.0])


def test_terms_of_a_knot_out_of_reach_say_by_how_much():
    terms = problem(tolerance=0.05, acceptable=0.1).terms(knots((0.5, 0), (0.5, 0), (0.5, 0)))
    assert terms.miss == pytest.approx(np.array([[0.4, 0, 0]]), abs=1e-6), "12 steps of 5 cm are 0.6 of 1.0"
    assert terms.infeasible == pytest.approx([0.35], abs=1e-6)


def test_cost_weighs_infeasibility_by_the_multiplier_and_without_it_leaves_it_out():
    far = knots((0.5, 0), (0.5, 0), (0.5, 0))
    costs = [replace(problem(), multiplier=price).cost(far)[0] for price in (0.0, 1.0, 3.0)]
    assert costs[0] == pytest.approx(0)
    assert costs[2] == pytest.approx(3 * costs[1]) and costs[1] > 0.3


def test_terms_count_the_way_through_a_wall():
    through, over = knots((0, 0), (0.3, 0), (0.5, 0)), knots((-0.1, 0.3), (0.1, 0.3), (0.5, 0))
    walled = problem(keep_out=WALL)
    assert walled.terms(through).keep_out[0] > 0.1
    assert walled.terms(over).keep_out[0] == 0, "along the edge is not inside"
    grazing = over - np.array([0, 1e-4], np.float32)
    assert walled.cost(grazing)[0] > walled.cost(over)[0] + 0.05, "a hair's breadth inside is inside"
    assert replace(walled, objective=replace(walled.objective, margin=0.02)).terms(over).keep_out[0] > 0.01


def test_margin_shrinks_where_start_or_goal_are_nearer_than_that():
    close = problem(start=(-0.11, 0.0), goal=(0.12, 0.0), keep_out=WALL, margin=0.05)
    margin, may_leave = close.margins(3)
    assert margin == pytest.approx([0.01, 0.05, 0.02], abs=1e-4)
    assert may_leave.tolist() == [True, False, False]
    assert problem(start=(0.0, 0.0), keep_out=WALL, margin=0.05).margins(2)[0][0] == 0


def test_free_dimension_of_the_goal_costs_nothing():
    half = problem(task=plane(free_y=True))
    assert half.free.tolist() == [False, True]
    assert half.terms(knots((0.0, 0.7), (0.5, 0.7), (0.5, 0.9))).task == pytest.approx([0.1 * 0.5], abs=1e-6)


def test_limits_count_joints_beyond_their_range_on_the_states_that_are_passed():
    bounded = replace(PLANE, observation=Channels(("x", "y"), "m", (-1.0, -np.inf), (1.0, np.inf), (1.0, 1.0)))
    there = Problem(
        bounded, EXACT, lattice(), np.zeros(2), np.zeros(2), np.array([0.5, 0]), Objective(segments=1, limit_margin=0.1)
    )
    assert there.limit_excess(np.array([[0.5, 9.0], [0.9, 0], [-1.0, 0]], np.float32)) == pytest.approx(
        [0, 0.05, 0.1], abs=1e-6
    )
    assert there.terms(knots((1.0, 0.0))).limits == pytest.approx([0.1], abs=1e-6)


def test_rarity_counts_how_far_a_knot_is_from_what_was_seen():
    seen = np.array([[0, 0], [0.1, 0]], np.float32)
    lonely = replace(problem(), states=SeenStates(seen, seen, SPACE, posture=0.0))
    assert lonely.terms(knots((0.1, 0), (0.1, 0.05), (0.1, 0.4))).rarity == pytest.approx([0.3], abs=1e-6)


@pytest.mark.parametrize(("formulation", "count", "steps"), [("k_step", 3, 12), ("explicit", 3, 12)])
def test_formulations_with_several_knots(formulation, count, steps):
    made = problem(formulation=formulation)
    assert (made.objective.knots, made.steps) == (count, steps)


@pytest.mark.parametrize("formulation", ["final_state", "direct"])
def test_formulations_with_one_knot_take_the_whole_horizon(formulation):
    made = problem(formulation=formulation)
    assert (made.objective.knots, made.steps) == (1, 16)


def test_explicit_judges_the_task_where_the_model_says_one_will_be_and_needs_no_constraint():
    far = knots((0.5, 0), (0.5, 0), (0.5, 0))
    made = problem(formulation="explicit", on_the_way=1.0)
    terms = made.terms(far)
    assert terms.task == pytest.approx([0.4], abs=1e-5), "0.6 gone, 0.4 left; then there"
    assert made.cost(far) == pytest.approx(terms.task)


def test_explicit_course_goes_on_from_where_one_will_be():
    course = problem(formulation="explicit").roll_out(knots((-0.5, 0.9), (0.5, 0.9), (0.5, 0.9)))
    assert course.start[0] == pytest.approx(np.array([[-0.5, 0], [-0.5, 0.6], course.end[0, 1]]), abs=1e-6)


@pytest.mark.parametrize("formulation", ["k_step", "explicit"])
@pytest.mark.parametrize("free_y", [False, True])
def test_slope_is_the_gradient_of_the_cost(formulation, free_y):
    pocket = KeepOut(np.array([[[-0.2, -0.5], [0.1, 0.2]]]), (0, 1))
    made = problem(
        keep_out=pocket, formulation=formulation, task=plane(free_y), on_the_way=0.3, rarity=0.5, segment_steps=7
    )
    few = np.array([[0.0, 0.0], [0.4, 0.3], [-0.4, 0.8]], np.float32)
    made = replace(made, states=SeenStates(few, few, SPACE, posture=0.0))
    plans = np.random.default_rng(0).uniform(-0.8, 0.8, (60, 3, 2)).astype(np.float32)
    cost, gradient = slope(made, plans)
    assert cost == pytest.approx(made.cost(plans), rel=1e-5)
    shown, step = np.zeros_like(gradient), np.float32(1e-3)
    for number, dimension in np.ndindex(3, 2):
        moved = np.zeros_like(plans)
        moved[:, number, dimension] = step
        shown[:, number, dimension] = (made.cost(plans + moved) - made.cost(plans - moved)) / (2 * step)
    apart = np.abs(gradient - shown).max(axis=(1, 2)) / (np.abs(shown).max(axis=(1, 2)) + 0.1)
    assert np.quantile(apart, 0.8) < 0.02, "but for plans at a corner of the cost"


@pytest.mark.parametrize("what", ["goal", "observation", "achieved"])
def test_problem_with_a_number_that_is_none_is_rejected(what):
    with pytest.raises(ValueError, match=f"{what} must be finite"):
        replace(problem(), **{what: np.array([np.nan, 0.0])})


@pytest.mark.parametrize(
    "change",
    [{"formulation": "k-step"}, {"segments": 0}, {"tolerance": 0.0}, {"acceptable": 0.001}, {"margin": -1.0}],
)
def test_objective_that_makes_no_sense_is_rejected(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Objective.for_task(PLANE, **change)
