"""Seen states: spread, completed by what is near, rare where nothing was seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from planning_for_tests import PLANE

from benchmarks.planning_guides import with_objects_at
from tdm_ros.planning import GoalSpace, SeenStates
from tdm_ros.planning.states import farthest
from tdm_ros.replay import Step, TrajectoryStore
from tdm_ros.tasks import PUSHER

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


def test_rarity_is_the_distance_to_the_nearest_seen_point():
    states = SeenStates(column(0.0, 1.0), column(0.0, 1.0), LINE)
    assert states.rarity(column(0.4, 1.5, 1.0)) == pytest.approx([0.4, 0.5, 0.0])


def test_rarity_of_angles_goes_the_short_way_round():
    turn = GoalSpace((1.0,), (True,))
    states = SeenStates(column(3.0, 0.0), column(3.0, 0.0), turn)
    assert states.rarity(column(-3.0)) == pytest.approx([2 * np.pi - 6.0], abs=1e-5)


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
