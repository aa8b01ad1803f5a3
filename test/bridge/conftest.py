"""A robot whose topics are in ROS 2, and workers that speak them: genuine messages, built once for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from interfaces_for_tests import built
from ros1_bench import SimulatedRobot

from tdm_ros.bringup.environment import free_domain

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that speaks the bridged topics, in a domain of its own."""
    pytest.importorskip("rclpy")
    env = {**os.environ, **built(HERE / "intera_core_msgs", tmp_path_factory.mktemp("intera_core_msgs"))}
    env |= {"ROS_DOMAIN_ID": str(free_domain())}
    env["PYTHONPATH"] += os.pathsep + os.pathsep.join(map(str, (ROOT, HERE.parent / "intera")))
    return env


@pytest.fixture(scope="module")  # not longer than it is asked for: it takes an eighth of a core
def whole_robot(bridged: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedRobot]:
    """A robot that lacks nothing."""
    pipe = subprocess.PIPE
    out = (tmp_path_factory.mktemp("bridged") / "robot.out").open("wb")
    command = [sys.executable, str(HERE / "bridged_robot.py")]
    process = subprocess.Popen(command, env=bridged, stdin=pipe, stdout=pipe, stderr=out, text=True)
    robot = SimulatedRobot(process)
    yield robot
    robot.close()
    out.close()


@pytest.fixture
def start_worker(bridged: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Starts a watchdog: ``start_worker(*arguments, **environment)``."""
    import rclpy

    from tdm_ros.drivers.watchdog import WatchdogClient

    clients: list[WatchdogClient] = []
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(bridged["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("arm", context=context)

    def start(*arguments: str, **environment: str) -> WatchdogClient:
        command = [sys.executable, "-m", "tdm_ros.drivers.bridged", *arguments]
        clients.append(WatchdogClient(node, command, {**bridged, **environment}))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    context.try_shutdown()


@pytest.fixture
def robot(whole_robot: SimulatedRobot) -> SimulatedRobot:
    """The robot at rest in neutral, without faults and not enabled."""
    whole_robot.rest()
    return whole_robot
