"""No sequence of commands takes an arm behind `REAL_LIMITS` out of them, though each acts up to 0.2 s too late."""

import numpy as np
import pytest
from hostile_for_tests import Physics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.robots.arm import ACTUATIONS
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.hostile import (
    COMMANDERS,
    LATENESSES,
    ROUNDING,
    Episode,
    Integrator,
    Worst,
    margins,
    roomy,
    run_episode,
    starts,
)
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter import ArmReading, Limiter
from tdm_ros.robots.limits import REAL_LIMITS
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD, QD_MAX_RAD_S

LIMITERS = [Limiter(ACTUATIONS["velocity"], limits) for limits in (REAL_LIMITS, roomy(REAL_LIMITS))]
CYCLES = 125
"""For each commander (10), lateness (4) and limiter (2): 10 000 in all."""


def check(worst: Worst) -> None:
    assert min(worst.left.values()) >= -ROUNDING, worst


@pytest.mark.parametrize("lateness", LATENESSES)
@pytest.mark.parametrize("name", COMMANDERS)
def test_arm_hostile_commands_stays_within_all_limits(name: str, lateness: str) -> None:
    for k, limiter in enumerate(LIMITERS):
        rng = np.random.default_rng([k, LATENESSES.index(lateness), list(COMMANDERS).index(name)])
        worst = run_episode(Integrator(rng), limiter, Episode(name, lateness, CYCLES), rng)
        check(worst)
        assert worst.cycles == CYCLES
        assert worst.left["joints"] >= REAL_LIMITS.joint_margin_rad - ROUNDING  # without using up the margin


@pytest.mark.parametrize("name", COMMANDERS)
def test_arm_joints_move_less_than_commanded_stays_within_all_limits(name: str) -> None:
    for k, limiter in enumerate(LIMITERS):
        rng = np.random.default_rng([k, 17, list(COMMANDERS).index(name)])
        check(run_episode(Integrator(rng, sticky=True), limiter, Episode(name, "old reading", 100), rng))


@pytest.mark.parametrize("seed", range(3))
def test_arm_only_joints_that_lead_out_obey_stays_in_box(seed: int) -> None:
    """Of a motion that leaves the hand where it is, near a wall, the joints that would hold it back stand still."""
    limiter, rng, sent = LIMITERS[0], np.random.default_rng(seed), np.zeros(7)
    q = starts(REAL_LIMITS, rng)
    least = np.inf
    for k in range(250):
        hand, linear = forward(q).position_m, jacobian(q)[:3]
        room = np.concatenate([hand - REAL_LIMITS.box_low_m, REAL_LIMITS.box_high_m - hand])
        outward = np.concatenate([-linear, linear])[room.argmin()]
        still = np.linalg.svd(linear)[2][3:].T @ rng.normal(size=4)
        wanted = 0.3 * outward if k < 100 else 0.3 * still / np.abs(still).max()
        sent = limiter.apply(wanted, ArmReading(q, sent, hand, commanded_rad_s=sent)).command
        q = q + 0.05 * np.where((outward * sent > 0) | (k < 100), sent, 0.0)
        least = min(least, margins(q, REAL_LIMITS)["box"])
    assert 0 <= least < 0.009  # it did lead out, somewhat


@pytest.mark.parametrize("name", COMMANDERS)
def test_simulated_arm_hostile_commands_stays_within_all_limits(name: str) -> None:
    for k, limiter in enumerate(LIMITERS):
        rng = np.random.default_rng([k, 31, list(COMMANDERS).index(name)])
        check(run_episode(Physics(), limiter, Episode(name, "old reading", 75), rng))


extreme = st.sampled_from([-1e9, -2.0, -0.3, 0.0, 0.3, 2.0, 1e9]) | st.floats(-2, 2) | st.just(np.nan)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=arrays(float, (10, 7), elements=extreme), age=st.integers(0, 4), seed=st.integers(0, 999))
def test_arm_any_sequence_stays_within_all_limits(rows, age: int, seed: int) -> None:
    limiter = LIMITERS[seed % 2]
    limits, past, sent = limiter.limits, [starts(limiter.limits, np.random.default_rng(seed))] * 5, np.zeros(7)
    for row in np.repeat(rows, 3, axis=0):
        late = past[-1 - age]
        sent = limiter.apply(row, ArmReading(late, sent, forward(late).position_m, commanded_rad_s=sent)).command
        past = [*past[1:], past[-1] + 0.05 * sent]
        assert min(margins(past[-1], limits).values()) >= -ROUNDING
        assert np.linalg.norm(jacobian(past[-1])[:3] @ sent) <= limits.hand_speed_m_s + ROUNDING


