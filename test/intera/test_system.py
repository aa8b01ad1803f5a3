"""The whole system, robot:=sawyer, on a robot that speaks Intera: what each fault comes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros1_bench import HERE, ROS1_PYTHON, SDK, Ros1, SimulatedRobot, measure, wait_until

rclpy = pytest.importorskip("rclpy")
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.system.environment import free_domain  # noqa: E402

STANDSTILL_S = 0.25
STATES = ("DISABLED", "HOLD", "RUNNING", "PAUSED", "FAULT", "RESETTING", "DONE")


class Operator:
    """A person with a deadman and a terminal, before the running system."""

    def __init__(self, folder: Path, ros1: Ros1, messages: Path, domain: int) -> None:
        self.folder, self.uri = folder, ros1.uri
        own = folder / "lab.yaml"
        path = ":".join(str(entry) for entry in (*SDK, messages, HERE / "stubs", HERE / "stand_in"))
        given = {"master_uri": ros1.uri, "host_ip": "127.0.0.1", "worker_command": ROS1_PYTHON, "worker_path": path}
        lines = [f"    {name}: {value}" for name, value in given.items()]
        own.write_text("\n".join(["/**/arm:", "  ros__parameters:", *lines, ""]))
        words = ["robot:=sawyer", f"params:={own}", f"run_dir:={folder / 'run'}", "duration_min:=0"]
        with (folder / "up.out").open("wb") as out:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "tdm_ros", "up", "sawyer_reach", *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("operator", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.holds = True
        self.arm: ArmState | None = None
        self.told: Episode | None = None
        self._deadman = self.node.create_publisher(Bool, "deadman", qos.COMMAND)
        self.node.create_timer(0.05, self._tick)
        self.node.create_subscription(ArmState, "arm_state", self._on_arm, qos.STATE)
        self.node.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._over.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def _tick(self) -> None:
        if self.holds:
            self._deadman.publish(Bool(data=True))

    def _on_arm(self, message: ArmState) -> None:
        self.arm = message

    def _on_episode(self, message: Episode) -> None:
        self.told = message

    def ask(self, service: str) -> str:
        """Call a service; returns "" or why it was not done."""
        client = self.node.create_client(Trigger, service)
        assert client.wait_for_service(20), f"{service} is not there"
        future = client.call_async(Trigger.Request())
        wait_until(future.done, 15, f"{service} answers")
        answer = future.result()
        return "" if answer.success else answer.message

    @property
    def state(self) -> str:
        return STATES[self.told.state] if self.told else "nothing"

    @property
    def said(self) -> str:
        """Why the arm stands, in its own words."""
        return (self.arm.fault or self.arm.hold_reason) if self.arm else ""

    def wait_for(self, *states: str, seconds: float = 30) -> None:
        wait_until(lambda: self._up() and self.state in states, seconds, f"the state is {' or '.join(states)}")

    def _up(self) -> bool:
        assert self.up.poll() is None, (self.folder / "up.out").read_text()
        return True

    def go(self) -> None:
        """Do what a person does to get the arm moving under the policy, from wherever it is."""
        self.holds = True
        wait_until(lambda: self._up() and self.arm is not None and self.told is not None, 60, "the system is up")
        for _ in range(3):  # a busy machine may be a fault of its own
            if self._start():
                return
        raise AssertionError(f"the arm does not get going: {self.state}, {self.said}")

    def _start(self) -> bool:
        if self.state == "FAULT" or self.said.startswith("the motors"):
            self.wait_for("FAULT")
            self.ask("/arm/reset")  # refused where nothing was stopped
            assert self.ask("/arm/enable") == ""
            assert self.ask("/supervisor/clear_fault") == ""
            wait_until(lambda: self.state != "FAULT", 5, "it is cleared")
        self.ask("/supervisor/start")
        wait_until(lambda: self.state in ("RUNNING", "FAULT", "PAUSED"), 60, "it starts")
        end_s = time.monotonic() + 10
        while self.state == "RUNNING" and time.monotonic() < end_s:
            if max(map(abs, self.arm.velocity)) > 0.05:
                return True
            time.sleep(0.005)
        return False

    def pid(self, name: str) -> int:
        """Process of a node, or of the worker."""
        pids = subprocess.run(["pgrep", "-f", name], capture_output=True, text=True).stdout.split()
        for pid in pids:
            environ = Path(f"/proc/{pid}/environ").read_text(errors="replace")
            if str(self.folder) in environ or self.uri in environ:
                return int(pid)
        raise AssertionError(f"no process {name}")

    def close(self) -> None:
        self._over.set()
        self._thread.join(2)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        if self.up.poll() is None:
            os.killpg(self.up.pid, signal.SIGINT)
            try:
                self.up.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.up.pid, signal.SIGKILL)


@pytest.fixture
def operator(
    tmp_path: Path, ros1: Ros1, robot: SimulatedRobot, messages: dict, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    domain = free_domain()
    ros = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_HOME": str(tmp_path)}
    for name, value in ros.items():
        monkeypatch.setenv(name, value)
    operator = Operator(tmp_path, ros1, messages["folder"], domain)
    yield operator
    operator.close()


def stands(
    operator: Operator, robot: SimulatedRobot, case: str, since_s: float, within_s: float = STANDSTILL_S
) -> None:
    """The arm came to rest in time, and stays."""
    time.sleep(1.5)
    took_s, overrun_rad = measure(f"system: {case}", robot, since_s, operator.said)
    assert took_s <= within_s, f"{case}: standstill after {took_s:.3f} s ({overrun_rad:.3f} rad)"


def test_system_comes_up_without_moving_and_a_person_starts_it(operator: Operator, robot: SimulatedRobot) -> None:
    operator.wait_for("FAULT", seconds=60)
    wait_until(lambda: "enable them" in operator.said, 5, "the arm says what is to be done")
    assert robot.trace().speed_rad_s(0, float("inf")) < 0.01
    assert "the state is FAULT" in operator.ask("/supervisor/start")
    operator.go()


def test_system_faults_end_in_an_arm_that_stands_until_a_person_says_otherwise(
    operator: Operator, robot: SimulatedRobot
) -> None:
    operator.wait_for("FAULT", seconds=60)

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


@pytest.mark.parametrize(
    ("case", "name", "number"),
    [
        ("kill -9 of worker", "intera/worker.py", signal.SIGKILL),
        ("SIGSTOP of worker", "intera/worker.py", signal.SIGSTOP),
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
    stands(operator, robot, case, since_s, STANDSTILL_S + 0.1 * (name == "intera/worker.py"))
    if number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
        goes_on_s = time.monotonic()
        time.sleep(1.0)
        assert robot.trace().speed_rad_s(goes_on_s, time.monotonic()) < 0.02, "the old command came back"
