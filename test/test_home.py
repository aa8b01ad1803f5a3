"""The drive home, on paper and in simulation."""

import numpy as np
import pytest

from tdm_ros.envs.sawyer_sim import SUBSTEPS, SawyerSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import HOME_LIMITS, ArmCycle, at_home, home_velocity
from tdm_ros.robots.limiter import Limiter
from tdm_ros.robots.sawyer import NEUTRAL_RAD, QD_MAX_RAD_S


def test_home_velocity_far_away_fastest_joint_at_speed_limit() -> None:
    velocity = home_velocity(NEUTRAL_RAD + np.array([2, 0.5, 0, -1, 0, 0, 0]), NEUTRAL_RAD, speed=0.3)
    assert np.abs(velocity / QD_MAX_RAD_S).max() == pytest.approx(0.3)


def test_home_velocity_points_straight_at_target() -> None:
    gap = np.array([2, 0.5, 0, -1, 0, 0, 0.1])
    velocity = home_velocity(NEUTRAL_RAD + gap, NEUTRAL_RAD)
    np.testing.assert_allclose(velocity / np.linalg.norm(velocity), -gap / np.linalg.norm(gap))


def test_home_velocity_near_target_slows_in_proportion() -> None:
    near = home_velocity(NEUTRAL_RAD + 0.01, NEUTRAL_RAD)
    np.testing.assert_allclose(home_velocity(NEUTRAL_RAD + 0.005, NEUTRAL_RAD), near / 2)


@pytest.mark.parametrize("wrong", [{"speed": 0.0}, {"speed": 1.1}, {"gain_hz": 0.0}, {"gain_hz": 30.0}])
def test_home_velocity_senseless_setting_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        home_velocity(NEUTRAL_RAD, NEUTRAL_RAD, **wrong)


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
    sim = SawyerSim(policy)
    away = ArmCycle(sim, Limiter(policy), policy)
    home = ArmCycle(sim, Limiter(velocity, HOME_LIMITS), velocity)
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
