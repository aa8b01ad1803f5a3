"""An arm behind ros2_control says in one sentence what is wrong with its driver, and what to do; it does not move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from arm_contract import STANDSTILL_S, ArmContract
from ros1_bench import STILL_RAD_S, SimulatedRobot, wait_until

from tdm_ros.drivers.intera.client import InteraError

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

import rclpy  # noqa: E402
from ros2_control_bench import UR5E, Ros2ControlBench, opened  # noqa: E402

from tdm_ros.drivers.ros2_control import Commander  # noqa: E402
from tdm_ros.drivers.ros2_control_settings import settings_of  # noqa: E402
from tdm_ros.nodes.arms import make_ros2_control  # noqa: E402
from tdm_ros.nodes.parameters import ArmParameters, Ros2ControlParameters  # noqa: E402

SPEED = 0.2 * np.eye(6)[0]
Start = Callable[..., SimulatedRobot]


@pytest.mark.any_speed
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("other_joints", r"forward_velocity_controller must command the joints of ur5e .*, got left_wrist.*: set its"),
        ("swapped", r"forward_velocity_controller must take velocity, got position: set ros2_control\.command"),
        ("lacking", r"joint_states has no elbow_joint \(got shoulder_lift.*\) for 10 s: start the robot's driver"),
    ],
)
def test_driver_of_another_arm_or_interface_is_rejected(
    start_robot: Start, controller_manager_msgs: dict[str, str], words: str, expected: str
) -> None:
    robot = start_robot(f"/{words}", "ur5e", "velocity", words)
    robot.ask("set", "lacking", words == "lacking")
    with pytest.raises(InteraError, match=expected):
        Ros2ControlBench(robot, f"/{words}", controller_manager_msgs)
    assert robot.ask("facts")["received"] == 0, "not even a zero, which might be a position"


@pytest.mark.any_speed
def test_driver_that_is_not_there_is_reported(controller_manager_msgs: dict[str, str]) -> None:
    with pytest.raises(InteraError, match=r"joint_states published nothing for 10 s: start the robot's driver"):
        Ros2ControlBench(None, "/nowhere", controller_manager_msgs)  # type: ignore[arg-type]


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, start_robot: Start, controller_manager_msgs: dict[str, str]
) -> Iterator[Ros2ControlBench]:
    namespace = f"/{request.node.name}"
    robot = start_robot(namespace, "ur5e", "velocity", "no_manager")
    with contextmanager(opened)(robot, namespace, controller_manager_msgs) as made:
        yield made


def test_robot_without_a_controller_manager_moves_and_the_operator_is_told(bench: Ros2ControlBench) -> None:
    assert any("controllers are not checked" in note for note in bench.client.hello.missing)
    ArmContract.drive(bench, SPEED, 0.4)  # type: ignore[arg-type]
    assert bench.truth()[1][0] > 0.1


def test_topic_of_the_robot_that_loses_its_publisher_stops_the_arm(bench: Ros2ControlBench) -> None:
    ArmContract.drive(bench, SPEED, 0.4)  # type: ignore[arg-type]
    bench.driver.ask("say", "publisher ended", True)
    wait_until(bench.arm.problem, 2.0, "it is reported")
    assert "estop_pressed has no publisher: is the robot's driver up?" in bench.arm.problem()
    ArmContract.drive(bench, SPEED, STANDSTILL_S)  # type: ignore[arg-type]
    assert np.abs(bench.truth()[1]).max() < STILL_RAD_S


def test_controller_that_does_not_tell_its_joints_gets_the_order_of_the_robot_file(
    start_robot: Start, controller_manager_msgs: dict[str, str]
) -> None:
    robot = start_robot("/untold", "ur5e", "velocity", "untold")
    order = tuple(reversed(UR5E.joint_names))
    with contextmanager(opened)(robot, "/untold", controller_manager_msgs, joints=order) as made:
        assert any("the order of its joints is that of the robot file" in note for note in made.client.hello.missing)
        ArmContract.drive(made, SPEED, 0.4)  # type: ignore[arg-type]
        assert made.truth()[1][0] > 0.1 and np.abs(made.truth()[1][1:]).max() < STILL_RAD_S


def test_controller_manager_that_has_ended_stops_the_arm(
    start_robot: Start, controller_manager_msgs: dict[str, str]
) -> None:
    robot = start_robot("/manager", "ur5e", "velocity")
    with contextmanager(opened)(robot, "/manager", controller_manager_msgs) as made:
        ArmContract.drive(made, SPEED, 0.4)  # type: ignore[arg-type]
        robot.ask("say", "manager ended", True)
        wait_until(made.arm.problem, 3.0, "it is reported")
        assert "list_controllers has not answered for 2." in made.arm.problem()
        ArmContract.drive(made, SPEED, STANDSTILL_S)  # type: ignore[arg-type]
        assert np.abs(made.truth()[1]).max() < STILL_RAD_S


def test_parameters_that_are_left_out_leave_the_robot_file_and_none_is_no_topic() -> None:
    assert Ros2ControlParameters().given() == {}
    given = Ros2ControlParameters(command="position", enabled_topic="none", rate_hz=50.0).given()
    assert given == {"command": "position", "enabled_topic": "", "rate_hz": 50.0}
    settings = settings_of(UR5E, given)
    assert settings.command == "position" and UR5E.drivers["ros2_control"]["enabled_topic"] != settings.enabled_topic


def test_torques_are_rejected_before_anything_is_started() -> None:
    with pytest.raises(ValueError, match="ros2_control takes actuation velocity, got torque: choose velocity"):
        make_ros2_control(ArmParameters(actuation="torque"), None, UR5E)  # type: ignore[arg-type]


def test_arm_waits_until_the_controller_has_acknowledged_a_zero() -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("arm", namespace="/late", context=context)
    zero = Commander(node, settings_of(UR5E), UR5E, UR5E.joint_names)
    assert "forward_velocity_controller/commands has no subscriber" in zero.reach(0.2)
    received = []
    node.create_subscription(zero._kind, "forward_velocity_controller/commands", received.append, 10)
    assert zero.reach(10.0) == ""
    rclpy.spin_once(node, executor=rclpy.executors.SingleThreadedExecutor(context=context), timeout_sec=5.0)
    assert set(received[0].data) == {0.0}
    node.destroy_node()
    context.try_shutdown()
