"""A flood of service calls, goals and messages delays neither the arm's cycle nor the supervisor's announcements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import rclpy  # noqa: E402
from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from tdm_ros.action import ReachGoal  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.arm import ArmNode  # noqa: E402
from tdm_ros.nodes.node_runner import GuardedExecutor  # noqa: E402
from tdm_ros.nodes.supervisor import HEARTBEAT_S, SupervisorNode  # noqa: E402

SECONDS = 1.2


@contextmanager
def flooded(kind: type[Any], *words: str) -> Iterator[tuple[Any, Callable[[], None]]]:
    """A node in this process that is up, and a call that sends one request to each of its services, and messages."""
    rclpy.init(args=["--ros-args", *words, "--log-level", "fatal"])
    node, stranger = kind(), rclpy.create_node("stranger")
    try:
        node.bring_up()
        clients = [stranger.create_client(one.srv_type, one.service_name) for one in node.services]
        topics = ((PoseStamped, "goal"), (TwistStamped, "teleop/twist"), (Bool, "deadman"), (String, "teleop/event"))
        publishers = [(stranger.create_publisher(one, topic, qos.GOAL), one()) for one, topic in topics]
        goals = ActionClient(stranger, ReachGoal, "reach_goal")
        goal = ReachGoal.Goal(goal=np.full(3, 0.4, np.float32), task=node.task.fingerprint)

        def send() -> None:
            for client in clients:
                if not client.srv_name.endswith("/change_state"):
                    client.call_async(client.srv_type.Request())
            for publisher, message in publishers:
                publisher.publish(message)
            if kind is SupervisorNode:
                goals.send_goal_async(goal)

        assert all(client.wait_for_service(20.0) for client in clients)
        yield node, send
    finally:
        node.close()
        node.destroy_node()
        stranger.destroy_node()
        rclpy.try_shutdown()


def test_arm_handles_no_message_while_a_cycle_is_due_and_one_at_a_time() -> None:
    with flooded(ArmNode) as (node, send):
        executor = GuardedExecutor(node)
        handled, ticks, late_s = [], [], []
        spin, tick = executor.spin_once, node._tick
        executor.spin_once = lambda timeout_sec=None: handled.append(spin(timeout_sec)) or handled[-1]
        node._tick = lambda now_s: (late_s.append(now_s - node._pacer.deadline_s), ticks.append(now_s), tick(now_s))
        end_s = time.monotonic() + SECONDS
        while time.monotonic() < end_s:
            send()
            before, cycles = len(handled), len(ticks)
            due = node._now_s() >= node._pacer.deadline_s
            node.step(executor)
            assert len(handled) - before <= (0 if due else 1)
            assert len(ticks) > cycles or not due
        assert sum(handled) > 100, "it is a flood"
        assert len(ticks) > SECONDS / 0.05 / 2 and np.median(late_s) < 0.02


def test_supervisor_announces_and_keeps_no_goal_of_a_flood(tmp_path: Path) -> None:
    with flooded(SupervisorNode, "-p", f"run_dir:={tmp_path}") as (node, send):
        executor = GuardedExecutor(node)
        beats_s: list[float] = []
        publish = node._episodes.publish
        node._episodes.publish = lambda message: (beats_s.append(time.monotonic()), publish(message))
        handled, begin_s = 0, time.monotonic()
        while time.monotonic() < begin_s + SECONDS:
            send()
            handled += executor.spin_once(0.05)
        assert handled > 100, "it is a flood"
        assert np.diff([begin_s, *beats_s]).max() < 3 * HEARTBEAT_S
        assert len(node._action._server._goal_handles) <= 1
