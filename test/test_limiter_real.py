"""The layers of a real arm, one by one; `test_limiter_hostile.py` closes the loop."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.capsules import BODY, CAPSULES, PAIRS, PEDESTAL, capsule_ends, gaps
from tdm_ros.robots.hostile import MARGINS, margins, roomy, starts
from tdm_ros.robots.kinematics import forward, jacobian, link_frames
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.limiter_layers import layers_of, posture
from tdm_ros.robots.limits import CYCLE_S, REAL_LIMITS, STEADY, real_limits
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S, QDD_MAX_RAD_S2

VELOCITY = ACTUATIONS["velocity"]
REAL, ROOMY = Limiter(VELOCITY, REAL_LIMITS), Limiter(VELOCITY, roomy(REAL_LIMITS))
FAST = 0.25 * QD_MAX_RAD_S
GENTLE = np.array([0.02, -0.02, 0.02, 0.02, 0.03, -0.03, 0.05])


def reading(q_rad=NEUTRAL_RAD, commanded_rad_s=FAST, **given) -> ArmReading:
    q = np.asarray(q_rad, float)
    return ArmReading(q, np.zeros(7), forward(q).position_m, commanded_rad_s=commanded_rad_s, **given)


def only(**bounds) -> Limiter:
    """A limiter with default limits and these."""
    return Limiter(VELOCITY, Limits(box_low_m=(-2, -2, -2), box_high_m=(2, 2, 2), **bounds))


def test_apply_gentle_command_in_the_middle_passes_untouched() -> None:
    limited = REAL.apply(GENTLE, reading())
    assert (limited.layer, limited.rejected) == ("", False)
    assert limited.command.tobytes() == GENTLE.tobytes()


def test_apply_all_layers_at_once_names_those_that_acted_in_their_order() -> None:
    q_rad = NEUTRAL_RAD.copy()
    q_rad[6] = Q_UPPER_RAD[6] - 0.05
    limited = REAL.apply(np.full(7, 9.0), reading(q_rad, np.zeros(7)))
    names = limited.layer.split(" + ")
    order = ["joint limit", "velocity", "acceleration", "box", *layers_of(REAL_LIMITS)]
    assert names == sorted(names, key=order.index)
    assert names[:3] == order[:3]


@pytest.mark.parametrize("age_s", [0.1001, 5.0, -0.01, np.nan, np.inf])
def test_apply_stale_state_holds(age_s: float) -> None:
    limited = REAL.apply(GENTLE, reading(age_s=age_s))
    assert (limited.layer, limited.rejected) == ("stale", True)
    assert not limited.command.any()


def test_apply_state_just_in_time_passes() -> None:
    assert not REAL.apply(GENTLE, reading(age_s=0.1)).rejected


@pytest.mark.parametrize("commanded", [np.zeros(6), np.full(7, np.nan)])
def test_apply_unusable_command_of_the_cycle_before_holds(commanded) -> None:
    assert REAL.apply(GENTLE, reading(commanded_rad_s=commanded)).layer == "reading"


def test_apply_acceleration_gain_in_a_cycle_is_bounded_and_braking_is_not() -> None:
    limiter, gain = only(acceleration_scale=0.25), 0.25 * QDD_MAX_RAD_S2 * CYCLE_S
    before = np.array([0.3, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    forth = limiter.apply([0.8, 0.1, 0, 0, 0, 0, 0], reading(commanded_rad_s=before))
    assert forth.layer == "acceleration"
    np.testing.assert_allclose(forth.command[:2], (0.3 + gain[0]) * np.array([1, 1 / 8]))
    back = limiter.apply([-0.8, 0.1, 0, 0, 0, 0, 0], reading(commanded_rad_s=before))
    assert back.command[0] == pytest.approx(-gain[0])
    assert limiter.apply(np.zeros(7), reading(commanded_rad_s=before)).layer == ""


def test_apply_acceleration_command_before_unknown_measured_velocity_stands_in() -> None:
    limiter, moving = only(acceleration_scale=0.25), reading(commanded_rad_s=None)
    command = [0.5, 0, 0, 0, 0, 0, 0]
    assert limiter.apply(command, moving).layer == "acceleration"
    assert limiter.apply(command, replace(moving, qd_rad_s=np.full(7, 0.5))).layer == ""


def test_apply_hand_speed_is_bounded_and_keeps_direction() -> None:
    limiter = only(hand_speed_m_s=0.2)
    command = np.array([0.8, 0.2, -0.3, 0.1, 0.2, 0.1, 0.0])
    limited = limiter.apply(command, reading())
    assert limited.layer == "hand speed"
    assert np.linalg.norm(jacobian(NEUTRAL_RAD)[:3] @ limited.command) <= 0.2
    np.testing.assert_allclose(limited.command / limited.command[0], command / command[0])


def test_apply_hand_speed_is_bounded_whichever_joints_obey() -> None:
    """Joints that cancel out at the hand are fast, until one of them sticks."""
    limiter, linear = only(hand_speed_m_s=0.2), jacobian(NEUTRAL_RAD)[:3]
    still = np.linalg.svd(linear)[2][3:].sum(axis=0)
    sent = limiter.apply(9 * still, reading()).command
    obeying = np.random.default_rng(0).uniform(0, 1, (500, 7))
    assert 0.1 < np.linalg.norm((obeying * sent) @ linear.T, axis=1).max() < 0.2


def test_apply_low_link_may_rise_not_sink() -> None:
    limits = Limits(box_low_m=(-2, -2, -2), links_low_m=(-1, -1, 0.19), links_high_m=(2, 2, 2))
    limiter, lift = Limiter(VELOCITY, limits), np.linalg.pinv(jacobian(NEUTRAL_RAD)) @ [0, 0, 0.05, 0, 0, 0]
    assert margins(NEUTRAL_RAD, replace(limits, clearance_m=0.02))["links"] < 0.02  # the wrist is the lowest
    down, up = limiter.apply(-lift, reading()), limiter.apply(lift, reading())
    assert down.layer == "workspace"
    assert 0 <= -(jacobian(NEUTRAL_RAD)[:3] @ down.command)[2] < 0.01
    assert (jacobian(NEUTRAL_RAD)[:3] @ up.command)[2] > 0.02


def test_apply_part_near_another_may_leave_not_approach() -> None:
    limits, q = roomy(REAL_LIMITS), NEUTRAL_RAD.copy()
    while margins(q, limits)["clearance"] > 0.015 and q[3] < 3.0:
        q[3] += 0.01
        q[5] -= 0.02
    assert 0.01 < margins(q, limits)["clearance"] < 0.02, margins(q, limits)
    left = MARGINS["clearance"]
    slope = np.array([left(q + d, limits) - left(q - d, limits) for d in 1e-4 * np.eye(7)])
    limiter, away = only(clearance_m=0.02), 0.1 * slope / np.abs(slope).max()
    near, far = limiter.apply(-away, reading(q)), limiter.apply(away, reading(q))
    assert near.layer == "self-collision"
    assert np.linalg.norm(near.command) < 0.4 * np.linalg.norm(away)
    assert np.linalg.norm(far.command) > 0.5 * np.linalg.norm(away)


def test_apply_on_the_way_to_a_singular_posture_slows_down_before_it() -> None:
    limiter, q = only(singular_m=0.1), NEUTRAL_RAD.copy()

    def least(q_rad: np.ndarray) -> float:
        return float(np.linalg.svd(jacobian(q_rad)[:3], compute_uv=False)[2])

    for _ in range(150):
        slope = np.array([least(q + d) - least(q - d) for d in 1e-4 * np.eye(7)])
        q = q + CYCLE_S * limiter.apply(-slope / np.abs(slope).max(), reading(q)).command
    assert 0.09 < least(q) < 0.12
    assert limiter.apply(0.3 * slope / np.abs(slope).max(), reading(q)).layer == ""


inside = st.integers(0, 10**6).map(lambda seed: starts(roomy(REAL_LIMITS), np.random.default_rng(seed)))
anywhere = arrays(float, 7, elements=st.floats(-3, 3)).map(lambda q: np.clip(q, Q_LOWER_RAD, Q_UPPER_RAD))
wish = arrays(float, 7, elements=st.floats(-1e3, 1e3) | st.floats(-0.5, 0.5))
BOTH = pytest.mark.parametrize("limiter", [REAL, ROOMY], ids=["real", "roomy"])


@BOTH
@settings(max_examples=150, deadline=None, derandomize=True)
@given(command=wish, q_rad=inside | anywhere, before=arrays(float, 7, elements=st.floats(-1, 1)))
def test_apply_twice_same_as_once(limiter: Limiter, command, q_rad, before) -> None:
    here = reading(q_rad, before)
    once = limiter.apply(command, here).command
    np.testing.assert_allclose(limiter.apply(once, here).command, once, rtol=1e-6, atol=1e-9)


@BOTH
@settings(max_examples=150, deadline=None, derandomize=True)
@given(command=wish, q_rad=inside | anywhere, before=arrays(float, 7, elements=st.floats(-1, 1)))
def test_apply_only_joint_limits_and_sliding_change_direction(limiter: Limiter, command, q_rad, before) -> None:
    limited = limiter.apply(command, reading(q_rad, before))
    assert (np.abs(limited.command) <= FAST * (1 + 1e-9)).all()
    gain = np.maximum(before * np.sign(limited.command), 0) + 0.25 * QDD_MAX_RAD_S2 * CYCLE_S
    assert (np.abs(limited.command) <= gain * (1 + 1e-9)).all()
    if not {"joint limit", "box"} & set(limited.layer.split(" + ")):
        size = np.abs(command).max()
        share = np.abs(limited.command).max() / max(size, 1e-300)
        np.testing.assert_allclose(limited.command, share * command, rtol=1e-9, atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(command=wish, q_rad=inside | anywhere, part=st.floats(0, 1))
def test_layers_part_of_what_passes_passes_too(command, q_rad, part: float) -> None:
    """Why a layer's verdict stands whatever the layers behind it take away."""
    arm = posture(reading(q_rad))
    for name, layer in layers_of(REAL_LIMITS).items():
        passed = layer(command, arm, REAL_LIMITS) * command
        assert layer(part * passed, arm, REAL_LIMITS) > 1 - 1e-6, name


