"""Hand velocity to joint velocity: the hand goes where it is asked to, and no posture makes the joints race."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.robots.kinematics import DAMPING_M2, forward, jacobian, joint_velocity
from tdm_ros.robots.sawyer import NEUTRAL_RAD


def postures(count: int, spread_rad: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return NEUTRAL_RAD + rng.normal(0, spread_rad, (count, 7))


def test_hand_follows_within_a_few_percent_and_keeps_its_attitude() -> None:
    rng, misses, turns = np.random.default_rng(1), [], []
    for q in postures(300, 0.2):
        twist = np.array([*rng.normal(0, 0.1, 3), 0, 0, 0])
        got = jacobian(q) @ joint_velocity(q, twist)
        misses.append(np.linalg.norm(got[:3] - twist[:3]) / np.linalg.norm(twist[:3]))
        turns.append(np.linalg.norm(got[3:]))
    assert np.median(misses) < 0.03 and np.percentile(misses, 95) < 0.2 and np.percentile(turns, 95) < 0.05


def test_hand_moved_so_for_a_second_arrives_where_it_was_sent() -> None:
    q, start = NEUTRAL_RAD.copy(), forward(NEUTRAL_RAD)
    for _ in range(20):
        q = q + 0.05 * joint_velocity(q, [0.05, -0.05, 0.03, 0, 0, 0])
    np.testing.assert_allclose(forward(q).position_m - start.position_m, [0.05, -0.05, 0.03], atol=0.003)
    np.testing.assert_allclose(forward(q).rotation, start.rotation, atol=0.02)


def test_joints_never_race_not_even_where_the_arm_is_stretched_out() -> None:
    stretched = np.zeros(7)
    assert np.linalg.svd(jacobian(stretched))[1].min() < 0.01
    rng = np.random.default_rng(2)
    for q in (stretched, *postures(200, 1.0)):
        twist = rng.normal(0, 1, 6)
        speed = np.linalg.norm(joint_velocity(q, twist))
        assert speed <= np.linalg.norm(twist) / (2 * np.sqrt(DAMPING_M2)) + 1e-9


def test_no_velocity_asked_for_no_joint_moves_unless_something_is_asked_of_the_rest() -> None:
    assert not joint_velocity(NEUTRAL_RAD, np.zeros(6)).any()
    aside = joint_velocity(NEUTRAL_RAD, np.zeros(6), 1e-6, np.full(7, 0.2))
    assert np.abs(aside).max() > 0.01 and np.abs(jacobian(NEUTRAL_RAD) @ aside).max() < 1e-3


@pytest.mark.parametrize("twist", [[0.1, 0, 0], [np.nan, 0, 0, 0, 0, 0], [np.inf] * 6])
def test_twist_that_is_none_is_rejected(twist: list[float]) -> None:
    with pytest.raises(ValueError, match="twist must be six finite numbers"):
        joint_velocity(NEUTRAL_RAD, twist)
