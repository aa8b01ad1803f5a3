"""Relabelled goals have the configured origins, horizons are uniform, and no goal is from another episode."""

import numpy as np
import pytest
from tasks_for_tests import POINT, point_step

from tdm_ros.replay import GoalMix, TrajectoryStore, sample_batches

SHAPE = (4, 512)


@pytest.fixture
def store() -> TrajectoryStore:
    """Ten trajectories of 20 steps; transition i goes from i to i + 1."""
    store = TrajectoryStore(POINT)
    for number in range(200):
        store.add(point_step(number), last=number % 20 == 19)
    return store


def drawn(store: TrajectoryStore, **shares: float):
    mix = GoalMix(**{"future": 0.0, "buffer": 0.0, "box": 0.0, "near": 0.0, **shares})
    return sample_batches(store, mix, SHAPE, np.random.default_rng(0))


def test_future_goals_stay_in_the_episode_and_within_twice_the_horizon(store):
    batch = drawn(store, future=1.0)
    start, goal = batch.achieved[..., 0], batch.goal[..., 0]
    ahead = goal - start
    assert ahead.min() == 1, "the step's own next state is a future goal too"
    assert ahead.max() == 2 * (POINT.horizon + 1)
    assert (goal <= start // 20 * 20 + 20).all()


def test_future_goals_of_an_open_trajectory_end_with_the_newest_step(store):
    store.add(point_step(200), last=False)
    store.add(point_step(201), last=False)
    batch = drawn(store, future=1.0)
    newest = batch.achieved[..., 0] == 201
    assert newest.any() and (batch.goal[newest] == 202).all()


def test_buffer_goals_come_from_any_step(store):
    goal = drawn(store, buffer=1.0).goal[..., 0]
    assert goal.min() >= 1 and goal.max() <= 200
    assert len(np.unique(goal)) > 150


def test_box_goals_fill_the_box(store):
    goal = drawn(store, box=1.0).goal
    assert goal.min() >= -1 and goal.max() <= 1
    assert abs(goal.mean()) < 0.05 and goal.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)


def test_near_goals_lie_around_the_next_state(store):
    batch = drawn(store, near=1.0)
    off = batch.goal - batch.next_achieved
    assert abs(off.mean()) < 0.02 and off.std() == pytest.approx(0.15, rel=0.1)


def test_mixed_goals_have_the_shares_asked_for(store):
    batch = drawn(store, future=0.4, buffer=0.1, box=0.3, near=0.2)
    inside = (np.abs(batch.goal[..., 0]) < 1) & (batch.achieved[..., 0] > 5)
    assert inside.mean() == pytest.approx(0.3 * 195 / 200, abs=0.03)


def test_horizons_are_uniform_and_independent_of_the_goal(store):
    batch = drawn(store, future=1.0)
    counts = np.bincount(batch.steps_left.astype(int).ravel(), minlength=POINT.horizon + 1)
    assert counts.min() > 0.8 * counts.mean() and len(counts) == POINT.horizon + 1
    ahead = (batch.goal - batch.achieved)[..., 0]
    assert abs(np.corrcoef(ahead.ravel(), batch.steps_left.ravel())[0, 1]) < 0.1


def test_one_seed_gives_one_batch(store):
    first, second = drawn(store, future=0.5, box=0.5), drawn(store, future=0.5, box=0.5)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("shares", [{"future": 0.9}, {"future": -0.1, "near": 0.7}])
def test_goal_mix_that_does_not_sum_to_one_is_rejected(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        GoalMix(**shares)


def test_horizons_are_uniform_up_to_the_tasks_or_to_one_that_is_given(store):
    for given, longest in ((None, POINT.horizon), (3, 3), (0, 0)):
        left = sample_batches(store, GoalMix(), (40, 400), np.random.default_rng(3), horizon=given).steps_left
        shares = np.bincount(left.astype(int).ravel()) / left.size
        np.testing.assert_allclose(shares, np.full(longest + 1, 1 / (longest + 1)), atol=0.012)


def test_operator_fraction_is_drawn_from_the_operators_transitions_if_there_are_any():
    stores = [TrajectoryStore(POINT), TrajectoryStore(POINT)]
    for number in range(1000):
        for store, human in zip(stores, (False, number < 10), strict=True):
            store.add(point_step(number), last=number % 50 == 49, human=human)
    plain, mixed = stores
    same = [sample_batches(plain, GoalMix(), (4, 256), np.random.default_rng(1), share) for share in (0.0, 0.5)]
    for one, other in zip(*same, strict=True):
        np.testing.assert_array_equal(one, other)
    shares = []
    for share in (0.0, 0.5):
        batch = sample_batches(mixed, GoalMix(), (8, 512), np.random.default_rng(1), share)
        shares.append(float((batch.achieved[..., 0] < 10).mean()))
    assert shares[0] < 0.02 and abs(shares[1] - 0.505) < 0.03
