"""The problem by itself: what each term says, and that the gradient is that of the cost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from planning_for_tests import EXACT, PLANE, SPACE, WALL, lattice, plane, problem

from benchmarks.planning_guides import with_objects_at
from tdm_ros.planning import GoalSpace, KeepOut, Objective, Problem, SeenStates
from tdm_ros.planning.gradient import slope
from tdm_ros.planning.states import farthest
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.tasks import PUSHER, Channels


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


@pytest.mark.parametrize(
    ("formulation", "count", "steps"),
    [("k_step", 3, 12), ("explicit", 3, 12), ("final_state", 1, 16), ("direct", 1, 16)],
)
def test_formulations_with_one_knot_take_the_whole_horizon(formulation, count, steps):
    made = problem(formulation=formulation)
    assert (made.objective.knots, made.steps) == (count, steps)


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


# Keep-out boxes: which straight ways cross them, and by how much


BOX = KeepOut(np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]), (0, 1, 2))


def test_crosses_agrees_with_points_along_the_way():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(-1, 1, (4, 2, 3)), axis=1)
    keep_out = KeepOut(corners, (0, 2, 3))
    start, end = rng.uniform(-1.5, 1.5, (2, 300, 4))
    along = start[:, None] + np.linspace(0, 1, 2001)[:, None] * (end - start)[:, None]
    touched = keep_out.contains(along, 0.1).any(axis=1)
    crosses = keep_out.crosses(start, end, 0.1)
    assert 0.2 < crosses.mean() < 0.9
    assert not (touched & ~crosses).any(), "a way that is inside somewhere crosses"
    assert (touched == crosses).mean() > 0.99, "and the other way round, but for corners that are just cut"


def test_crosses_a_way_along_a_face_only_touches():
    assert not BOX.crosses([-1, 0.5, 1.0], [2, 0.5, 1.0])
    assert BOX.crosses([-1, 0.5, 0.99], [2, 0.5, 0.99])


def test_crosses_a_point_that_stands_still_is_judged_by_where_it_is():
    assert BOX.crosses([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    assert not BOX.crosses([1.5, 0.5, 0.5], [1.5, 0.5, 0.5])


def test_crosses_the_way_out_of_a_box_may_be_taken_the_way_through_not():
    inside, outside = [0.5, 0.5, 0.9], [0.5, 0.5, 2.0]
    assert BOX.crosses(inside, outside)
    assert not BOX.crosses(inside, outside, may_leave=True)
    assert BOX.crosses(inside, [0.5, 0.5, 0.8], may_leave=True), "it ends inside"
    assert BOX.crosses([-1, 0.5, 0.5], [2, 0.5, 0.5], may_leave=True), "it does not start inside"


def test_depth_is_positive_exactly_where_a_way_crosses():
    rng = np.random.default_rng(1)
    start, end = rng.uniform(-1, 2, (2, 500, 3))
    assert ((BOX.depth(start, end, 0.1) > 0) == BOX.crosses(start, end, 0.1)).all()


def test_depth_is_how_far_a_way_must_be_moved():
    assert BOX.depth([-1, 0.5, 0.9], [2, 0.5, 0.9]) == pytest.approx(0.1)
    assert BOX.depth([-1, 0.5, 0.9], [2, 0.5, 0.9], 0.05) == pytest.approx(0.15)
    assert BOX.depth([-1, 0.5, 0.5], [0.2, 0.5, 0.5]) == pytest.approx(0.2), "its end is to be pulled back"


def test_clearance_is_the_margin_at_which_a_point_is_touched():
    assert BOX.clearance([0.5, 0.5, 1.2]) == pytest.approx(0.2)
    assert BOX.clearance([0.5, 0.5, 0.9]) == pytest.approx(-0.1)
    assert KeepOut().clearance([0.0, 0.0]) == np.inf


def test_empty_set_keeps_nothing_out():
    assert not KeepOut().crosses(np.zeros((3, 2)), np.ones((3, 2))).any()
    assert (KeepOut().depth(np.zeros((3, 2)), np.ones((3, 2))) == 0).all()
    assert len(KeepOut()) == 0


def test_infinite_box_is_a_half_space():
    half = KeepOut(np.array([[[-np.inf, -np.inf], [np.inf, 0.0]]]), (0, 1))
    assert half.crosses([0, 1], [0, -1]) and not half.crosses([-5, 1], [5, 0.5])
    assert half.depth([0, 1], [0, -0.2]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("boxes", "what"),
    [
        (np.zeros((1, 2, 3)), "shape"),
        (np.array([[[1.0, 0], [0, 1]]]), "lower corner below its upper"),
        (np.array([[[np.nan, 0], [0, 1]]]), "lower corner below its upper"),
    ],
)
def test_boxes_that_make_no_sense_are_rejected(boxes, what):
    with pytest.raises(ValueError, match=what):
        KeepOut(boxes, (0, 1))


# Seen states


LINE = GoalSpace((1.0,), (False,))


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_farthest_begins_in_the_middle_and_goes_to_the_ends():
    assert farthest(column(0.0, 0.1, 0.5, 0.6, 1.0), 3).tolist() == [2, 0, 4]


def test_thinned_of_a_crowd_and_a_few_keeps_the_few():
    rng = np.random.default_rng(0)
    crowd = rng.normal(0, 0.01, (500, 2)).astype(np.float32)
    few = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    points = np.concatenate([crowd, few])
    kept = SeenStates.thinned(points, points, GoalSpace((1.0, 1.0), (False, False)), 4)
    assert {tuple(point) for point in few.tolist()} <= {tuple(point) for point in kept.achieved.tolist()}


def test_first_are_the_most_spread_ones():
    points = np.random.default_rng(1).uniform(size=(300, 2)).astype(np.float32)
    states = SeenStates.thinned(points, points, GoalSpace((1.0, 1.0), (False, False)), 100)
    assert states.first(10).achieved.tolist() == states.achieved[:10].tolist()
    assert states.first(10).spacing > 2 * states.spacing
    assert states.first(1000) is states


def test_complete_gives_the_state_near_the_knot_and_near_in_posture():
    achieved = column(0.0, 0.0, 1.0, 1.0)
    observation = np.array([[0, -1], [0, 1], [1, -1], [1, 1]], np.float32)  # place and elbow
    states = SeenStates(observation, achieved, LINE, posture=0.2)
    whole, place = states.complete(column(0.9, 0.9), np.array([[0, 1], [0, -1]], np.float32))
    assert whole.tolist() == [[1, 1], [1, -1]]
    assert place.ravel().tolist() == [1, 1]


def test_complete_agrees_with_a_search_one_by_one():
    rng = np.random.default_rng(2)
    observation, achieved = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(50, 2)).astype(np.float32)
    space = GoalSpace((0.5, 1.0), (False, False))
    states = SeenStates(observation, achieved, space, posture=0.3)
    knots, like = rng.normal(size=(20, 2)).astype(np.float32), rng.normal(size=(20, 6)).astype(np.float32)
    for knot, posture, whole in zip(knots, like, states.complete(knots, like)[0], strict=True):
        away = space.distance(achieved, knot) ** 2 + states.posture_distance(observation, posture) ** 2
        assert whole.tolist() == observation[away.argmin()].tolist()


def test_complete_of_angles_goes_the_short_way_round():
    states = SeenStates(column(3.0, 0.0), column(3.0, 0.0), GoalSpace((1.0,), (True,)), posture=0.0)
    assert states.complete(column(-3.0), column(0.0))[1].tolist() == [[3.0]]


def test_placed_puts_a_thing_where_it_lies_and_spreads_the_rest():
    task, still = PUSHER, np.array([False, False, True, True])
    rng = np.random.default_rng(4)
    observation = rng.normal(size=(50, task.observation.size)).astype(np.float32)
    achieved = observation[:, -4:]
    states = SeenStates(observation, achieved, GoalSpace.of(task))
    there = np.array([9, 9, 0.3, -0.2], np.float32)
    placed = with_objects_at(states, task, still, there, 10)
    assert len(placed) == 10
    assert (placed.achieved[:, still] == there[still]).all() and (placed.observation[:, -2:] == there[still]).all()
    hands = farthest(achieved[:, :2] * states.space.weight[:2], 10)
    assert placed.achieved[:, :2].tolist() == achieved[hands, :2].tolist()
    assert placed.observation[:, :-2].tolist() == observation[hands, :-2].tolist()
    assert (states.achieved == achieved).all(), "those that it is made from stay"


def test_placed_needs_observations_that_say_where_the_thing_is():
    states = SeenStates(
        np.zeros((2, 30), np.float32), np.zeros((2, 2), np.float32), GoalSpace((1.0,) * 2, (False,) * 2)
    )
    blind = replace(PLANE, observation=replace(PLANE.observation, names=("a", "b")))
    with pytest.raises(ValueError, match=r"observations of plane lack the channels y"):
        with_objects_at(states, blind, np.array([False, True]), np.zeros(2, np.float32), 2)


def test_from_store_draws_states_that_are_in_it():
    store = TrajectoryStore(PLANE)
    points = np.random.default_rng(3).uniform(-1, 1, (30, 2)).astype(np.float32)
    for now, then in pairwise(points):
        store.add(Step(now, np.zeros(2, np.float32), then, now, then, then, False), last=False)
    states = SeenStates.from_store(store, 10, np.random.default_rng(0))
    assert len(states) == 10
    assert {tuple(p) for p in states.observation.tolist()} <= {tuple(p) for p in points.tolist()}


def test_from_store_that_is_empty_is_rejected():
    with pytest.raises(ValueError, match="empty"):
        SeenStates.from_store(TrajectoryStore(PLANE), 10, np.random.default_rng(0))


def test_no_state_at_all_is_rejected():
    with pytest.raises(ValueError, match="at least 1"):
        SeenStates(np.zeros((0, 2), np.float32), np.zeros((0, 1), np.float32), LINE)