def test_arm_commanded_within_its_box_still_gets_somewhere() -> None:
    """The limits are not kept by standing still: a straight way down to the middle of the box takes seconds."""
    limiter, q = LIMITERS[0], starts(REAL_LIMITS, np.random.default_rng(3))
    middle = (np.array(REAL_LIMITS.box_low_m) + REAL_LIMITS.box_high_m) / 2
    sent = np.zeros(7)
    for _ in range(200):
        hand = forward(q).position_m
        wanted = np.linalg.pinv(jacobian(q)[:3]) @ (2 * (middle - hand))
        sent = limiter.apply(wanted, ArmReading(q, sent, hand, commanded_rad_s=sent)).command
        q = q + 0.05 * sent
    assert np.linalg.norm(forward(q).position_m - middle) < 0.02


# With the default limits, through the physics

ARM_CYCLES = {name: ArmCycle(ArmSim(kind), Limiter(kind), kind) for name, kind in ACTUATIONS.items()}
BOX_SLACK_M = {"velocity": 0.0, "torque": 0.03, "torque_low_damping": 0.1}
"""Velocities are obeyed; torques stop momentum as well as they can (worst of 300 trials: 1.1 and 6.5 cm)."""


def actions(kind: str, rng: np.random.Generator, cycles: int):
    """White noise, slowly wandering, or pushing one way for a second."""
    action = np.zeros(7)
    for k in range(cycles):
        if kind == "white":
            action = rng.uniform(-1, 1, 7)
        elif kind == "wandering":
            action = np.clip(0.85 * action + 0.5 * rng.normal(size=7), -1, 1)
        elif k % 20 == 0:
            action = rng.choice([-1.0, 0.0, 1.0], 7)
        yield action


@pytest.mark.parametrize("name", ACTUATIONS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["white", "wandering", "pushing"]))
def test_arm_random_commands_stay_within_all_limits(name: str, seed: int, kind: str) -> None:
    cycle, rng = ARM_CYCLES[name], np.random.default_rng(seed)
    limits, slack_m, free = cycle.limiter.limits, BOX_SLACK_M[name], True
    cycle.arm.reset(NEUTRAL_RAD + rng.uniform(-0.1, 0.1, 7))
    cycle.restart()
    for action in actions(kind, rng, 60):
        cycle.command(cycle.actuation.to_command(action))
        for _ in range(5):
            cycle.advance(5)
            now = cycle.reading()
            assert (now.q_rad > Q_LOWER_RAD).all()
            assert (now.q_rad < Q_UPPER_RAD).all()
            assert (np.abs(now.qd_rad_s) < 1.1 * QD_MAX_RAD_S).all()
            free &= cycle.arm.data.ncon == 0  # an arm that leans on the table goes where that lets it
            inside = (now.hand_m > np.subtract(limits.box_low_m, slack_m)).all()
            inside &= (now.hand_m < np.add(limits.box_high_m, slack_m)).all()
            assert inside or not free, f"hand at {now.hand_m}"
        assert np.abs(cycle.finish().action).max() <= 1.0 + 1e-6


@pytest.mark.parametrize("name", ACTUATIONS)
def test_arm_command_continued_without_an_answer_stays_in_box(name: str) -> None:
    cycle = ARM_CYCLES[name]
    cycle.arm.reset(NEUTRAL_RAD)
    cycle.restart()
    cycle.command(cycle.actuation.to_command([0, 1, 0, 0, 0, 0, 0]))
    for _ in range(60):
        cycle.advance(25)
        cycle.finish()
        assert cycle.reading().hand_m[2] > cycle.limiter.limits.box_low_m[2] - BOX_SLACK_M[name]
