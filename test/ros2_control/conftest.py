"""Simulated arms behind ros2_control, each a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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


BOTH = ("silent_commander", "watchdog_that_dies", "moved_since")
ALSO = ("[0]", "hold_stands", "e-stop", "frozen", "absent", "not_active")
SHORT = {"TestVelocity": BOTH + ALSO, "TestPosition": BOTH}
"""Tests of each contract that every run has: how each kind of loss stops the arm. All are three per joint and fault."""


LEFT_OUT: list[pytest.Item] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes five minutes more, unless ROS2_CONTROL_TESTS is set."""
    if os.environ.get("ROS2_CONTROL_TESTS"):
        return
    for item in items:
        kind = getattr(item.cls, "__name__", "") if isinstance(item, pytest.Function) else ""
        own = kind.startswith("Test") and item.path.parent == HERE
        if own and not any(part in item.name for part in SHORT.get(kind, ())):
            LEFT_OUT.append(item)
    items[:] = [item for item in items if item not in LEFT_OUT]
    config.hook.pytest_deselected(items=LEFT_OUT)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many were left out."""
    if LEFT_OUT:
        said = f"{len(LEFT_OUT)} tests of arms behind ros2_control were left out, five minutes: ROS2_CONTROL_TESTS=1"
        terminalreporter.write_line(said)


@pytest.fixture(scope="module")
def start_robot(
    controller_manager_msgs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SimulatedRobot]]:
    """Starts a simulated arm: ``start_robot(namespace, "ur5e", "velocity")``; it ends with the module."""
    robots, pipe = [], subprocess.PIPE
    path = tmp_path_factory.mktemp("ros2_control") / "robot.out"
    out = path.open("wb")

    def start(namespace: str, robot: str = "ur5e", active: str = "velocity", *words: str) -> SimulatedRobot:
        command = [sys.executable, str(HERE / "simulated_robot.py"), namespace, robot, active, *words]
        env = controller_manager_msgs
        # In a session of its own: no signal to our process group ends it.
        process = subprocess.Popen(
            command, env=env, stdin=pipe, stdout=pipe, stderr=out, text=True, start_new_session=True
        )
        robots.append(SimulatedRobot(process, path))
        return robots[-1]

    with out, ExitStack() as closing:
        yield start
        for robot in robots:
            closing.callback(robot.close)
