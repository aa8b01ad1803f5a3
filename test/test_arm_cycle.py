"""One cycle of the arm, and that the environment and the live arm are the same arm."""

import numpy as np
import pytest

from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.envs.reach_env import ReachEnv
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle, at_home, home_velocity
from tdm_ros.robots.limiter import Limiter, Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD, QD_MAX_RAD_S, SAWYER


def make(name: str = "velocity") -> ArmCycle:
    kind = ACTUATIONS[name]
    return ArmCycle(ArmSim(kind), Limiter(kind), kind)


def test_finish_whole_cycle_reports_the_command() -> None:
    cycle, action = make(), np.array([0.3, -0.2, 0.1, 0.0, 0.5, -0.5, 0.2], np.float32)
    cycle.command(cycle.actuation.to_command(action))
    cycle.advance(SUBSTEPS)
    executed = cycle.finish()
    np.testing.assert_allclose(executed.action, action, atol=1e-6)
    assert executed.action.dtype == np.float32
    assert (executed.limited, executed.layer) == (False, "")


def test_finish_late_command_reports_mean_over_time() -> None:
    cycle = make()
    cycle.command(cycle.actuation.to_command(np.full(7, 0.1)))
    cycle.advance(20)
    cycle.command(cycle.actuation.to_command(np.full(7, -0.4)))
    cycle.advance(5)
    np.testing.assert_allclose(cycle.finish().action, 0.0, atol=1e-6)


def test_finish_no_new_command_last_one_continues() -> None:
    cycle = make()
    cycle.command(cycle.actuation.to_command(np.full(7, 0.2)))
    for _ in range(2):
        cycle.advance(SUBSTEPS)
        np.testing.assert_allclose(cycle.finish().action, 0.2, atol=1e-6)


def test_hold_moving_arm_stops_within_two_cycles() -> None:
    cycle = make("torque_low_damping")
    for _ in range(8):
        cycle.command(cycle.actuation.to_command([1, 0, 0, 0, 0, 0, 0]))
        cycle.advance(SUBSTEPS)
        cycle.finish()
    assert cycle.reading().qd_rad_s[0] > 0.3
    cycle.hold()
    cycle.advance(2 * SUBSTEPS)
    assert np.abs(cycle.reading().qd_rad_s).max() < 0.02
    assert not cycle.finish().action.any()


def test_command_not_finite_holds_and_reports_it() -> None:
    cycle = make()
    cycle.command(np.full(7, 0.3))
    cycle.advance(SUBSTEPS)
    cycle.finish()
    assert cycle.command(np.full(7, np.nan)).rejected
    cycle.advance(SUBSTEPS)
    executed = cycle.finish()
    assert (executed.limited, executed.layer) == (True, "not finite")
    assert not executed.action.any()
    assert np.abs(cycle.reading().qd_rad_s).max() < 0.02


def test_command_limited_executed_action_is_what_moved_the_arm() -> None:
    cycle = make()
    down = cycle.actuation.to_command([0, 1, 0, 0, 0, 0, 0])
    for _ in range(40):
        limited = cycle.command(down)
        cycle.advance(SUBSTEPS)
        executed = cycle.finish()
        np.testing.assert_allclose(executed.action, cycle.actuation.to_action(limited.command), atol=1e-6)
    assert "box" in executed.layer


def test_command_its_array_changed_later_arm_unmoved_by_that() -> None:
    cycle, values = make(), np.full(7, 0.1)
    cycle.command(values)
    values[:] = 100.0
    cycle.advance(SUBSTEPS)
    cycle.finish()
    cycle.advance(SUBSTEPS)
    np.testing.assert_allclose(cycle.finish().action, ACTUATIONS["velocity"].to_action(np.full(7, 0.1)), rtol=1e-5)


