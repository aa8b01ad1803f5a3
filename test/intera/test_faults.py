"""The real worker process, rosmaster and the simulated robot: what goes wrong, and how the arm comes to rest."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import xmlrpc.client

import numpy as np
import pytest
from ros1_bench import ROOT, ROS1_PYTHON, WORKER, drive, measure, wait_until

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.client import InteraClient, InteraError

SETTLED_S = 0.7


def worker_pid(client: InteraClient) -> int:
    """Return the process that the client started."""
    return client._process.pid


def told_within(client: InteraClient, seconds: float) -> str:
    """Return what the client says, which it must within this time."""
    since_s = time.monotonic()
    wait_until(lambda: client.state().problem, seconds, "the client sees it")
    seen_s = time.monotonic() - since_s
    return f"{client.state().problem}; seen after {seen_s:.3f} s"


def test_silence_of_the_client_ends_in_standstill_and_nothing_is_resumed(robot, enabled):
    last_s = drive(enabled, 0.7)
    time.sleep(SETTLED_S)
    state = enabled.state().state
    standstill_s, overrun_rad = measure("client silent", robot, last_s, "")
    assert standstill_s < 0.15 + 0.12 and overrun_rad < 0.06
    assert state.phase == "idle"
    facts = robot.ask("facts")
    assert facts["mode"] == 1 and facts["timeouts"] == 0  # the worker did it, not the robot
    time.sleep(0.5)
    assert robot.trace().speed_rad_s(last_s + 0.4, time.monotonic()) < 0.01


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_worker_is_caught_by_the_robot_and_resumes_nothing(robot, enabled, number):
    drive(enabled, 0.7)
    os.kill(worker_pid(enabled), number)
    stopped_s = time.monotonic()
    said = told_within(enabled, 0.3)
    drive(enabled, 0.8)
    standstill_s, overrun_rad = measure(f"{number.name} of the worker", robot, stopped_s, said)
    assert standstill_s < 0.35 and overrun_rad < 0.07
    assert robot.ask("facts")["timeouts"] == 1
    assert enabled.command("velocity", np.zeros(7)) == enabled.state().problem != ""
    if number == signal.SIGSTOP:
        os.kill(worker_pid(enabled), signal.SIGCONT)
        continued_s = time.monotonic()
        time.sleep(SETTLED_S)
        assert robot.trace().overrun_rad(continued_s) < 0.01
        assert enabled.state().problem == ""


def test_commands_that_queued_up_while_the_worker_was_frozen_are_not_followed(robot, enabled):
    drive(enabled, 0.5)
    os.kill(worker_pid(enabled), signal.SIGSTOP)
    values = (0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    seen = enabled.state().state.seq
    for number in range(20):  # past the client's own check, as if it had not noticed
        enabled._sender.send(wire.Command(10_000 + number, seen, "velocity", values))
        time.sleep(0.05)
    os.kill(worker_pid(enabled), signal.SIGCONT)
    continued_s = time.monotonic()
    time.sleep(SETTLED_S)
    _, overrun_rad = measure("SIGCONT with 20 commands queued", robot, continued_s, enabled.state().state.rejection)
    assert overrun_rad < 0.01
    assert "it answers a state from" in enabled.state().state.rejection


def test_terminated_worker_stops_the_arm_before_it_leaves(robot, enabled):
    drive(enabled, 0.7)
    os.kill(worker_pid(enabled), signal.SIGTERM)
    at_s = time.monotonic()
    wait_until(lambda: "ended with status 0" in enabled.state().problem, 2, "the worker leaves")
    time.sleep(SETTLED_S)
    standstill_s, _ = measure("worker ended (SIGTERM)", robot, at_s, enabled.state().problem)
    assert standstill_s < 0.2
    assert robot.ask("facts")["timeouts"] == 0


def test_cut_socket_makes_the_worker_stop_the_arm_and_leave(robot, enabled):
    drive(enabled, 0.7)
    cut_s = time.monotonic()
    assert enabled.close() == 0
    time.sleep(SETTLED_S)
    standstill_s, overrun_rad = measure("socket cut", robot, cut_s, enabled.state().problem)
    assert standstill_s < 0.2 and overrun_rad < 0.04
    facts = robot.ask("facts")
    assert facts["mode"] == 1 and facts["timeouts"] == 0


def test_node_that_ros_tells_to_end_stops_the_arm_first(ros1, robot, enabled):
    master = xmlrpc.client.ServerProxy(ros1.uri)
    publishers = master.getSystemState("/test")[2][0]
    name = next(node for _, nodes in publishers for node in nodes if f"worker_{worker_pid(enabled)}_" in node)
    uri = master.lookupNode("/test", name)[2]
    drive(enabled, 0.5)
    at_s = time.monotonic()
    with contextlib.suppress(OSError):  # it may be gone before it has answered
        xmlrpc.client.ServerProxy(uri).shutdown("/test", "away")
    wait_until(lambda: "ended with status 7" in enabled.state().problem, 2, "the worker leaves")
    time.sleep(SETTLED_S)
    standstill_s, _ = measure("node ended by ROS", robot, at_s, enabled.state().problem)
    assert "ROS 1 shuts down the worker's node" in enabled.state().problem
    assert standstill_s < 0.2 and robot.ask("facts")["timeouts"] == 0


CLIENT = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    import numpy as np
    from tdm_ros.drivers.intera.client import InteraClient
    client = InteraClient.start({command!r}, dict(os.environ))
    client.wait_ready(30)
    assert client.request("enable").result(8).done
    print(client._process.pid, flush=True)
    while True:
        client.command("velocity", np.array([0.2, 0, 0, 0, 0, 0, 0]))
        time.sleep(0.05)
"""


