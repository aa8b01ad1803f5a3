"""The client of the worker, against a fake one that misbehaves as told."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from intera_fake_worker import state

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.client import InteraClient, InteraError, ros1_environment

pytestmark = pytest.mark.real_time
HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parent)}


@pytest.fixture
def start() -> Iterator[Callable[[str], InteraClient]]:
    """Start a fake worker of some behaviour."""
    clients = []

    def start(behaviour: str) -> InteraClient:
        command = [sys.executable, str(HERE / "intera_fake_worker.py"), behaviour]
        clients.append(InteraClient.start(command, ENVIRONMENT))
        return clients[-1]

    yield start
    for client in clients:
        client._process.kill()
        client.close()


def problem_within(client: InteraClient, seconds: float) -> str:
    end_s = time.monotonic() + seconds
    while not client.state().problem:
        assert time.monotonic() < end_s, "the client sees no problem"
        time.sleep(0.002)
    return client.state().problem


def ready(client: InteraClient) -> InteraClient:
    client.wait_ready(20)
    while client.state().state is None:
        time.sleep(0.005)
    return client


def test_hello_states_commands_and_answers(start):
    client = start("well")
    assert client.state().problem == "the worker has sent no state yet" and client.state().age_s == np.inf
    assert client.wait_ready(20).missing == ("cuff: no config",)
    ready(client)
    state, age_s, problem = client.state()
    assert not problem and 0.02 <= age_s < 0.12
    assert client.command("velocity", np.full(7, 0.1)) == ""
    assert client.request("hold").result(2).done
    answer = client.request("enable").result(2)
    assert not answer.done and answer.reason == "the robot is stopped"
    time.sleep(0.05)
    assert client.state().state.command_seq == 1 and client.state().state.seq > state.seq
    assert client.close() == 0


def test_reading_thread_that_was_held_up_is_no_silence_of_the_worker(start):
    client = ready(start("well"))
    with client._reading:  # as a garbage collection does, which stops all threads
        before = client.state().state.seq
        time.sleep(0.3)
        state, _, problem = client.state()
    assert problem == "" and state.seq > before + 5


@pytest.mark.parametrize("values", [[np.nan] * 7, [np.inf] * 7, [0.0] * 6, [[0.0] * 7], 0.0])
def test_values_that_can_not_be_sent_are_a_reason_and_no_exception(start, values):
    client = ready(start("well"))
    assert "Command.values must be 7 finite numbers" in client.command("velocity", values)
    assert "hold_s must be a finite number" in client.command("velocity", np.zeros(7), float("nan"))
    assert client.state().problem == ""
    assert "Request.value must be a finite number" in client.request("step", float("nan")).result(1).reason


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("die", "the worker ended with status 3"),
        ("silent", "the worker has been silent for 0.1"),
        ("cut", "the worker closed its socket"),
        ("truncated", "the stream ended within a frame"),
        ("garbage", "a frame may have 16384 bytes, got 1195725856"),
    ],
)
def test_loss_is_seen_within_a_tenth_of_a_second(start, behaviour, says):
    client = ready(start(behaviour))
    last_s = time.monotonic()
    while not client.state().problem:
        last_s = client._newest[1]
        time.sleep(0.002)
        assert client.state().state.seq < 300
    seen_s = time.monotonic()
    time.sleep(0.02)  # a process that has closed its socket may end a moment later
    assert says in client.state().problem
    assert seen_s - last_s < 0.3  # a tenth, and what a busy machine adds
    assert client.command("velocity", np.zeros(7)) != ""


def test_silence_is_a_problem_after_exactly_a_tenth_of_a_second():
    now_s = [100.0]
    ours, theirs = socket.socketpair()
    with theirs:
        client = InteraClient(ours, clock=lambda: now_s[0])
        theirs.sendall(wire.encode(state(1)))
        while client.state().state is None:
            time.sleep(0.002)
        now_s[0] += 0.099
        assert client.state().problem == "" and client.state().age_s == pytest.approx(0.119)
        now_s[0] += 0.002
        assert client.state().problem == "the worker has been silent for 0.10 s"
        client.close()


def test_client_without_commands_says_once_a_second_that_it_is_there():
    now_s = [100.0]
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with theirs:
        client = InteraClient(ours, clock=lambda: now_s[0])
        for seq in range(1, 32):
            now_s[0] += 0.1
            theirs.sendall(wire.encode(state(seq)))
            while client.state().state is None or client.state().state.seq < seq:
                time.sleep(0.001)
        frame = wire.encode(wire.Alive())
        assert theirs.recv(4096) == 2 * frame
        client.close()


def test_a_killed_worker_is_seen_at_once_and_answers_what_waits(start):
    client = ready(start("well"))
    waiting = client.request("reset")
    client._process.send_signal(signal.SIGKILL)
    answer = waiting.result(1)
    assert not answer.done and "socket" in answer.reason  # closed, or reset with something unread
    assert problem_within(client, 0.1)
    client._process.wait(1)
    assert "the worker ended with status -9" in client.state().problem
    assert not client.request("enable").result(0.1).done


def test_own_sentence_of_a_worker_that_can_not_come_up_is_passed_on(start):
    client = start("failure")
    with pytest.raises(InteraError, match="no ROS master at http://nowhere:11311"):
        client.wait_ready(20)
    assert client.close() == 4


def test_a_worker_of_another_version_or_without_a_word_is_rejected(start):
    with pytest.raises(InteraError, match="a worker of protocol 4 sends hello"):
        start("other version").wait_ready(20)
    with pytest.raises(InteraError, match=r"sent nothing for 0\.3 s"):
        start("mute").wait_ready(0.3)


def test_nothing_waits_for_a_worker_that_does_not_read(start):
    client = ready(start("deaf"))
    took_s: dict[str, list[float]] = {}
    for _ in range(5000):
        begin_s = time.monotonic()
        reason = client.command("velocity", np.full(7, 0.123456789))
        client.request("hold")
        took_s.setdefault(reason, []).append(time.monotonic() - begin_s)
    left_out = took_s["the worker does not read: the command was left out"]
    assert len(left_out) > 2500
    # A wait would be in each of them. One call alone may be slow wherever the machine is busy with something else.
    assert np.percentile(left_out, 90) < 20 * np.median(took_s[""])


def test_program_or_place_that_is_not_there_is_told():
    with pytest.raises(InteraError, match="cannot be started"):
        InteraClient.start(["/nowhere/python"], ENVIRONMENT)
    with pytest.raises(InteraError, match="start it with --listen"):
        InteraClient.connect("127.0.0.1", 9, b"")


def test_environment_of_ros_1_has_nothing_of_ros_2():
    ros2 = {
        "PATH": f"{sys.prefix}/bin:/opt/ros/jazzy/bin:/usr/bin",
        "HOME": "/home/me",
        "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
        "COLCON_PREFIX_PATH": "x",
        "PYTHONPATH": "/opt/ros/jazzy/lib",
        "LD_LIBRARY_PATH": "x",
        "RMW_IMPLEMENTATION": "x",
        "ROS_DISTRO": "jazzy",
        "ROS_VERSION": "2",
        "ROS_DOMAIN_ID": "3",
    }
    assert ros1_environment(ros2, "http://robot.local:11311", "10.42.0.1", ["/sdk", "/stubs"]) == {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "ROS_MASTER_URI": "http://robot.local:11311",
        "ROS_IP": "10.42.0.1",
        "PYTHONPATH": "/sdk:/stubs",
    }
    with pytest.raises(ValueError, match="master_uri must be like http"):
        ros1_environment(ros2, "robot.local")