@pytest.mark.parametrize("name", ACTUATIONS)
def test_environment_and_live_arm_same_actions_same_states(name: str) -> None:
    """The arm node reads, finishes the cycle, takes the command at once, and lets time pass in pieces."""
    env, cycle, rng = ReachEnv(name), make(name), np.random.default_rng(5)
    env.reset(seed=0, options={"q_rad": NEUTRAL_RAD})
    cycle.arm.reset(NEUTRAL_RAD)
    cycle.restart()
    action = np.zeros(7)
    for k in range(80):
        action = np.clip(0.85 * action + 0.5 * rng.normal(size=7), -1, 1)
        sent = action.astype(np.float32)
        observation, _, _, _, info = env.step(sent)
        cycle.command(cycle.actuation.to_command(sent))
        for piece in (3, 0, 12, 10):
            cycle.advance(piece)
        executed, now = cycle.finish(), cycle.reading()
        np.testing.assert_array_equal(env.sim.reading().q_rad, now.q_rad, err_msg=f"cycle {k}")
        np.testing.assert_array_equal(env.sim.reading().qd_rad_s, now.qd_rad_s)
        np.testing.assert_array_equal(observation["achieved_goal"], now.hand_m.astype(np.float32))
        np.testing.assert_allclose(info["executed_action"], executed.action, atol=1e-6)
        assert (info["limited"], info["limiter"]) == (executed.limited, executed.layer)


# The drive home


def test_home_velocity_far_away_fastest_joint_at_speed_limit() -> None:
    velocity = home_velocity(NEUTRAL_RAD + np.array([2, 0.5, 0, -1, 0, 0, 0]), NEUTRAL_RAD)
    assert np.abs(velocity / QD_MAX_RAD_S).max() == pytest.approx(0.4)


def test_home_velocity_points_straight_at_target() -> None:
    gap = np.array([2, 0.5, 0, -1, 0, 0, 0.1])
    velocity = home_velocity(NEUTRAL_RAD + gap, NEUTRAL_RAD)
    np.testing.assert_allclose(velocity / np.linalg.norm(velocity), -gap / np.linalg.norm(gap))


def test_home_velocity_near_target_slows_in_proportion() -> None:
    near = home_velocity(NEUTRAL_RAD + 0.01, NEUTRAL_RAD)
    np.testing.assert_allclose(home_velocity(NEUTRAL_RAD + 0.005, NEUTRAL_RAD), near / 2)


def test_home_velocity_wrong_size_rejected() -> None:
    with pytest.raises(ValueError, match="7 angles"):
        home_velocity(np.zeros(6), np.zeros(6))


def test_at_home_moving_or_elsewhere_is_not_home() -> None:
    still = np.zeros(7)
    assert at_home(NEUTRAL_RAD, still, NEUTRAL_RAD)
    assert not at_home(NEUTRAL_RAD, still + 0.2, NEUTRAL_RAD)
    assert not at_home(NEUTRAL_RAD + 0.1 * np.eye(7)[0], still, NEUTRAL_RAD)


@pytest.mark.parametrize("name", ACTUATIONS)
def test_home_drive_from_wherever_random_actions_led_arrives(name: str) -> None:
    policy, velocity = ACTUATIONS[name], ACTUATIONS["velocity"]
    sim = ArmSim(policy)
    away = ArmCycle(sim, Limiter(policy), policy)
    home = ArmCycle(sim, Limiter(velocity, Limits(*SAWYER.drive_home_box_m)), velocity)
    for seed in (1, 18, 20, 35):
        rng, action = np.random.default_rng(seed), np.zeros(7)
        sim.reset(NEUTRAL_RAD)
        for _ in range(300):
            action = np.clip(0.85 * action + 0.5 * rng.normal(size=7), -1, 1)
            away.command(policy.to_command(action))
            away.advance(SUBSTEPS)
        away.hold()
        for _ in range(200):
            now = sim.reading()
            if at_home(now.q_rad, now.qd_rad_s, NEUTRAL_RAD):
                break
            home.command(home_velocity(now.q_rad, NEUTRAL_RAD))
            home.advance(SUBSTEPS)
        assert at_home(now.q_rad, now.qd_rad_s, NEUTRAL_RAD), f"seed {seed}: still at {now}"
