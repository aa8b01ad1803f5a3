"""The real worker process, rosmaster and the simulated robot: what should go well."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ros1_bench import ROS1_PYTHON, WORKER, drive, measure, wait_until

from tdm_ros.drivers.intera.client import InteraClient, InteraError
from tdm_ros.drivers.intera.wire import read_secret
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
    assert hello.joints == tuple(f"right_j{i}" for i in range(7))
    assert hello.sdk.startswith("5.") and hello.robot == "5.5.2.0"
    assert hello.missing == ()
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


def test_nothing_moves_before_somebody_enables(robot, client):
    wait_until(lambda: client.state().state, 2, "a state comes")
    drive(client, 0.3)
    state = client.state().state
    assert state.refusal == "the motors are off: enable them" and state.refused > 0
    assert robot.ask("facts")["bad_commands"] == 0
    np.testing.assert_allclose(state.q_rad, NEUTRAL_RAD, atol=0.01)


def test_velocity_of_a_fifth_of_a_radian_for_a_second_moves_a_fifth(robot, enabled):
    begin_s = time.monotonic()
    drive(enabled, 1.0)
    assert enabled.hold().result(1).done
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


def test_hold_then_new_commands_move_again(robot, enabled):
    drive(enabled, 0.3)
    enabled.hold().result(1)
    time.sleep(0.3)
    assert enabled.state().state.phase == "idle"
    begin_s = time.monotonic()
    drive(enabled, 0.5)
    assert robot.trace().speed_rad_s(begin_s, time.monotonic()) == pytest.approx(0.2, abs=0.03)


def test_position_mode_goes_where_it_is_told(robot, enabled):
    assert enabled.speed_ratio(0.1).result(1).done
    target = NEUTRAL_RAD + np.array([0.05, 0, 0, 0, 0, 0, 0])
    end_s = time.monotonic() + 1.5
    while time.monotonic() < end_s:
        assert not enabled.command("position", target)
        time.sleep(0.05)
    np.testing.assert_allclose(enabled.state().state.q_rad, target, atol=0.01)


def test_torque_is_refused_unless_the_worker_allows_it(enabled):
    assert not enabled.command("torque", np.zeros(7))
    wait_until(lambda: enabled.state().state.refused, 1, "it is refused")
    assert "--allow-torque" in enabled.state().state.refusal


@pytest.mark.parametrize("client", [("--allow-torque",)], indirect=True)
def test_torque_moves_the_arm_where_it_is_allowed(robot, enabled):
    torque = np.zeros(7)
    torque[5] = 0.1
    start = NEUTRAL_RAD[5]
    for _ in range(12):
        enabled.command("torque", torque)
        time.sleep(0.05)
    state = enabled.state().state
    assert not state.refusal
    assert state.q_rad[5] - start > 0.02
    at_s = time.monotonic()
    time.sleep(0.7)
    standstill_s, _ = measure("client silent, torque mode", robot, at_s, "")
    assert standstill_s < 0.3


def test_a_command_over_the_cap_is_refused_and_stops_the_one_before(robot, enabled):
    drive(enabled, 0.4)
    enabled.command("velocity", np.full(7, 1.0))
    at_s = time.monotonic()
    time.sleep(0.4)
    state = enabled.state().state
    assert "joint 0: velocity must be in [-0.435, 0.435] rad/s, got 1" in state.refusal
    standstill_s, _ = measure("command over the cap", robot, at_s, state.refusal)
    assert standstill_s < 0.1


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


def test_buttons_lights_and_gripper(robot, client):
    robot.ask("press", "robot/cuff", "right_cuff", 1)
    robot.ask("press", "robot/navigator", "right_button_ok", 2)
    wait_until(lambda: client.state().state and client.state().state.cuff, 2, "the cuff is seen")
    wait_until(lambda: client.state().state.buttons.get("right_button_ok") == 2, 2, "the button is seen")
    robot.ask("press", "robot/cuff", "right_cuff", 0)
    robot.ask("press", "robot/navigator", "right_button_ok", 0)
    before = client.state().state.seq
    assert client.gripper(0.02).result(12).done
    assert client.light("head_green_light", True).result(12).done
    assert "head_green_light" in client.light("disco", True).result(12).reason
    assert client.state().problem == "" and client.state().state.seq > before
    facts = robot.ask("facts")
    assert facts["gripper_m"] == pytest.approx(0.02) and facts["lights"]["head_green_light"] is True


def test_enable_of_a_stopped_robot_waits_for_an_explicit_reset(robot, client):
    assert client.enable().result(8).done
    assert client.stop().result(8).done
    wait_until(lambda: client.state().state.stopped, 1, "it is seen to be stopped")
    answer = client.enable().result(8)
    assert not answer.done and "ask for a reset first" in answer.reason
    assert robot.ask("facts")["stopped"]
    assert client.reset().result(8).done
    assert not robot.ask("facts")["enabled"]
    assert client.enable().result(8).done


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
        assert client.enable().result(8).done
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
    assert client.enable().result(8).done
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
    assert client.wait_ready(20).joints
    assert client.close() == 0


def ends(robot, enabled, kind: str, values: np.ndarray, words: str) -> None:
    """Command the same until the worker ends it, for a reason; the robot is then at rest."""
    wait_until(lambda: not enabled.state().state.interruption, 2, "the news that it is enabled comes")
    begin_s = time.monotonic()
    while not enabled.state().state.interruption and time.monotonic() < begin_s + 3:
        enabled.command(kind, values)
        time.sleep(0.02)
    assert words in enabled.state().state.interruption
    time.sleep(0.7)
    end_s = time.monotonic()  # before the trace is fetched, which may take a while
    assert robot.trace().speed_rad_s(end_s - 0.3, end_s) < 0.01


@pytest.mark.parametrize("client", [("--allow-torque", "--velocity-scale", "0.2")], indirect=True)
def test_torque_that_makes_a_joint_too_fast_is_ended(robot, enabled):
    ends(robot, enabled, "torque", 3.0 * np.eye(7)[5], "joint 5 moves at")


def test_position_that_makes_the_hand_too_fast_is_ended(robot, enabled):
    assert enabled.speed_ratio(0.25).result(1).done
    target = NEUTRAL_RAD + np.array([0.7, 0.53, 0, 0.78, 0, 0, 0])  # together they move the hand by 0.4 m/s
    ends(robot, enabled, "position", target, "the hand moves at")
    assert enabled.state().state.q_rad[0] < target[0] - 0.3