def test_killed_client_process_stops_the_arm_and_ends_the_worker(ros1, robot):
    program = textwrap.dedent(CLIENT).format(root=str(ROOT), command=[ROS1_PYTHON, WORKER])
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=ros1.worker_environment(), stdout=subprocess.PIPE, text=True
    )
    pid = int(process.stdout.readline())
    time.sleep(0.7)
    process.kill()
    killed_s = time.monotonic()
    process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid), 2, "the worker leaves")
    time.sleep(SETTLED_S)
    standstill_s, _ = measure("client process killed", robot, killed_s, "")
    assert standstill_s < 0.2
    assert robot.ask("facts")["mode"] == 1


JUMPING_CLOCK = """
    import os, time
    real = time.time

    def jumping():
        now = real()
        return now + (3600 if int(4 * now) % 2 else -3600) if os.path.exists({flag!r}) else now

    time.time = jumping
"""


def test_wall_clock_that_jumps_by_hours_changes_nothing(ros1, robot, tmp_path):
    flag = tmp_path / "jump"
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(JUMPING_CLOCK).format(flag=str(flag)))
    env = ros1.worker_environment()
    client = InteraClient.start([ROS1_PYTHON, WORKER], {**env, "PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"})
    client.wait_ready(20)
    assert client.request("enable").result(8).done
    flag.touch()
    begin_s = time.monotonic()
    last_s = drive(client, 1.0)
    time.sleep(SETTLED_S)
    standstill_s, _ = measure("client silent, wall clock jumps by hours", robot, last_s, "")
    moved = robot.trace().at(last_s) - robot.trace().at(begin_s)
    client.close()
    assert moved[0] == pytest.approx(0.19, abs=0.02)
    assert standstill_s < 0.27


def test_first_command_that_the_robot_does_not_hear_is_sent_again(robot, enabled):
    robot.ask("set", "deaf", True)
    begin_s = time.monotonic()
    enabled.command("velocity", [0.2, 0, 0, 0, 0, 0, 0])
    time.sleep(0.03)
    robot.ask("set", "deaf", False)
    time.sleep(0.5)
    assert 0.01 < robot.trace().overrun_rad(begin_s) < 0.05


@pytest.mark.parametrize("flag", ["frozen", "stuck", "nan"])
def test_joint_states_that_are_not_new_send_the_arm_back_to_no_old_position(flag, robot, enabled):
    drive(enabled, 0.7)
    robot.ask("set", flag, True)
    at_s = time.monotonic()
    drive(enabled, 0.8)
    state, age_s, problem = enabled.state()
    standstill_s, overrun_rad = measure(f"joint states: {flag}", robot, at_s, state.rejection)
    assert standstill_s < 0.3 and overrun_rad < 0.06
    assert "joint states are" in state.rejection and age_s > 0.5
    assert problem == ""  # the worker itself is well
    facts = robot.ask("facts")
    assert facts["mode"] == 1 and facts["timeouts"] == 1  # the robot's own time-out ended velocity mode
    trace = robot.trace()
    assert trace.q_rad[-1, 0] - trace.at(at_s)[0] > 0.01


