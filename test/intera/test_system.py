"""The whole system, robot:=sawyer, on a robot that speaks Intera: what each fault comes to."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ros1_bench import ROOT, Ros1, SimulatedRobot, wait_until

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from operator_bench import STANDSTILL_S, Operator, stands
from tdm_ros.msg import ArmState

from tdm_ros.nodes.diagnostics import values_of


@pytest.fixture
def operator(operate, ros1: Ros1, robot: SimulatedRobot) -> Operator:
    return operate(ros1)


def test_system_comes_up_without_moving_and_faults_end_in_an_arm_that_stands_until_a_person_says_otherwise(
    operator: Operator, robot: SimulatedRobot
) -> None:
    operator.wait_for("FAULT", seconds=60)
    wait_until(lambda: "enable them" in operator.said, 5, "the arm says what is to be done")
    assert robot.trace().speed_rad_s(0, float("inf")) < 0.01
    assert "the state is FAULT" in operator.ask("/supervisor/start")

    operator.go()
    since_s = time.monotonic()
    operator.holds = False
    stands(operator, robot, "deadman released", since_s, STANDSTILL_S + 0.2)  # 0.2 s of silence are not yet a release
    operator.wait_for("PAUSED", "FAULT")

    for case, name, number in (
        ("kill -9 of policy", "lib/tdm_ros/policy", signal.SIGKILL),
        ("SIGSTOP of policy", "lib/tdm_ros/policy", signal.SIGSTOP),
    ):
        operator.go()
        pid, since_s = operator.pid(name), time.monotonic()
        os.kill(pid, number)
        stands(operator, robot, case, since_s)
        operator.wait_for("PAUSED", "FAULT")
        if number == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
            time.sleep(1.0)
            assert max(map(abs, operator.arm.velocity)) < 0.02, "nothing goes on by itself"

    for case, begin, end in (
        ("e-stop", ("estop", True), ("estop", False)),
        ("collision flag", ("set", "collided", True), ("set", "collided", False)),
        ("frozen joint states", ("set", "frozen", True), ("set", "frozen", False)),
    ):
        operator.go()
        since_s = time.monotonic()
        robot.ask(*begin)
        stands(operator, robot, case, since_s)
        operator.wait_for("FAULT")
        assert operator.ask("/supervisor/start") != "", "a fault is not started over"
        robot.ask(*end)
        time.sleep(0.5)
        assert operator.state == "FAULT"


def test_system_whose_robot_another_program_enables_moves_only_after_a_person_starts_it(
    operator: Operator, robot: SimulatedRobot
) -> None:
    operator.go()
    since_s = time.monotonic()
    robot.ask("set", "mute", True)
    robot.ask("estop", True)  # which is not heard
    stands(operator, robot, "e-stop that is not heard", since_s)
    operator.wait_for("FAULT")
    assert "the state of the robot is" in operator.said
    robot.ask("estop", False)
    robot.ask("reset")
    robot.ask("enable")
    robot.ask("set", "mute", False)
    enabled_s = time.monotonic()
    assert operator.ask("/supervisor/start") != "", "a fault is not started over"
    time.sleep(1.5)
    assert robot.ask("facts")["enabled"] and operator.state == "FAULT"
    assert robot.trace().speed_rad_s(enabled_s, time.monotonic()) < 0.02

    assert operator.ask("/supervisor/clear_fault") == ""
    wait_until(lambda: operator.state != "FAULT", 5, "it is cleared")
    time.sleep(1.0)
    started_s = time.monotonic()
    assert operator.ask("/supervisor/start") == "", operator.said
    wait_until(lambda: max(map(abs, operator.arm.velocity)) > 0.03, 10, "a person's start moves it")
    trace = robot.trace()  # only now: while the robot tells it, joint states are late, which is a fault
    assert trace.speed_rad_s(enabled_s, started_s) < 0.02


def test_system_is_operated_by_the_keys_of_a_terminal_alone(operator: Operator, robot: SimulatedRobot) -> None:
    operator.put_the_deadman_away()
    operator.wait_for("FAULT", seconds=60)
    here, there = pty.openpty()
    program = [sys.executable, str(ROOT / "tools" / "operate.py"), str(operator.folder / "run")]
    with (operator.folder / "operate.out").open("wb") as out:
        process = subprocess.Popen(program, stdin=there, stdout=out, stderr=subprocess.STDOUT)

    def said() -> str:
        assert process.poll() is None
        return (operator.folder / "operate.out").read_text()

    def press(key: str, is_so: Callable[[], bool], what: str) -> None:
        os.write(here, key.encode())
        wait_until(is_so, 15, what)

    def moves_while_held() -> bool:
        os.write(here, b"s")  # as a terminal repeats a key
        time.sleep(0.03)
        return operator.state == "FAULT" or max(map(abs, operator.arm.velocity)) > 0.03

    starts = 0
    try:
        wait_until(lambda: "system: FAULT the arm: the motors are off" in said(), 20, "it shows the fault")
        press("e", lambda: "arm/enable: done" in said(), "the motors are on")
        while not starts or operator.state == "FAULT":  # before the release: a busy machine may be a fault of its own
            assert starts < 5, said()
            press("c", lambda: operator.state != "FAULT", "the fault is cleared")
            wait_until(moves_while_held, 20, "the arm moves")
            released_s, starts = time.monotonic(), starts + 1
        wait_until(lambda: operator.state == "PAUSED", 5, "the release stops it, once")
        wait_until(lambda: "system: PAUSED the deadman is not held" in said(), 5, "it says so")
        assert said().count("supervisor/start: ") == starts, "a repetition starts nothing"
        stands(operator, robot, "key of the deadman released", released_s, 0.5 + STANDSTILL_S)
        os.write(here, b"q")
        assert process.wait(10) == 0
    finally:
        process.kill()
        os.close(here)
        os.close(there)


def test_system_says_what_is_missing_on_the_robot(operate, messages: dict, tmp_path: Path) -> None:
    ros1 = Ros1(tmp_path, messages["folder"])
    try:
        robot = ros1.robot("robot/navigator")
        robot.rest()
        operator = operate(ros1)
        received: list[DiagnosticArray] = []
        operator.node.create_subscription(DiagnosticArray, "/diagnostics", received.append, 10)
        operator.wait_for("FAULT", seconds=60)
        line = "missing on the robot: navigator: "
        wait_until(lambda: line in (operator.folder / "up.out").read_text(), 5, "it is in the log of arm")
        wait_until(
            lambda: any(
                values.get("missing", "").startswith("navigator: ") for values in map(of_arm, received) if values
            ),
            5,
            "it is in the diagnostics of arm",
        )
    finally:
        ros1.close()


def of_arm(array: DiagnosticArray) -> dict[str, str] | None:
    return values_of(array, "/arm")


@pytest.mark.parametrize(
    ("case", "name", "number"),
    [
        ("kill -9 of worker", "drivers/intera/worker.py", signal.SIGKILL),
        ("SIGSTOP of worker", "drivers/intera/worker.py", signal.SIGSTOP),
        ("kill -9 of arm", "lib/tdm_ros/arm", signal.SIGKILL),
        ("SIGSTOP of arm", "lib/tdm_ros/arm", signal.SIGSTOP),
    ],
)
def test_system_losing_a_process_near_the_robot_stops_it(
    operator: Operator, robot: SimulatedRobot, case: str, name: str, number: int
) -> None:
    operator.go()
    pid, since_s = operator.pid(name), time.monotonic()
    os.kill(pid, number)
    stands(operator, robot, case, since_s)
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
        goes_on_s = time.monotonic()
        time.sleep(1.0)
        assert robot.trace().speed_rad_s(goes_on_s, time.monotonic()) < 0.02, "the old command came back"


def test_system_gives_way_to_a_person_at_the_cuff_and_hears_her_buttons(
    operator: Operator, robot: SimulatedRobot
) -> None:
    operator.go()
    robot.ask("press", "robot/navigator", "right_button_ok", 1)
    wait_until(lambda: "verdict of the operator: success" in operator.reasons, 3, "the button ends the episode")
    robot.ask("press", "robot/navigator", "right_button_ok", 0)
    held = []
    for _ in range(4):  # a busy machine may be a fault of its own
        operator.go()
        robot.ask("press", "robot/cuff", "right_cuff", 1)
        wait_until(lambda: operator.arm.source == ArmState.SOURCE_HUMAN, 3, "what happens is the person's")
        time.sleep(0.5)
        begin_s, before = time.monotonic(), robot.ask("facts")["commands"]
        time.sleep(0.5)
        assert robot.ask("facts")["commands"] == before, "nothing is commanded meanwhile"
        held.append((begin_s, time.monotonic()))
        fault = operator.arm.fault
        assert fault or operator.arm.source == ArmState.SOURCE_HUMAN
        robot.ask("press", "robot/cuff", "right_cuff", 0)
        operator.wait_for("PAUSED", "FAULT")
        if operator.state == "PAUSED":
            break
    assert operator.announced.reason == "the arm was guided by hand"
    begin_s = time.monotonic()
    time.sleep(1.0)
    end_s = time.monotonic()
    trace = robot.trace()  # only now: while the robot tells it, joint states are late, which is a fault
    assert all(trace.speed_rad_s(*span) < 0.02 for span in held)
    assert trace.speed_rad_s(begin_s, end_s) < 0.02, "nothing goes on by itself beside a person"
    operator.go()
