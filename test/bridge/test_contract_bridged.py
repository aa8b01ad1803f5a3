"""A Sawyer through bridged topics does what every arm must do, and says what is missing."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from arm_contract import RealArmContract, RealBench
from ros1_bench import SimulatedRobot

from tdm_ros.drivers.intera.client import InteraError

pytest.importorskip("rclpy")

from tdm_ros.drivers.watchdog import WatchdogClient

pytestmark = [
    pytest.mark.ros,
    pytest.mark.timeout(300),  # the messages are built first
]


class TestBridged(RealArmContract):
    @pytest.fixture
    def bench(self, robot: SimulatedRobot, start_worker: Callable[..., WatchdogClient]) -> RealBench:
        client = start_worker()
        client.wait_ready(20)
        return RealBench(client, robot)


def test_bridge_that_is_not_there_is_told(start_worker: Callable[..., WatchdogClient]) -> None:
    from tdm_ros.bringup.environment import free_domain

    with pytest.raises(InteraError, match=r"/robot/joint_states published nothing .* does the bridge run"):
        start_worker(ROS_DOMAIN_ID=str(free_domain())).wait_ready(20)


def test_messages_that_were_not_built_are_told(start_worker: Callable[..., WatchdogClient]) -> None:
    with pytest.raises(InteraError, match=r"intera_core_msgs cannot be imported .* build it for ROS 2"):
        start_worker(PYTHONPATH=str(Path(__file__).parents[2])).wait_ready(20)


def test_motors_are_reset_only_when_they_were_stopped_and_the_button_is_free(
    robot: SimulatedRobot, start_worker: Callable[..., WatchdogClient]
) -> None:
    client = start_worker()
    client.wait_ready(20)
    assert "is not stopped" in client.request("reset").result(8).reason
    robot.ask("estop", True)
    assert "release it first" in wait_for_stop(client).request("reset").result(8).reason
    assert "ask for a reset" in client.request("enable").result(8).reason
    robot.ask("estop", False)
    wait_for_release(client)
    assert client.request("reset").result(8).done
    assert client.request("enable").result(8).done
    assert client.request("stop").result(8).done
    assert robot.ask("facts")["stopped"]


class Talk:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.said = 0

    def publish(self, message: object) -> None:
        self.said += 1


def test_enable_that_waits_ends_with_a_stop() -> None:
    from tdm_ros.drivers.bridged import BridgedMotors

    deaf = SimpleNamespace(stopped=False, enabled=False, estop_button=0)
    supers = {name: Talk() for name in ("enable", "reset", "stop")}
    motors = BridgedMotors(supers, lambda: (deaf, time.monotonic()))
    with ThreadPoolExecutor() as pool:
        enabling = pool.submit(motors.enable)
        time.sleep(0.1)
        stopping = pool.submit(motors.stop)
        assert "stopped meanwhile" in enabling.result(2)
        said = supers["enable"].said
        time.sleep(0.2)
        assert supers["enable"].said == said > 0
        deaf.stopped = True
        assert stopping.result(2) == ""


def test_settings_are_repeated_for_a_bridge_that_was_not_connected_to_the_robot_yet() -> None:
    from std_msgs.msg import Float64

    from tdm_ros.drivers.bridged import BridgedTopics

    topics = object.__new__(BridgedTopics)
    topics._timeout, topics._ratio, topics._speed_ratio = Talk(), Talk(), Float64(data=0.2)
    for second in (1, 2):
        topics._timeout_due_s = 0.0
        topics.send("", ())
        assert (topics._timeout.said, topics._ratio.said) == (second, second)


def wait_for_stop(client: WatchdogClient) -> WatchdogClient:
    from ros1_bench import wait_until

    wait_until(lambda: client.state().state.stopped, 3, "the worker knows of the stop")
    return client


def wait_for_release(client: WatchdogClient) -> None:
    from ros1_bench import wait_until

    wait_until(lambda: not client.state().state.estop, 3, "the worker knows of the release")