def test_limits_of_the_real_arm_are_conservative() -> None:
    assert REAL_LIMITS.velocity_scale <= 0.25
    assert REAL_LIMITS.hand_speed_m_s is not None and REAL_LIMITS.hand_speed_m_s <= 0.2
    assert (np.array(REAL_LIMITS.box_low_m) < (0.45, -0.25, 0.10)).all()
    assert (np.array(REAL_LIMITS.box_high_m) > (0.70, 0.35, 0.45)).all()
    assert min(margins(NEUTRAL_RAD, REAL_LIMITS).values()) > 0.05


def test_real_limits_table_and_tool_raise_the_floor() -> None:
    limits = real_limits(table_height_m=-0.1, tool_length_m=0.12)
    assert limits.box_low_m[2] == pytest.approx(0.07)
    assert limits.links_low_m is not None and limits.links_low_m[2] == pytest.approx(-0.08)
    with pytest.raises(ValueError, match=r"box_low_m must be below"):
        real_limits(table_height_m=0.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("box_low_m", (1.0, -0.6, 0.02)),
        ("box_low_m", (np.nan, -0.6, 0.02)),
        ("box_high_m", (1.0, 2.0)),
        ("joint_margin_rad", -0.1),
        ("velocity_scale", 0.0),
        ("torque_scale", 1.5),
        ("look_ahead_s", 0.01),
        ("age_max_s", 0.0),
        ("acceleration_scale", 2.0),
        ("hand_speed_m_s", np.inf),
        ("hand_speed_m_s", -0.2),
        ("singular_m", np.nan),
        ("clearance_m", 0.0),
        ("delay_s", -0.1),
        ("links_low_m", None),
        ("links_high_m", (0.0, 0.0, 0.0)),
        ("look_ahead_s", 0.5),
    ],
)
def test_limits_senseless_value_rejected_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Limits.*{field}"):
        replace(REAL_LIMITS, **{field: value})


