"""The stand-in paces and adds up as Gazebo does; numbers of a Fortress server: docs/gazebo.md. Resets: the contract."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import pytest
from ros1_bench import SimulatedRobot, wait_until

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402


def steps(world: SimulatedRobot) -> int:
    return world.ask("facts")["steps"]  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def paused(start_world: Callable[..., SimulatedRobot]) -> SimulatedRobot:
    return start_world("/steps", "paused")


def test_steps_of_a_paused_world_take_real_time(paused: SimulatedRobot) -> None:
    begin_s, before = time.monotonic(), steps(paused)
    paused.ask("control", True, 200, False)
    wait_until(lambda: steps(paused) == before + 200, 20, "all steps are made")
    assert time.monotonic() - begin_s >= 0.2


def test_requests_for_steps_add_up_and_a_pause_cancels_none(paused: SimulatedRobot) -> None:
    before = steps(paused)
    for count in (100, 0, 50):
        paused.ask("control", True, count, False)
    wait_until(lambda: paused.ask("facts")["pending"] == 0 and steps(paused) > before, 20, "it is done")
    assert steps(paused) == before + 150


def test_paused_world_publishes_its_joint_states_again_and_again(paused: SimulatedRobot) -> None:
    """500 and more per second; nine at most wait for a listener that a busy machine holds up."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("listener", namespace="/steps", context=context)
    stamps: set[tuple[int, int]] = set()
    heard_s: deque[float] = deque(maxlen=100)

    def hear(message: JointState) -> None:
        stamps.add((message.header.stamp.sec, message.header.stamp.nanosec))
        heard_s.append(time.monotonic())

    node.create_subscription(JointState, "gz/joint_states", hear, QoSProfile(depth=9))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    before, end_s = steps(paused), time.monotonic() + 60

    def often() -> bool:
        return len(heard_s) == 100 and heard_s[-1] - heard_s[0] < 0.2

    while not often() and time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
    node.destroy_node()
    context.try_shutdown()
    assert often() and len(stamps) == 1
    assert steps(paused) == before
