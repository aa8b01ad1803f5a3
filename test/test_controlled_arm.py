"""Controllers of the simulated robot behind ros2_control: what each does with its last command, in MuJoCo."""

from __future__ import annotations

import numpy as np
import pytest

from tdm_ros.envs.controlled_arm import BEHIND_S, ControlledArm, in_real_time
from tdm_ros.robots.description import load_robot, robot_files

STILL_RAD_S = 0.01


def arm_of(name: str, kind: str) -> ControlledArm:
    arm = ControlledArm(load_robot(name))
    arm.activate(kind)
    return arm


def let_pass(arm: ControlledArm, seconds: float) -> np.ndarray:
    """Let time pass; return the speeds, (N, J) [rad/s]."""
    return np.array([[arm.step(), arm.qd_rad_s][1] for _ in range(round(seconds / 0.002))])


@pytest.mark.parametrize("name", robot_files())
def test_velocity_is_followed_for_ever_with_the_accelerations_of_the_robot_and_zero_stops_it(name: str) -> None:
    arm = arm_of(name, "velocity")
    wanted = 0.2 * (-1.0) ** np.arange(len(arm.robot.joint_names))
    arm.receive("velocity", wanted)
    rising = np.abs(np.diff(let_pass(arm, 0.02), axis=0)).max(axis=0) / 0.002
    np.testing.assert_array_less(rising, 1.6 * arm.robot.acceleration_rad_s2)
    np.testing.assert_allclose(let_pass(arm, 1.0)[-1], wanted, atol=0.005)
    arm.receive("velocity", 0 * wanted)
    stopping = np.abs(let_pass(arm, 0.5)).max(axis=1)
    assert 0 < 0.002 * np.flatnonzero(stopping > STILL_RAD_S).max() < 0.1


@pytest.mark.parametrize("kind", ["position", "trajectory"])
@pytest.mark.parametrize("name", robot_files())
def test_position_is_reached_and_kept(name: str, kind: str) -> None:
    arm = arm_of(name, kind)
    target = arm.q_rad + 0.02
    arm.receive(kind, target, 0.05)
    speeds = np.abs(let_pass(arm, 0.5))
    np.testing.assert_allclose(arm.q_rad, target, atol=1e-3)
    assert speeds[-1].max() < STILL_RAD_S
    np.testing.assert_array_less(speeds.max(axis=0), arm.robot.velocity_rad_s)


def test_trajectory_is_a_line_from_the_present_posture_that_a_later_one_replaces() -> None:
    arm = arm_of("ur5e", "trajectory")
    home = arm.q_rad
    arm.receive("trajectory", home + 1.0, 10.0)
    let_pass(arm, 1.0)
    np.testing.assert_allclose(arm.q_rad, home + 0.1, atol=0.005)
    arm.receive("trajectory", home, 1.0)
    let_pass(arm, 1.5)
    np.testing.assert_allclose(arm.q_rad, home, atol=1e-3)


def test_command_of_another_controller_or_size_or_not_finite_moves_nothing() -> None:
    arm = arm_of("ur5e", "velocity")
    for kind, values in (("position", [1.0] * 6), ("velocity", [0.2] * 5), ("velocity", [np.nan] * 6)):
        arm.receive(kind, values)
    assert arm.received == 0 and arm.command is None
    assert let_pass(arm, 0.1).max() < STILL_RAD_S


def test_controller_that_is_activated_forgets_its_command_and_the_arm_holds() -> None:
    arm = arm_of("ur5e", "velocity")
    arm.receive("velocity", [0.2] * 6)
    let_pass(arm, 0.5)
    arm.activate("velocity")
    let_pass(arm, 0.3)
    at = arm.q_rad
    assert np.abs(let_pass(arm, 1.0)).max() < STILL_RAD_S
    np.testing.assert_allclose(arm.q_rad, at, atol=1e-3)


class Time:
    """A clock, and what was done by it."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self._step_s, self.times_s, self.steps = 10.0, step_s, [], [0]

    def step(self, now_s: float) -> None:
        self.now_s += self._step_s
        self.times_s.append(now_s)
        self.steps[-1] += 1

    def run(self, seconds: float, pause_s: float = 0.0) -> None:
        def sleep(duration_s: float) -> None:
            self.now_s += duration_s + pause_s

        end_s = self.now_s + seconds
        in_real_time(self.step, lambda: self.steps.append(0), lambda: self.now_s >= end_s, lambda: self.now_s, sleep)


def test_real_time_has_a_step_for_every_two_milliseconds_also_after_a_pause() -> None:
    time = Time(3e-5)
    time.run(1.0, pause_s=0.1)
    np.testing.assert_allclose(np.diff(time.times_s), 0.002)
    assert time.times_s[0] == 10.0 and time.now_s - time.times_s[-1] < 0.12
    assert max(time.steps) >= 50


def test_real_time_on_a_machine_that_is_too_slow_loses_time_and_ends() -> None:
    time = Time(0.004)
    time.run(20.0)
    assert max(time.steps) <= BEHIND_S / 0.002 + 1
    assert len(time.steps) > 8
