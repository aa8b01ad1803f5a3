"""Simulated arms behind ros2_control, each a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from interfaces_for_tests import built
from ros1_bench import SimulatedRobot

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def controller_manager_msgs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of processes that can import controller_manager_msgs."""
    pytest.importorskip("rclpy")
    env = {**os.environ, **built(HERE / "controller_manager_msgs", tmp_path_factory.mktemp("messages"))}
    env["PYTHONPATH"] += os.pathsep + os.pathsep.join(map(str, (ROOT, HERE.parent / "intera")))
    return env


@pytest.fixture(scope="module")
def start_robot(
    controller_manager_msgs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SimulatedRobot]]:
    """Starts a simulated arm: ``start_robot(namespace, "ur5e", "velocity")``; it ends with the module."""
    robots, pipe = [], subprocess.PIPE
    out = (tmp_path_factory.mktemp("ros2_control") / "robot.out").open("wb")

    def start(namespace: str, robot: str = "ur5e", active: str = "velocity", *words: str) -> SimulatedRobot:
        command = [sys.executable, str(HERE / "simulated_robot.py"), namespace, robot, active, *words]
        env = controller_manager_msgs
        process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=out, text=True)
        robots.append(SimulatedRobot(process))
        return robots[-1]

    yield start
    for robot in robots:
        robot.close()
    out.close()
