"""Worlds that stand in for Gazebo's, and the workers and arms that are in them."""

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


@pytest.fixture(scope="module")
def gazebo_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of all processes around a world."""
    pytest.importorskip("rclpy")
    env = {**os.environ, **built(HERE / "ros_gz_interfaces", tmp_path_factory.mktemp("ros_gz_interfaces"))}
    env["PYTHONPATH"] += os.pathsep + os.pathsep.join(map(str, (ROOT, HERE.parent / "intera", HERE)))
    return env


@pytest.fixture(scope="class")
def start_world(
    gazebo_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SimulatedRobot]]:
    """Starts a world: ``start_world(namespace, "paused", "torque")``.

    It ends with the class of the test: all worlds have one name, and would all make the steps that one is asked for.
    """
    worlds, pipe = [], subprocess.PIPE
    out = (tmp_path_factory.mktemp("gazebo") / "world.out").open("wb")

    def start(namespace: str, *words: str) -> SimulatedRobot:
        command = [sys.executable, str(HERE / "world.py"), namespace, *words]
        process = subprocess.Popen(command, env=gazebo_env, stdin=pipe, stdout=pipe, stderr=out, text=True)
        worlds.append(SimulatedRobot(process))
        return worlds[-1]

    yield start
    for world in worlds:
        world.close()
    out.close()
