"""Forward kinematics against published poses and finite differences; `test_description.py` compares with MuJoCo."""

import numpy as np
import pytest

from tdm_ros.robots.kinematics import DAMPING_M2, forward, jacobian, joint_velocity, link_frames
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD

PUBLISHED = {
    "neutral": (NEUTRAL_RAD, (0.4496, 0.1603, 0.2158)),
    "zero": (np.zeros(7), (1.0155, 0.1603, 0.317)),
    "sdk example": (
        [0.763331, 0.415979, -1.728629, 1.482985, -1.135621, -1.674347, -0.496337],
        (0.4506, 0.1616, 0.2156),
    ),
}


def postures(count: int = 20) -> np.ndarray:
    return np.random.default_rng(0).uniform(Q_LOWER_RAD, Q_UPPER_RAD, (count, 7))


@pytest.mark.parametrize("pose", PUBLISHED)
def test_forward_published_pose_hand_matches(pose: str) -> None:
    q_rad, hand_m = PUBLISHED[pose]
    np.testing.assert_allclose(forward(q_rad).position_m, hand_m, atol=1e-4)


def test_forward_neutral_tool_points_straight_down() -> None:
    np.testing.assert_allclose(forward(NEUTRAL_RAD).rotation[:, 2], (0, 0, -1), atol=1e-3)


def test_jacobian_random_postures_match_finite_differences() -> None:
    step = 1e-6
    for q_rad in postures():
        ours = jacobian(q_rad)
        for joint, nudge in enumerate(step * np.eye(7)):
            ahead, behind = forward(q_rad + nudge), forward(q_rad - nudge)
            linear = (ahead.position_m - behind.position_m) / (2 * step)
            spin = (ahead.rotation - behind.rotation) / (2 * step) @ forward(q_rad).rotation.T
            np.testing.assert_allclose(ours[:3, joint], linear, atol=1e-7)
            np.testing.assert_allclose(ours[3:, joint], (spin[2, 1], spin[0, 2], spin[1, 0]), atol=1e-7)


def test_jacobian_neutral_singular_values_match_published() -> None:
    values = np.linalg.svd(jacobian(NEUTRAL_RAD), compute_uv=False)
    assert values[0] == pytest.approx(1.94, abs=0.01)
    assert values[-1] == pytest.approx(0.22, abs=0.01)


@pytest.mark.parametrize("function", [forward, jacobian, link_frames])
def test_kinematics_wrong_size_rejected_with_shape(function) -> None:
    with pytest.raises(ValueError, match=r"shape \(7,\).*got \(6,\)"):
        function(np.zeros(6))


# Hand velocity to joint velocity


def near_neutral(count: int, spread_rad: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return NEUTRAL_RAD + rng.normal(0, spread_rad, (count, 7))


def test_hand_follows_within_a_few_percent_and_keeps_its_attitude() -> None:
    rng, misses, turns = np.random.default_rng(1), [], []
    for q in near_neutral(300, 0.2):
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
    for q in (stretched, *near_neutral(200, 1.0)):
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
