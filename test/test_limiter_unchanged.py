"""In simulation the limiter does, to the last bit, what it did when the published results were made."""

import numpy as np
import pytest
from limiter_for_tests import OldLimiter

from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import HOME_LIMITS
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.limiter import ArmReading, Limiter, Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD

CASES = 2000


@pytest.mark.parametrize("limits", [Limits(), HOME_LIMITS], ids=["default", "home"])
@pytest.mark.parametrize("name", ACTUATIONS)
def test_apply_limits_of_simulation_same_bits_as_before(name: str, limits: Limits) -> None:
    kind, rng = ACTUATIONS[name], np.random.default_rng(3)
    now, before, acted = Limiter(kind, limits), OldLimiter(kind, limits), set()
    for k in range(CASES):
        q_rad = NEUTRAL_RAD + rng.normal(size=7) * rng.choice([0.05, 0.3, 1.0, 3.0])
        qd_rad_s = rng.normal(size=7) * rng.choice([0.0, 0.3, 2.0])
        hand_m = forward(q_rad).position_m if k % 3 else rng.uniform((0.05, -0.7, -0.1), (1.1, 0.7, 1.0))
        command = kind.scale * rng.normal(size=7) * rng.choice([0.1, 1.0, 1e6])
        reading = ArmReading(q_rad, qd_rad_s, hand_m, age_s=99.0, commanded_rad_s=rng.normal(size=7))
        limited, (values, layer) = now.apply(command, reading), before.apply(command, reading)
        assert limited.command.tobytes() == values.tobytes(), f"case {k}"
        assert limited.layer == layer
        acted |= set(layer.split(" + "))
    assert acted >= {"", "box", "joint limit", "velocity"}  # each was tried


def test_apply_default_limits_judge_no_age_and_no_acceleration() -> None:
    reading = ArmReading(NEUTRAL_RAD, np.zeros(7), forward(NEUTRAL_RAD).position_m, np.nan, np.zeros(7))
    command = 0.2 * ACTUATIONS["velocity"].scale
    assert Limiter(ACTUATIONS["velocity"]).apply(command, reading).command.tobytes() == command.tobytes()
