"""More faults of the whole system, robot:=sawyer: the master, the socket, the clock, and what others send."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import struct
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ros1_bench import HERE, ROS1_PYTHON, Ros1, SimulatedRobot, wait_until

pytest.importorskip("rclpy")
from operator_bench import Operator, stands
from safetensors.numpy import load, save
from tdm_ros.msg import Command, PolicyWeights

from tdm_ros.drivers.intera.client import WORKER
from tdm_ros.nodes import qos
from tdm_ros.nodes.subscriptions import WINDOW_S
from tdm_ros.replay import Step
from tdm_ros.tasks import SAWYER_REACH
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.learner import Learner

TASK = SAWYER_REACH["velocity"]


def stays_in_fault(operator: Operator) -> None:
    """Only clear_fault leads on, and it moves nothing."""
    operator.wait_for("FAULT")
    assert operator.ask("/supervisor/start") != ""
    assert operator.state == "FAULT"


@pytest.mark.parametrize(("case", "number"), [("kill -9", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP)])
def test_system_losing_the_ros_master_stops_the_arm(
    operate, messages, tmp_path: Path, case: str, number: signal.Signals
) -> None:
    ros1 = Ros1(tmp_path, messages["folder"])
    try:
        robot = ros1.robot()
        operator = operate(ros1)
        operator.go()
        since_s = time.monotonic()
        os.kill(ros1.master, number)
        stands(operator, robot, f"{case} of the ROS master", since_s)
        stays_in_fault(operator)
        assert "the ROS master" in operator.said
    finally:
        os.kill(ros1.master, signal.SIGCONT) if number == signal.SIGSTOP else None
        ros1.close()


class Cable:
    """Passes bytes between the arm node and a worker that listens, until it is cut."""

    def __init__(self, to: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._join, args=(to,), daemon=True).start()

    def _join(self, to: int) -> None:
        near, _ = self._server.accept()
        far = socket.create_connection(("127.0.0.1", to))
        self._ends = [near, far]
        for a, b in ((near, far), (far, near)):
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    def _pass(self, a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def cut(self) -> None:
        for end in self._ends:
            end.shutdown(socket.SHUT_RDWR)


def test_system_whose_socket_is_cut_stops_the_arm(operate, ros1: Ros1, robot: SimulatedRobot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    secret = ros1.folder / "worker.secret"
    secret.write_text("0123456789abcdef" * 4)
    secret.chmod(0o600)
    listen = ["--listen", f"127.0.0.1:{port}", "--secret-file", str(secret)]
    ros1.start([ROS1_PYTHON, str(WORKER), *listen], ros1.worker_environment(), "worker")
    wait_until(lambda: "listening" in (ros1.folder / "worker.out").read_text(), 10, "the worker listens")
    cable = Cable(port)
    operator = operate(ros1, worker=f"127.0.0.1:{cable.port}", secret=str(secret))
    operator.go()
    since_s = time.monotonic()
    cable.cut()
    stands(operator, robot, "socket cut", since_s)
    stays_in_fault(operator)


@pytest.fixture
def spoilt() -> bytes:
    """Weights full of NaN, as a learner that has diverged would write them."""
    rng, learner = (
        np.random.default_rng(0),
        Learner(TASK, TdmConfig(hidden_size=16, batch_size=8, learning_starts=20), 0),
    )
    for number in range(30):
        seen = rng.normal(size=(2, 17)).astype(np.float32)
        goal = np.full(3, 0.4, np.float32)
        step = Step(seen[0], np.zeros(7, np.float32), seen[1], seen[0][-3:], seen[1][-3:], goal, False)
        learner.add(step, number % 10 == 9)
    learner.update(1)
    blob = load(learner.actor_bytes())
    return save({k: np.full_like(v, np.nan) if v.dtype.kind == "f" else v for k, v in blob.items()})


def test_system_told_nonsense_stops_the_arm(operate, ros1: Ros1, robot: SimulatedRobot, spoilt: bytes) -> None:
    operator = operate(ros1)
    commands = operator.node.create_publisher(Command, "command", qos.COMMAND)
    weights = operator.node.create_publisher(PolicyWeights, "policy_weights", qos.LATCHED)

    operator.go()
    time.sleep(0.5)
    old = operator.command
    time.sleep(0.2)
    since_s = time.monotonic()
    for _ in range(2000):
        commands.publish(old)
    stands(operator, robot, "a storm of 2000 old commands", since_s)
    stays_in_fault(operator)

    time.sleep(WINDOW_S)  # until the arm believes again that one commands
    operator.go()
    since_s = time.monotonic()
    weights.publish(PolicyWeights(version=10**6, task=TASK.fingerprint, data=spoilt))
    stands(operator, robot, "weights full of NaN", since_s)
    stays_in_fault(operator)


@pytest.mark.parametrize("hours", [1, -1])
def test_system_whose_wall_clock_jumps_stops_the_arm(
    operate, ros1: Ros1, robot: SimulatedRobot, tmp_path: Path, hours: int
) -> None:
    offset, clock = tmp_path / "offset", tmp_path / "jumping_clock.so"
    offset.write_bytes(struct.pack("l", 0))
    compiler = [*shlex.split(sysconfig.get_config_var("CC") or "cc"), "-shared", "-fPIC", "-O2"]
    subprocess.run([*compiler, "-o", str(clock), str(HERE / "jumping_clock.c"), "-ldl"], check=True)
    operator = operate(ros1, LD_PRELOAD=str(clock), JUMPING_CLOCK=str(offset))
    operator.go()
    since_s = time.monotonic()
    with offset.open("r+b") as file:
        file.write(struct.pack("l", 3600 * hours))
    stands(operator, robot, f"the wall clock jumps by {hours} h", since_s)
    stays_in_fault(operator)
