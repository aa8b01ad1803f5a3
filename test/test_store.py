"""The trajectory store returns the added transitions and the end of each trajectory."""

import numpy as np
import pytest
from hypothesis import given, strategies
from tasks_for_tests import POINT, point_step

from tdm_ros.replay import GoalMix, TrajectoryStore, sample_batches
from tdm_ros.replay.store import StepCheck, check_step
from tdm_ros.types import Step


def filled(lengths: list[int], capacity: int = 1000) -> TrajectoryStore:
    """A store whose transition number i has achieved i and reaches i + 1."""
    store, number = TrajectoryStore(POINT, capacity), 0
    for length in lengths:
        for place in range(length):
            store.add(point_step(number), last=place == length - 1)
            number += 1
    return store


def test_store_arrays_changed_after_adding_keeps_the_old_values():
    store, step = TrajectoryStore(POINT), point_step(1)
    store.add(step, last=False)
    step.observation[:] = 99
    assert store.column("observation", np.array([0]))[0, 0] == 1


def test_end_of_open_and_closed_trajectories_is_their_own():
    store = filled([3, 4])
    store.add(point_step(7), last=False)
    assert store.end_of(np.arange(8)).tolist() == [3, 3, 3, 7, 7, 7, 7, 8]


def test_store_beyond_capacity_overwrites_the_oldest():
    store = filled([5] * 5, capacity=12)
    assert len(store) == 12
    index = np.arange(13, 25)
    assert store.column("achieved", index)[:, 0].tolist() == index.tolist()
    assert store.end_of(index).tolist() == [15, 15, *[20] * 5, *[25] * 5]
    drawn = store.draw(np.random.default_rng(0), (1000,))
    assert drawn.min() == 13 and drawn.max() == 24


def test_store_growing_past_its_first_allocation_loses_nothing():
    store = filled([50] * 100, capacity=10_000)
    index = np.arange(5000)
    assert store.column("achieved", index)[:, 0].tolist() == index.tolist()
    assert store.end_of(index).tolist() == (index // 50 * 50 + 50).tolist()


@given(
    part=strategies.sampled_from(Step._fields[:-1]),
    value=strategies.one_of(
        strategies.sampled_from([np.nan, np.inf, 1.0, 1.0005, -1.002, 3e38]), strategies.floats(-1e5, 1e5)
    ),
    form=strategies.sampled_from([np.float32, np.float64, list, "longer", "scalar"]),
)
def test_fast_check_accepts_and_rejects_what_the_full_one_does(part, value, form):
    step = point_step(1)
    vector = np.array(getattr(step, part), np.float32)
    vector[0] = value
    if form == "longer":
        vector = np.append(vector, vector)
    elif form == "scalar":
        vector = vector[0]
    else:
        vector = vector.tolist() if form is list else vector.astype(form)
    step = step._replace(**{part: vector})

    def verdict(check):
        try:
            return check(step)
        except (ValueError, TypeError) as error:
            return str(error)

    assert verdict(StepCheck(POINT)) == verdict(lambda one: check_step(one, POINT))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_add_not_finite_is_rejected_and_named(bad):
    store = TrajectoryStore(POINT)
    with pytest.raises(ValueError, match="next_observation must be finite"):
        store.add(point_step(0)._replace(next_observation=np.array([bad, 0], np.float32)), last=False)
    assert len(store) == 0


def test_add_wrong_size_is_rejected_and_named():
    with pytest.raises(ValueError, match=r"action must have shape \(1,\)"):
        TrajectoryStore(POINT).add(point_step(0)._replace(action=np.zeros(2, np.float32)), last=False)


def test_draw_from_an_empty_store_is_rejected():
    with pytest.raises(ValueError, match="empty TrajectoryStore"):
        TrajectoryStore(POINT).draw(np.random.default_rng(0), (1,))


def with_operator(store: TrajectoryStore) -> TrajectoryStore:
    """Six steps of the policy, four of the operator, two of the policy."""
    for number in range(12):
        store.add(point_step(number), last=number in (5, 9, 11), human=6 <= number < 10)
    return store


def test_human_are_the_operators_transitions_also_after_overwriting():
    store = with_operator(TrajectoryStore(POINT, capacity=16))
    assert store.human().tolist() == [6, 7, 8, 9]
    for number in range(12, 24):
        store.add(point_step(number), last=False, human=number == 20)
    assert store.human().tolist() == [8, 9, 20]


def test_discarded_is_never_drawn_also_not_as_the_operators():
    store = with_operator(TrajectoryStore(POINT))
    store.discard(np.arange(6, 8))
    drawn = store.draw(np.random.default_rng(0), (500,))
    assert set(drawn.tolist()) == {0, 1, 2, 3, 4, 5, 8, 9, 10, 11}
    assert store.human().tolist() == [8, 9] and store.usable == 10
    store.discard(np.arange(100))
    with pytest.raises(ValueError, match="empty"):
        store.draw(np.random.default_rng(0), (1,))


def test_discarded_that_is_overwritten_is_forgotten():
    store = with_operator(TrajectoryStore(POINT, capacity=12))
    store.discard(np.array([0, 1]))
    store.add(point_step(12), last=False)
    assert store.usable == 11
    store.add(point_step(13), last=False)
    assert store.usable == len(store) == 12


def test_dump_and_restore_gives_the_same_store():
    store, copy = filled([5] * 5, capacity=12), TrajectoryStore(POINT, 12)
    copy.restore(store.dump())
    index = np.arange(13, 25)
    assert copy.total == store.total and (copy.end_of(index) == store.end_of(index)).all()
    for name, column in store.rows(index).items():
        assert (copy.column(name, index) == column).all(), name


def test_dump_and_restore_of_a_store_that_has_wrapped_and_grown():
    store, copy = filled([500] * 37, capacity=10_000), TrajectoryStore(POINT, 10_000)
    copy.restore(store.dump())
    index = np.arange(8500, 18_500)
    assert (copy.column("achieved", index)[:, 0] == index).all() and (copy.end_of(index) == store.end_of(index)).all()


def test_dump_and_restore_keep_operator_and_discarded_marks():
    store, again = with_operator(TrajectoryStore(POINT)), TrajectoryStore(POINT)
    store.discard(np.array([2, 7]))
    again.restore(store.dump())
    assert again.human().tolist() == store.human().tolist() == [6, 8, 9] and again.usable == 10
    older = {name: column for name, column in store.dump().items() if name not in ("human", "discarded")}
    first = TrajectoryStore(POINT)
    first.restore(older)
    assert len(first.human()) == 0 and first.usable == 12


def test_draw_without_discarded_is_that_of_the_generator():
    store = with_operator(TrajectoryStore(POINT))
    drawn = store.draw(np.random.default_rng(3), (50,))
    np.testing.assert_array_equal(drawn, np.random.default_rng(3).integers(0, 12, 50))


# Relabelled goals have the configured origins, horizons are uniform, and no goal is from another episode

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


def test_horizons_are_independent_of_the_goal(store):
    batch = drawn(store, future=1.0)
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
    for asked, longest in ((None, POINT.horizon), (3, 3), (0, 0)):
        left = sample_batches(store, GoalMix(), (40, 400), np.random.default_rng(3), horizon=asked).steps_left
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
