"""The trajectory store returns the added transitions and the end of each trajectory."""

import numpy as np
import pytest
from tasks_for_tests import POINT, point_step

from tdm_ros.replay import TrajectoryStore


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


def test_dump_and_restore_gives_the_same_store():
    store = filled([5] * 5, capacity=12)
    copy = TrajectoryStore(POINT, 12)
    copy.restore(store.dump())
    index = np.arange(13, 25)
    assert copy.total == store.total
    assert (copy.end_of(index) == store.end_of(index)).all()
    for name, column in store.rows(index).items():
        assert (copy.column(name, index) == column).all(), name


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