def test_limits_look_ahead_is_what_the_delay_asks_for() -> None:
    assert REAL_LIMITS.look_ahead_s == pytest.approx(STEADY * REAL_LIMITS.horizon_s, abs=0.01)


def test_limiter_torques_within_limits_of_velocities_rejected() -> None:
    with pytest.raises(ValueError, match="need an actuation by velocity"):
        Limiter(ACTUATIONS["torque"], REAL_LIMITS)


# Distances between parts of the arm, against MuJoCo and against a fine grid


MODEL = mujoco.MjModel.from_xml_string(robot_xml())
DATA = mujoco.MjData(MODEL)


def geoms() -> list[int]:
    """The simulated arm's capsules, in the order of ours: the pedestal first."""
    bodies = [0] + [MODEL.body(link).id for link, shapes in CAPSULES.items() if link != "right_arm_base_link"]
    rest = [g for b in bodies for g in range(MODEL.ngeom) if MODEL.geom_bodyid[g] == b and MODEL.geom_group[g] == 3]
    stand, base = (
        next(g for g in rest if MODEL.geom_size[g][0] == radius_m)
        for radius_m in (PEDESTAL.radius_m, CAPSULES["right_arm_base_link"][0].radius_m)
    )
    swinging = [g for g in rest if MODEL.geom_bodyid[g]]
    return [stand, base, *swinging]