def test_released_estop_needs_reset_and_enable(robot, enabled):
    robot.ask("estop", True)
    wait_until(lambda: enabled.state().state.estop, 1, "the e-stop is seen")
    answer = enabled.request("reset").result(8)
    assert not answer.done
    robot.ask("estop", False)
    wait_until(lambda: not enabled.state().state.estop, 1, "the release is seen")
    assert "reset first" in enabled.request("enable").result(8).reason
    assert enabled.request("reset").result(8).done and not robot.ask("facts")["enabled"]
    assert enabled.request("enable").result(8).done


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("NaN on the wire", b'{"type":"command","seq":9999,"state_seq":1,"mode":"velocity","values":[NaN],"hold_s":1}'),
        ("nonsense on the wire", b"\xff\xfe\xfd"),
    ],
)
def test_nonsense_on_the_wire_stops_the_arm_and_ends_the_worker(name, frame, robot, enabled):
    drive(enabled, 0.5)
    enabled._link.sendall(len(frame).to_bytes(4, "big") + frame)
    at_s = time.monotonic()
    wait_until(lambda: "ended with status 6" in enabled.state().problem, 2, "the worker leaves")
    time.sleep(SETTLED_S)
    standstill_s, _ = measure(name, robot, at_s, enabled.state().problem[:60])
    assert standstill_s < 0.2
    assert robot.ask("facts")["mode"] == 1


def test_a_client_that_stalls_does_not_find_a_second_of_old_states(enabled):
    hangs_s, take = [1.5], enabled._take

    def slowly(message: wire.Message) -> None:
        time.sleep(hangs_s.pop() if hangs_s else 0.0)
        take(message)

    enabled._take = slowly
    time.sleep(1.0)
    assert "silent" in enabled.state().problem
    wait_until(lambda: not enabled.state().problem, 1, "the client reads again")
    time.sleep(0.05)
    assert time.monotonic() - enabled.state().state.stamp_s < 0.2


# A robot that is not whole. Each has a master of its own.


def enabled_with(alone, *without: str, arguments: tuple[str, ...] = ()):
    """A robot that lacks something, and the client of a worker that has enabled it; they end with the master."""
    robot = alone.robot(*without)
    robot.rest()
    client = alone.start_worker(*arguments)
    client.wait_ready(30)
    assert client.request("enable").result(8).done
    return robot, client


def ends(client: InteraClient, says: str, code: int) -> None:
    """The worker does not start, for a reason that it gives, and ends with a code."""
    with pytest.raises(InteraError, match=says):
        client.wait_ready(30)
    assert client.close() == code


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("/robot_config/assembly_names", r"Limb\('right'\) must have joints right_j0 to right_j6, got none"),
        ("/robot_config/right_config/joint_names", r"Limb\('right'\) must have joints right_j0 to right_j6, got none"),
        ("tip_states", "tip_states"),
        ("collision_detection_state", "collision_detection_state published nothing complete and finite for 5 s"),
    ],
)
def test_robot_that_lacks_something_is_told_in_one_sentence(alone, without, sentence):
    alone.robot(without)
    ends(alone.start_worker(), sentence, 5)


def test_missing_cuff_and_navigator_are_told_and_not_fatal_to_a_robot_that_has_none(alone):
    robot, client = enabled_with(alone, "robot/cuff", "robot/navigator", arguments=("--without", "cuff"))
    assert sorted(text.split(":")[0] for text in client.hello.missing) == ["cuff", "navigator"]
    begin_s = time.monotonic()
    drive(client, 0.4)
    assert robot.trace().speed_rad_s(begin_s, time.monotonic()) == pytest.approx(0.2, abs=0.03)
    client.close()


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ("robot/cuff", "no cuff was found"),
        ("robot/cuff/state", "the cuff is there and has never sent its state"),
        ("robot/navigator/state", "the navigator is there and has never sent its state"),
        ("robot/cuff/right_cuff", "the cuff has no signal right_cuff, only right_button_lower, right_button_upper"),
    ],
)
def test_robot_whose_cuff_is_unknown_is_not_moved(alone, without, says):
    robot, client = enabled_with(alone, without)
    begin_s = time.monotonic()
    drive(client, 0.4)
    state = client.state().state  # before the robot tells its trace, which may delay joint states
    assert robot.trace().speed_rad_s(begin_s, time.monotonic()) < 0.01
    assert says in state.problem and says in state.rejection
    client.close()


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuff", "the cuff has been silent for"),
        ("navigator", "the navigator has been silent for"),
        ("io", "the cuff's node /io/robot has been silent for"),
    ],
)
def test_device_that_repeated_itself_and_falls_silent_stops_the_arm(device, says, robot, enabled):
    robot.ask("set", "io_repeats", device != "io")
    drive(enabled, 1.8)
    robot.ask("set", f"mute_{device}", True)
    if device == "cuff":
        robot.ask("press", "robot/cuff", "right_cuff", 1)  # which is not received
    begin_s = time.monotonic()
    while not (said := enabled.state().state.problem) and time.monotonic() < begin_s + 5:
        drive(enabled, 0.05)
    at_s = time.monotonic()
    drive(enabled, 0.6)
    standstill_s, _ = measure(f"{device} silent", robot, at_s, said)
    assert says in said
    assert standstill_s < 0.2


