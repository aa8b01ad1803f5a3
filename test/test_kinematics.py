"""Forward kinematics against published poses, MuJoCo and finite differences."""

import numpy as np
import pytest

from tdm_ros.envs.sawyer_sim import SawyerSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.kinematics import forward, jacobian, link_positions, rotation_from_rpy
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


def test_forward_random_postures_agree_with_mujoco() -> None:
    sim = SawyerSim(ACTUATIONS["velocity"])
    for q_rad in postures():
        sim.reset(q_rad)
        ours, theirs = forward(q_rad), sim.hand_pose()
        np.testing.assert_allclose(ours.position_m, theirs.position_m, atol=1e-9)
        np.testing.assert_allclose(ours.rotation, theirs.rotation, atol=1e-9)


def test_link_positions_random_postures_agree_with_mujoco() -> None:
    sim = SawyerSim(ACTUATIONS["velocity"])
    for q_rad in postures(5):
        sim.reset(q_rad)
        links = [sim.data.body(f"right_l{i}").xpos for i in range(7)]
        np.testing.assert_allclose(link_positions(q_rad)[:7], links, atol=1e-9)
        np.testing.assert_allclose(link_positions(q_rad)[7], forward(q_rad).position_m)


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


def test_rotation_from_rpy_yaw_turns_x_to_y() -> None:
    np.testing.assert_allclose(rotation_from_rpy((0, 0, np.pi / 2)) @ (1, 0, 0), (0, 1, 0), atol=1e-12)


@pytest.mark.parametrize("function", [forward, jacobian, link_positions])
def test_kinematics_wrong_size_rejected_with_shape(function) -> None:
    with pytest.raises(ValueError, match=r"shape \(7,\).*got \(6,\)"):
        function(np.zeros(6))