@pytest.mark.parametrize("seed", range(8))
def test_least_gap_random_posture_equals_that_of_mujoco(seed: int) -> None:
    q_rad = np.random.default_rng(seed).uniform(Q_LOWER_RAD, Q_UPPER_RAD)
    DATA.qpos[:7] = q_rad
    mujoco.mj_forward(MODEL, DATA)
    order = {int(j): g for j, g in enumerate(geoms())}
    far = [mujoco.mj_geomDistance(MODEL, DATA, order[a], order[b], 3.0, None) for a, b in PAIRS]
    assert gaps(capsule_ends(link_frames(q_rad))).gap_m.min() == pytest.approx(min(far), abs=1e-6)


def test_gaps_parallel_and_crossing_capsules_nearest_place_is_found() -> None:
    ends, grid = capsule_ends(link_frames(NEUTRAL_RAD)), np.linspace(0, 1, 201)[:, None]
    rng = np.random.default_rng(1)
    for k in range(20):
        ends = ends + 0.2 * rng.normal(size=ends.shape)
        if k % 2:
            ends[:, 1] = ends[:, 0] + rng.normal(size=3) * 0.3  # all side by side
        assert np.abs(gaps(ends).place_m).max() < 10  # also where parallel axes cross nowhere
        least = gaps(ends).gap_m.reshape(5, -1).min(axis=0)
        for (a, b), gap in zip(PAIRS, least, strict=True):
            on_a, on_b = (e[0] + grid * (e[1] - e[0]) for e in (ends[a], ends[b]))
            apart = np.linalg.norm(on_a[:, None] - on_b[None], axis=2).min()
            assert gap == pytest.approx(apart - BODY.radius_m[[a, b]].sum(), abs=5e-3)


def test_pairs_neighbours_and_their_neighbours_left_out() -> None:
    assert all(abs(BODY.joints[a] - BODY.joints[b]) >= 3 for a, b in PAIRS)
    assert len(PAIRS) == 30
    assert PEDESTAL.radius_m == BODY.radius_m[0]