def test_device_that_speaks_on_changes_alone_is_relied_on(robot, enabled):
    drive(enabled, 2.5)
    assert enabled.state().state.problem == "" == enabled.state().state.interruption
    robot.ask("press", "robot/cuff", "right_cuff", 1)
    wait_until(lambda: enabled.state().state.cuff, 2, "the cuff is read as held")
    robot.ask("press", "robot/cuff", "right_cuff", 0)
    wait_until(lambda: not enabled.state().state.cuff, 2, "and as released")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("withdraw", "robot/cuff"), "the state of the cuff has no publisher"),
        (("leave",), "no subscriber of /robot/limb/right/joint_command"),
    ],
)
def test_robot_that_leaves_a_topic_is_reported(alone, order: tuple[str, ...], words: str):
    robot, client = enabled_with(alone)
    robot.ask(*order)
    wait_until(lambda: words in client.state().state.problem, 5, "it is reported")
    client.close()


def test_robot_that_can_not_reach_us_is_told(alone):
    alone.robot()
    unreachable = {**alone.worker_environment(), "ROS_IP": "192.0.2.1"}  # for documentation: nobody has it
    says = r"no subscriber of /robot/limb/right/joint_command.* at http://192\.0\.2\.1:.*Set ros1\.host_ip \(ROS_IP\)"
    ends(InteraClient.start([ROS1_PYTHON, WORKER], unreachable), says, 5)


SIDE_BY_SIDE = """
import threading
barrier = threading.Barrier(4)
def wait(*arguments, **named):
    barrier.wait(10)
    raise OSError("each was waited for at once")
RobotEnable = Limb = Cuff = Navigator = wait
"""
ENDS_THE_PROCESS = """
class RobotEnable:
    def __init__(self, versioned):
        raise SystemExit(1)
"""


@pytest.mark.parametrize(
    ("sdk", "says"),
    [
        (SIDE_BY_SIDE, r"RobotEnable .* each was waited for at once\); Limb .* at once"),
        (ENDS_THE_PROCESS, "RobotEnable of intera_interface wanted to end the process"),
    ],
    ids=["waits do not add up", "ends the process"],
)
def test_sdk_that_can_not_be_made_is_told(alone, tmp_path, sdk, says):
    package = tmp_path / "intera_interface"
    package.mkdir()
    (package / "__init__.py").write_text(sdk)
    env = alone.worker_environment()
    ends(InteraClient.start([ROS1_PYTHON, WORKER], {**env, "PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"}), says, 5)


@pytest.mark.parametrize(
    ("python", "with_sdk", "master", "says", "code"),
    [
        (ROS1_PYTHON, True, "http://127.0.0.1:9", r"no ROS master at http://127\.0\.0\.1:9 ", 4),
        (ROS1_PYTHON, True, "", "RobotEnable of intera_interface cannot be made", 5),
        (ROS1_PYTHON, False, "", "intera_interface cannot be imported", 3),
        (sys.executable, False, "", "no rospy", 3),
    ],
    ids=["master", "robot", "SDK", "ROS"],
)
def test_what_is_not_there_is_told(alone, python, with_sdk, master, says, code):
    env = alone.worker_environment() if with_sdk else alone.environment()
    env |= {"ROS_MASTER_URI": master} if master else {}
    ends(InteraClient.start([python, WORKER], env), says, code)


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
