"""The real worker process, rosmaster and the simulated robot: what should go well."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ros1_bench import ROS1_PYTHON, WORKER, drive, measure, wait_until

from tdm_ros.drivers.intera.authentication import read_secret
from tdm_ros.drivers.intera.client import InteraClient, InteraError
from tdm_ros.robots.kinematics import forward
from tdm_ros.robots.sawyer import NEUTRAL_RAD

MD5 = {
    "JointCommand": "c8c85922d297da6209a089a906207e5d",
    "EndpointState": "ec04f0f9bc02b3e335181c07d68c2c98",
    "EndpointStates": "d7b5ea85d8388c002e6c6d800ba697bc",
    "RobotAssemblyState": "df79ce5f75a6b23626e9fcdf1cc4d298",
    "CollisionDetectionState": "7bde38c182b4d08fdc0635b116f65d04",
    "JointLimits": "c4c445eb2c9324525a704c84ca1e7598",
    "IODeviceStatus": "0d0c97a2d700848e7ad46e09a77cf896",
    "SolvePositionFK": "6db8c7b904dcebec9a59022cd894ef68",
    "SolvePositionIK": "7ae4607244c30c6c631f3693cd280e45",
}
"""Of Intera SDK 5.3.0."""


def test_messages_have_the_vendors_md5_sums(messages):
    assert {name: messages["md5"][name] for name in MD5} == MD5


def test_worker_comes_up_says_hello_and_enables_nothing(robot, client):
    hello = client.wait_ready()
    assert hello.sdk.startswith("5.") and hello.robot == "5.5.2.0"
    assert hello.missing == ()
    assert "the time of this robot passes by itself" in client.request("step", 0.01).result(2).reason
    facts = robot.ask("facts")
    assert not facts["enabled"]
    wait_until(lambda: robot.ask("facts")["timeout_s"] == 0.15, 2, "the command time-out is set")
    assert robot.ask("facts")["speed_ratio"] == pytest.approx(0.2)


def test_state_is_fresh_true_and_comes_at_100_hz(client):
    wait_until(lambda: client.state().state, 2, "a state comes")
    first = client.state().state
    ages = []
    for _ in range(100):
        ages.append(client.state().age_s)
        time.sleep(0.01)
    state, _, problem = client.state()
    assert not problem
    assert 90 <= state.seq - first.seq <= 130
    assert np.median(ages) < 0.03
    np.testing.assert_allclose(state.q_rad, NEUTRAL_RAD, atol=0.01)
    np.testing.assert_allclose(state.p_base_hand_m, forward(state.q_rad).position_m, atol=0.002)
    assert np.linalg.norm(state.quat_wxyz) == pytest.approx(1)


def test_velocity_of_a_fifth_of_a_radian_for_a_second_moves_a_fifth(robot, enabled):
    begin_s = time.monotonic()
    drive(enabled, 1.0)
    assert enabled.request("hold").result(1).done
    held_s = time.monotonic()
    time.sleep(0.6)
    trace = robot.trace()
    moved = trace.at(held_s + 0.5) - trace.at(begin_s)
    standstill_s, _ = measure("hold", robot, held_s, "")
    assert moved[0] == pytest.approx(0.2, abs=0.02)
    assert np.abs(moved[1:]).max() < 0.005
    assert standstill_s < 0.1
    facts = robot.ask("facts")
    assert facts["mode"] == 1 and facts["timeouts"] == 0


@pytest.mark.parametrize("client", [("--allow-torque",)], indirect=True)
def test_torque_moves_the_arm_where_it_is_allowed(robot, enabled):
    torque = np.zeros(7)
    torque[5] = 0.1
    start = NEUTRAL_RAD[5]
    for _ in range(12):
        enabled.command("torque", torque)
        time.sleep(0.05)
    state = enabled.state().state
    assert not state.rejection
    assert state.q_rad[5] - start > 0.02
    at_s = time.monotonic()
    time.sleep(0.7)
    standstill_s, _ = measure("client silent, torque mode", robot, at_s, "")
    assert standstill_s < 0.3


def test_a_storm_of_commands_delays_nothing(robot, enabled):
    begin_s = time.monotonic()
    sent = left_out = 0
    values = np.array([0.2, 0, 0, 0, 0, 0, 0])
    slowest_s = 0.0
    while time.monotonic() < begin_s + 1.0:
        before_s = time.monotonic()
        problem = enabled.command("velocity", values)
        slowest_s = max(slowest_s, time.monotonic() - before_s)
        sent += not problem
        left_out += bool(problem)
    last_s = time.monotonic()
    time.sleep(0.6)
    standstill_s, _ = measure(f"silent after a storm of {sent + left_out}/s", robot, last_s, "")
    assert standstill_s < 0.3
    assert enabled.state().problem == ""
    assert slowest_s < 0.1


def test_buttons_are_read(robot, client):
    robot.ask("press", "robot/cuff", "right_cuff", 1)
    robot.ask("press", "robot/navigator", "right_button_ok", 2)
    wait_until(lambda: client.state().state and client.state().state.cuff, 2, "the cuff is seen")
    wait_until(lambda: client.state().state.buttons.get("right_button_ok") == 2, 2, "the button is seen")
    robot.ask("press", "robot/cuff", "right_cuff", 0)
    robot.ask("press", "robot/navigator", "right_button_ok", 0)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "worker.secret"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    return path


@pytest.fixture
def listening(ros1, robot, secret):
    """A worker that listens, and its port."""
    process = subprocess.Popen(
        [ROS1_PYTHON, WORKER, "--listen", "127.0.0.1:0", "--secret-file", str(secret)],
        env=ros1.worker_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process, int(process.stderr.readline().rsplit(":", 1)[1])
    process.kill()
    process.wait()


def test_worker_over_tcp_serves_one_client_after_the_other(robot, secret, listening):
    process, port = listening
    for _ in range(2):
        client = InteraClient.connect("127.0.0.1", port, read_secret(str(secret)))
        client.wait_ready(20)
        with pytest.raises(InteraError, match="another client has the arm"):
            InteraClient.connect("127.0.0.1", port, read_secret(str(secret)))
        assert client.request("enable").result(8).done
        drive(client, 0.5)
        cut_s = time.monotonic()
        client.close()
        wait_until(lambda: "listening again" in process.stderr.readline(), 5, "the worker listens again")
        time.sleep(0.3)
        standstill_s, _ = measure("socket cut, TCP", robot, cut_s, "closed")
        assert standstill_s < 0.2
        assert robot.ask("facts")["mode"] == 1 and robot.ask("facts")["timeouts"] == 0
    process.terminate()
    assert process.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_worker_over_tcp_that_is_ended_stops_the_arm(robot, secret, listening, number):
    process, port = listening
    client = InteraClient.connect("127.0.0.1", port, read_secret(str(secret)))
    client.wait_ready(20)
    assert client.request("enable").result(8).done
    drive(client, 0.5)
    at_s = time.monotonic()
    process.send_signal(number)
    wait_until(lambda: client.state().problem, 2, "the client sees it")
    time.sleep(0.5)
    standstill_s, _ = measure(f"listener ended by {number.name}", robot, at_s, client.state().problem)
    assert standstill_s < 0.2
    assert robot.ask("facts")["mode"] == 1 and robot.ask("facts")["timeouts"] == 0
    client.close()


def test_client_that_falls_silent_is_given_up_and_one_that_waits_or_listens_is_not(alone, secret):
    alone.robot("robot/navigator").rest()  # which is looked for, for longer than the client may be silent
    program = "import sys, worker; worker.IDLE_S = 1.5; sys.exit(worker.main(sys.argv[1:]))"
    env = alone.worker_environment()
    env["PYTHONPATH"] += f":{Path(WORKER).parent}"
    command = [ROS1_PYTHON, "-c", program, "--listen", "127.0.0.1:0", "--secret-file", str(secret)]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        port = int(process.stderr.readline().rsplit(":", 1)[1])
        client = InteraClient.connect("127.0.0.1", port, read_secret(str(secret)))
        client.wait_ready(20)
        time.sleep(3.0)
        assert client.state().problem == "", "a client that only listens says that it is there"
        client._alive_s = float("inf")
        wait_until(lambda: "the client has sent nothing for" in client.state().problem, 10, "it is given up")
        client.close()
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_worker_command_may_source_a_workspace_first(ros1, robot, tmp_path):
    workspace = tmp_path / "setup.bash"
    env = ros1.worker_environment()
    workspace.write_text(f"export PYTHONPATH={env.pop('PYTHONPATH')}\n")
    command = ["bash", "-c", f'. {workspace} && exec {ROS1_PYTHON} "$@"', "worker"]
    client = InteraClient.start([*command, WORKER], env)
    assert client.wait_ready(20).robot == "5.5.2.0"
    assert client.close() == 0


@pytest.mark.parametrize("client", [("--allow-torque", "--velocity-scale", "0.2")], indirect=True)
def test_torque_that_makes_a_joint_too_fast_is_ended(robot, enabled):
    wait_until(lambda: not enabled.state().state.interruption, 2, "the news that it is enabled comes")
    begin_s = time.monotonic()
    while not enabled.state().state.interruption and time.monotonic() < begin_s + 3:
        enabled.command("torque", 3.0 * np.eye(7)[5])
        time.sleep(0.02)
    assert "joint 5 moves at" in enabled.state().state.interruption
    time.sleep(0.7)
    end_s = time.monotonic()  # before the trace is fetched, which may take a while
    assert robot.trace().speed_rad_s(end_s - 0.3, end_s) < 0.01
