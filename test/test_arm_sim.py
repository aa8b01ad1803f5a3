"""The physics of the arm: it stands, moves as told, and never passes through table or pedestal."""

import mujoco
import numpy as np
import pytest

from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.mjcf import robot_xml
from tdm_ros.robots.sawyer import EFFORT_MAX_N_M, NEUTRAL_RAD

NAMES = tuple(ACTUATIONS)


@pytest.fixture(scope="module", params=NAMES)
def sim(request: pytest.FixtureRequest) -> ArmSim:
    return ArmSim(ACTUATIONS[request.param])


def test_hold_neutral_stays_put_and_touches_nothing(sim: ArmSim) -> None:
    assert sim.model.opt.timestep * SUBSTEPS == pytest.approx(0.05)
    sim.reset(NEUTRAL_RAD)
    assert sim.data.ncon == 0
    sim.advance(500)
    np.testing.assert_allclose(sim.reading().q_rad, NEUTRAL_RAD, atol=1e-4)


def test_torque_zero_gravity_is_compensated(sim: ArmSim) -> None:
    sim.reset(NEUTRAL_RAD)
    sim.drive("torque", np.zeros(7))
    sim.advance(500)
    np.testing.assert_allclose(sim.reading().q_rad, NEUTRAL_RAD, atol=1e-3)


@pytest.mark.parametrize("joint", range(7))
def test_drive_velocity_joint_follows_and_others_stay(joint: int) -> None:
    sim = ArmSim(ACTUATIONS["velocity"])
    wanted = 0.4 * ACTUATIONS["velocity"].scale * np.eye(7)[joint]
    sim.reset(NEUTRAL_RAD)
    sim.drive("velocity", wanted)
    sim.advance(2 * SUBSTEPS)
    speed = sim.reading().qd_rad_s
    assert speed[joint] == pytest.approx(wanted[joint], rel=0.25)
    assert np.abs(np.delete(speed, joint)).max() < 0.05


def test_drive_torque_pushes_joint_and_is_reported() -> None:
    sim = ArmSim(ACTUATIONS["torque"])
    torque = ACTUATIONS["torque"].scale * [0, -1, 0, 0, 0, 0, 0]
    sim.reset(NEUTRAL_RAD)
    sim.drive("torque", torque)
    sim.advance(SUBSTEPS)
    np.testing.assert_allclose(sim.effort(), torque)
    assert sim.reading().qd_rad_s[1] < -0.1


def test_drive_change_of_mode_leaves_no_force_of_the_other() -> None:
    sim = ArmSim(ACTUATIONS["torque"])
    sim.reset(NEUTRAL_RAD)
    sim.drive("velocity", np.full(7, 0.5))
    sim.advance(SUBSTEPS)
    sim.drive("torque", np.zeros(7))
    sim.advance(1)
    assert not sim.effort().any()


def test_effort_never_exceeds_limits() -> None:
    sim = ArmSim(ACTUATIONS["velocity"])
    sim.reset(NEUTRAL_RAD)
    sim.drive("velocity", np.full(7, 100.0))
    for _ in range(20):
        sim.advance(1)
        assert (np.abs(sim.effort()) <= EFFORT_MAX_N_M + 1e-9).all()


def test_low_damping_keeps_momentum() -> None:
    coasted = {}
    for name in ("torque", "torque_low_damping"):
        sim = ArmSim(ACTUATIONS[name])
        sim.reset(NEUTRAL_RAD)
        sim.drive("velocity", [0.5, 0, 0, 0, 0, 0, 0])
        sim.advance(SUBSTEPS)
        sim.drive("torque", np.zeros(7))
        sim.advance(4 * SUBSTEPS)
        coasted[name] = sim.reading().qd_rad_s[0]
    assert coasted["torque"] < 0.05
    assert coasted["torque_low_damping"] > 0.3


def test_reading_hand_belongs_to_the_same_instant_as_joints() -> None:
    sim = ArmSim(ACTUATIONS["velocity"])
    sim.reset(NEUTRAL_RAD)
    sim.drive("velocity", np.full(7, 0.5))
    sim.advance(7)
    now = sim.reading()
    np.testing.assert_allclose(now.hand_m, forward(now.q_rad).position_m, atol=1e-9)


def test_reading_is_a_copy() -> None:
    sim = ArmSim(ACTUATIONS["velocity"])
    before = sim.reading()
    sim.drive("velocity", np.full(7, 0.5))
    sim.advance(SUBSTEPS)
    np.testing.assert_array_equal(before.q_rad, NEUTRAL_RAD)


@pytest.mark.parametrize(("way_m_s", "part"), [((0, 0, -0.3), "table"), ((-0.3, -0.1, -0.1), "pedestal or body")])
def test_drive_into_the_room_unlimited_arm_does_not_pass_through(way_m_s, part: str) -> None:
    """No limiter here: the servos push with full effort for three seconds."""
    sim = ArmSim(ACTUATIONS["velocity"])
    sim.reset(NEUTRAL_RAD)
    deepest_m = 0.0
    for _ in range(60):
        linear = jacobian(sim.reading().q_rad)[:3]
        sim.drive("velocity", linear.T @ np.linalg.solve(linear @ linear.T + 1e-2 * np.eye(3), way_m_s))
        sim.advance(SUBSTEPS)
        deepest_m = min(deepest_m, *(c.dist for c in sim.data.contact), 0.0)
    assert deepest_m < 0.0, f"never touched the {part}"
    assert deepest_m > -0.01


@pytest.mark.parametrize(
    "wrong",
    [
        lambda sim: sim.drive("position", np.zeros(7)),
        lambda sim: sim.drive("velocity", np.zeros(6)),
        lambda sim: sim.drive("torque", [np.nan] * 7),
        lambda sim: sim.reset(np.full(7, np.inf)),
        lambda sim: sim.advance(-1),
    ],
)
def test_sim_senseless_argument_rejected(sim: ArmSim, wrong) -> None:
    with pytest.raises(ValueError, match="must be"):
        wrong(sim)


def test_xml_paint_never_touches() -> None:
    model = mujoco.MjModel.from_xml_string(robot_xml())
    seen = model.geom_group == 2
    assert seen.sum() > 40
    assert not model.geom_contype[seen].any()
    assert not model.geom_conaffinity[seen].any()
