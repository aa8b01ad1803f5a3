"""Settings of an arm behind ros2_control, and the targets of position controllers. No ROS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdm_ros.drivers.ros2_control_settings import TRACKING_RAD, PositionTarget, settings_of
from tdm_ros.robots.description import load_robot, robot_files

UR5E = load_robot("ur5e")
HOME, SPEED = UR5E.home_rad, 0.2 * np.eye(6)[0]


@pytest.mark.parametrize("name", sorted(robot_files()))
def test_settings_of_each_robot_file_are_valid(name: str) -> None:
    controller, topic, rate_hz = settings_of(load_robot(name)).usual
    assert topic.startswith(f"{controller}/") and 20 <= rate_hz <= 100


def test_settings_that_are_given_take_precedence_over_the_robot_file() -> None:
    robot = replace(UR5E, drivers={"ros2_control": {"command": "position", "enabled_topic": "on", "rate_hz": 50}})
    assert settings_of(robot).usual == ("forward_position_controller", "forward_position_controller/commands", 50.0)
    given = settings_of(robot, {"controller": "mine", "command_topic": "/there", "enabled_topic": ""})
    assert given.usual == ("mine", "/there", 50.0) and given.enabled_topic == ""


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ([], "must be a mapping"),
        ({"speed": 1.0}, "got 'speed': correct it"),
        ({"rate_hz": "fast"}, "rate_hz must be like 0.0, got 'fast'"),
        ({"rate_hz": 200.0}, r"rate_hz must be in \[20, 100\] Hz, got 200"),
        ({"rate_hz": float("nan")}, r"rate_hz must be in \[20, 100\] Hz, got nan"),
        ({"lead_s": 1.0}, r"lead_s must be in \[0.02, 0.1\] s, got 1"),
        ({"command": "effort"}, "command must be velocity, position, trajectory, got 'effort'"),
        ({"joints": ["a"]}, "joints must be those of ur5e .*, got a: correct them"),
    ],
)
def test_settings_that_are_wrong_are_rejected(entry: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        settings_of(replace(UR5E, drivers={"ros2_control": entry} if entry != [] else {"ros2_control": [1]}))


def test_position_target_moves_with_the_velocity_and_stays_without_one() -> None:
    target, q = PositionTarget(UR5E, 0.05), HOME.copy()
    for _ in range(100):  # a servo that is 20 ms behind
        wanted = target.step(q, SPEED, 0.01)
        q = q + 0.01 * (wanted - q) / 0.02
    assert q[0] - HOME[0] == pytest.approx(0.2 * (1.0 - 0.02), abs=0.003)
    stays = target.step(q, np.zeros(6), 0.01)
    np.testing.assert_array_equal(stays, wanted)
    np.testing.assert_array_equal(target.step(q - 0.01, np.zeros(6), 0.01), stays, "it does not sink with the joints")


def test_position_target_stays_near_joints_that_do_not_follow_or_are_moved_by_hand() -> None:
    target = PositionTarget(UR5E, 0.05)
    for _ in range(100):
        wanted = target.step(HOME, SPEED, 0.01)
    assert wanted[0] - HOME[0] == pytest.approx(TRACKING_RAD + 0.05 * 0.2)
    pushed = HOME + 0.5
    assert np.abs(target.step(pushed, np.zeros(6), 0.01) - pushed).max() <= TRACKING_RAD + 1e-12


def test_position_target_keeps_the_joint_limits_and_never_jumps_back_inside() -> None:
    target = PositionTarget(UR5E, 0.05)
    at = np.array([UR5E.upper_rad[0] - 0.001, *HOME[1:]])
    assert target.step(at, SPEED, 0.02)[0] == UR5E.upper_rad[0]
    target.forget()
    outside = np.array([UR5E.upper_rad[0] + 0.1, *HOME[1:]])
    np.testing.assert_array_equal(target.step(outside, np.zeros(6), 0.01), outside)
