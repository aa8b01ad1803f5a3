"""The layers of the limiter, one by one; `test_limiter_hostile.py` closes the loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.limits import REAL_LIMITS
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

VELOCITY, TORQUE = Limiter(ACTUATIONS["velocity"]), Limiter(ACTUATIONS["torque"])
REAL = Limiter(ACTUATIONS["velocity"], REAL_LIMITS)
BOTH = pytest.mark.parametrize("limiter", [VELOCITY, TORQUE], ids=["velocity", "torque"])
ALL = pytest.mark.parametrize("limiter", [VELOCITY, TORQUE, REAL], ids=["velocity", "torque", "real"])
WIDE = Limits(box_low_m=(-2, -2, -2), box_high_m=(2, 2, 2))


def reading(q_rad=NEUTRAL_RAD, qd_rad_s=None, hand_m=None) -> ArmReading:
    qd = np.zeros(7) if qd_rad_s is None else np.asarray(qd_rad_s, float)
    hand = forward(q_rad).position_m if hand_m is None else np.asarray(hand_m, float)
    return ArmReading(np.asarray(q_rad, float), qd, hand)


@BOTH
def test_apply_gentle_command_passes_untouched(limiter: Limiter) -> None:
    command = 0.2 * limiter.actuation.scale
    limited = limiter.apply(command, reading())
    np.testing.assert_array_equal(limited.command, command)
    assert (limited.layer, limited.rejected) == ("", False)


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_apply_not_finite_rejected_with_zero(limiter: Limiter, bad: float) -> None:
    limited = limiter.apply([0, 0, bad, 0, 0, 0, 0], reading())
    assert (limited.layer, limited.rejected) == ("not finite", True)
    assert not limited.command.any()


@ALL
@pytest.mark.parametrize("bad", [[0.0] * 6, [[0.0] * 7], 1.0, ["x"] * 7, [[1.0], [1.0, 2.0]], None])
def test_apply_wrong_shape_rejected_with_zero(limiter: Limiter, bad: object) -> None:
    limited = limiter.apply(bad, reading())  # type: ignore[arg-type]
    assert limited.rejected
    assert limited.layer in ("shape", "not finite")
    assert limited.command.shape == (7,)
    assert not limited.command.any()


@BOTH
def test_apply_unusable_reading_rejected(limiter: Limiter) -> None:
    for broken in (
        reading(hand_m=[np.nan, 0, 0]),
        reading(qd_rad_s=np.zeros(6)),
        reading(q_rad=NEUTRAL_RAD, hand_m=[0]),
    ):
        limited = limiter.apply(np.zeros(7), broken)
        assert (limited.layer, limited.rejected) == ("reading", True)


def test_apply_default_limits_check_no_age_and_no_acceleration() -> None:
    old = ArmReading(NEUTRAL_RAD, np.zeros(7), forward(NEUTRAL_RAD).position_m, np.nan, np.zeros(7))
    command = 0.2 * VELOCITY.actuation.scale
    assert VELOCITY.apply(command, old).command.tobytes() == command.tobytes()


def test_apply_velocity_too_fast_keeps_direction() -> None:
    command = np.array([3.0, 0, 0, 0, 0, 0, 6.0])
    limited = VELOCITY.apply(command, reading())
    assert "velocity" in limited.layer
    np.testing.assert_allclose(limited.command / limited.command[0], command / command[0])
    assert np.abs(limited.command / VELOCITY.actuation.scale).max() == pytest.approx(1.0)


def test_apply_velocity_scale_slows_all_joints() -> None:
    slow = Limiter(ACTUATIONS["velocity"], Limits(velocity_scale=0.1))
    limited = slow.apply(VELOCITY.actuation.scale * [1, 0, 0, 0, 0, 0, 0], reading())
    assert limited.command[0] == pytest.approx(0.1 * QD_MAX_RAD_S[0])


def test_apply_velocity_into_joint_limit_stops_that_joint_only() -> None:
    q_rad = NEUTRAL_RAD.copy()
    q_rad[6] = Q_UPPER_RAD[6] - 0.01
    limited = VELOCITY.apply(0.2 * VELOCITY.actuation.scale, reading(q_rad))
    assert limited.layer == "joint limit"
    assert limited.command[6] == 0.0
    np.testing.assert_array_equal(limited.command[:6], 0.2 * VELOCITY.actuation.scale[:6])


def test_apply_velocity_out_of_joint_limit_allowed() -> None:
    q_rad = NEUTRAL_RAD.copy()
    q_rad[6] = Q_UPPER_RAD[6] + 0.1
    limited = VELOCITY.apply([0, 0, 0, 0, 0, 0, -0.3], reading(q_rad))
    assert (limited.layer, limited.command[6]) == ("", -0.3)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1, 1])
def test_apply_velocity_at_box_side_only_outward_motion_stops(axis: int, side: int) -> None:
    hand_m = np.array([0.55, 0.0, 0.4])
    hand_m[axis] = (Limits().box_low_m if side < 0 else Limits().box_high_m)[axis]
    linear = jacobian(NEUTRAL_RAD)[:3]
    push = np.linalg.pinv(linear) @ (0.05 * side * np.eye(3)[axis] + 0.03 * np.eye(3)[axis - 1])
    outward = VELOCITY.apply(push, reading(hand_m=hand_m))
    moved = linear @ outward.command
    assert outward.layer == "box"
    assert side * moved[axis] <= 0
    assert moved[axis - 1] == pytest.approx(0.03, rel=0.2)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1, 1])
def test_apply_velocity_outside_box_inward_motion_passes(axis: int, side: int) -> None:
    hand_m = np.array([0.55, 0.0, 0.4])
    hand_m[axis] = (Limits().box_low_m if side < 0 else Limits().box_high_m)[axis] + 0.1 * side
    inward = np.linalg.pinv(jacobian(NEUTRAL_RAD)[:3]) @ (-0.05 * side * np.eye(3)[axis])
    limited = VELOCITY.apply(inward, reading(hand_m=hand_m))
    assert limited.layer == ""
    np.testing.assert_array_equal(limited.command, inward)


def test_apply_torque_above_scale_clipped() -> None:
    limited = Limiter(ACTUATIONS["torque"], WIDE).apply(2 * TORQUE.actuation.scale, reading())
    assert limited.layer.startswith("torque")
    assert np.abs(limited.command / TORQUE.actuation.scale).max() <= 1.0


def test_apply_torque_too_fast_joint_brakes() -> None:
    qd_rad_s = np.zeros(7)
    qd_rad_s[4] = 1.2 * QD_MAX_RAD_S[4]
    limited = Limiter(ACTUATIONS["torque"], WIDE).apply(np.zeros(7), reading(qd_rad_s=qd_rad_s))
    assert limited.layer == "velocity"
    assert limited.command[4] < 0
    assert not np.delete(limited.command, 4).any()


def test_apply_torque_hand_heading_out_all_joints_brake() -> None:
    qd_rad_s = np.linalg.pinv(jacobian(NEUTRAL_RAD)[:3]) @ (0, 0, -0.4)
    hand_m = [0.5, 0.1, 0.05]
    limited = TORQUE.apply(np.zeros(7), reading(qd_rad_s=qd_rad_s, hand_m=hand_m))
    assert limited.layer == "box"
    assert (limited.command * qd_rad_s <= 0).all()


def test_apply_torque_standing_outside_box_way_back_is_open() -> None:
    lift = TORQUE.actuation.scale * [0, -1, 0, 0, 0, 0, 0]
    assert (jacobian(NEUTRAL_RAD)[:3] @ lift)[2] > 0
    limited = TORQUE.apply(lift, reading(hand_m=[0.5, 0.1, 0.0]))
    np.testing.assert_array_equal(limited.command, lift)


finite = st.floats(-1e6, 1e6)


@BOTH
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    command=arrays(float, 7, elements=finite),
    qd_rad_s=arrays(float, 7, elements=st.floats(-5, 5)),
    away_rad=arrays(float, 7, elements=st.floats(-4, 4)),
)
def test_apply_anything_is_an_action(limiter: Limiter, command, qd_rad_s, away_rad) -> None:
    limited = limiter.apply(command, reading(NEUTRAL_RAD + away_rad, qd_rad_s))
    assert limited.command.shape == (7,)
    assert np.isfinite(limited.command).all()
    assert np.abs(limiter.actuation.to_action(limited.command)).max() <= 1.0 + 1e-6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    command=arrays(float, 7, elements=st.floats(-4, 4)),
    away_rad=arrays(float, 7, elements=st.floats(-0.5, 0.5)),
)
def test_apply_velocity_twice_changes_nothing_more(command, away_rad) -> None:
    here = reading(NEUTRAL_RAD + away_rad)
    once = VELOCITY.apply(command, here).command
    np.testing.assert_allclose(VELOCITY.apply(once, here).command, once, atol=1e-2)


def test_apply_leaves_its_arguments_alone() -> None:
    command, here = np.full(7, 9.0), reading()
    kept = command.copy(), here.q_rad.copy()
    VELOCITY.apply(command, here)
    TORQUE.apply(command, here)
    np.testing.assert_array_equal(command, kept[0])
    np.testing.assert_array_equal(here.q_rad, kept[1])
