"""What the networks see: differences that wrap, and how far random motion gets in which time."""

import numpy as np
import pytest
from tasks_for_tests import POINT, channels

from tdm_ros.tasks import Channels, TaskSpec
from tdm_ros.tdm.features import Features, measure_reachable_distances


def one_trajectory(points) -> tuple[np.ndarray, np.ndarray]:
    points = np.asarray(points, np.float32)[:, None]
    return points, np.arange(len(points)) == len(points) - 1


def test_reachable_distances_of_steady_motion_are_proportional_to_the_time():
    achieved, last = one_trajectory(0.3 * np.arange(40))
    np.testing.assert_allclose(
        measure_reachable_distances(achieved, last, np.ones(1), 4), np.arange(1, 6) / 5, rtol=1e-5
    )


def test_reachable_distances_of_random_jumps_are_equal():
    achieved, last = one_trajectory(np.random.default_rng(0).normal(size=4000))
    np.testing.assert_allclose(measure_reachable_distances(achieved, last, np.ones(1), 9), 1, atol=0.05)


def test_reachable_distances_compare_no_states_of_different_trajectories():
    """Two rests, far apart: no pair within a trajectory has moved."""
    achieved = np.r_[np.zeros(20), np.full(20, 100)].astype(np.float32)[:, None]
    last = np.arange(40) % 20 == 19
    np.testing.assert_allclose(measure_reachable_distances(achieved, last, np.ones(1), 3), [0.25, 0.5, 0.75, 1.0])


def test_reachable_distances_of_faster_than_proportional_motion_stay_proportional():
    achieved, last = one_trajectory(0.1 * np.arange(30) ** 2)
    assert measure_reachable_distances(achieved, last, np.ones(1), 4)[0] >= 0.2


def angle_task(wrap: tuple[bool, ...] | None) -> TaskSpec:
    goal = Channels(("yaw",), "rad", (-np.pi,), (np.pi,), (0.5,), wrap)
    return TaskSpec("turn", channels("observation", 2, -9, 9), channels("action", 1, -1, 1), goal, 5, 20, 20.0)


def test_goal_with_an_angle_and_no_wrap_flag_is_rejected():
    with pytest.raises(ValueError, match=r"goal of task turn has an angle .* no wrap flag: give Channels.wrap"):
        angle_task(None)


@pytest.mark.parametrize(("wrap", "expected"), [((True,), 2 * np.pi - 6.0), ((False,), -6.0)])
def test_gap_between_angles_wraps(wrap, expected):
    task = angle_task(wrap)
    features = Features.fit(task, np.zeros((5, 2), np.float32), 0.15)
    achieved, goal = np.array([[3.0]], np.float32), np.array([[-3.0]], np.float32)
    np.testing.assert_allclose(features.gap(achieved, goal), [[expected / 0.5]], rtol=1e-5)
    np.testing.assert_allclose(task.distance(achieved, goal), [abs(expected)], rtol=1e-5)


def test_features_survive_a_checkpoint():
    features = Features.fit(POINT, np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32), 0.15)
    again = Features.from_tensors(features.tensors())
    for name in ("mean", "std", "goal_scale", "goal_centre", "wrap", "reachable_distances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(features, name))
    assert (again.near_scale, again.horizon, again.relative_goal) == (features.near_scale, 5, True)


def test_features_tell_states_apart_that_the_random_phase_never_came_near():
    """Twenty and forty standard deviations away: seen, in order, and no longer in proportion."""
    features = Features.fit(POINT, np.random.default_rng(0).normal(size=(99, 2)).astype(np.float32), 0.15)
    far = (features.mean + features.std * np.array([[0.5], [20.0], [40.0]])).astype(np.float32)
    goal, left = np.zeros((3, 1), np.float32), np.zeros(3, np.float32)
    near, farther, farthest = features.inputs(far, goal, goal, left)[:, 0]
    np.testing.assert_allclose(near, 0.5, rtol=0.01)
    assert farther + 2 < farthest < 20
