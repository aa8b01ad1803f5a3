"""A person before the whole system, which runs as anybody would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from ros1_bench import HERE, ROS1_PYTHON, SDK, Ros1, SimulatedRobot, measure, wait_until
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tdm_ros.msg import ArmState, Command, Episode

from tdm_ros.nodes import qos

STANDSTILL_S = 0.25
STATES = ("DISABLED", "HOLD", "RUNNING", "PAUSED", "FAULT", "RESETTING", "DONE")


def through_worker(ros1: Ros1, messages: Path, worker: str = "", secret: str = "") -> dict[str, str]:
    """Parameters of `arm` that lead to the simulated robot; ``worker`` is HOST:PORT of one that runs already."""
    path = ":".join(str(entry) for entry in (*SDK, messages, HERE / "stubs", HERE / "stand_in"))
    given = {"ros1.master_uri": ros1.uri, "ros1.host_ip": "127.0.0.1"}
    given |= {"worker.command": ROS1_PYTHON, "worker.python_path": path}
    return {**given, "worker.address": worker, "worker.secret_file": secret} if worker else given


class Operator:
    """A person with a deadman and a terminal, before the running system `tdm_ros up sawyer_reach`.

    ``words`` are its arguments, ``parameters`` those of each node beside the package's, ``environment`` beside our own.
    """

    def __init__(
        self,
        folder: Path,
        domain: int,
        words: Sequence[str],
        parameters: dict[str, dict[str, object]],
        environment: dict[str, str],
    ) -> None:
        self.folder = folder
        self.token = str(parameters["arm"].get("ros1.master_uri", folder))
        own = folder / "lab.yaml"
        own.write_text(yaml.safe_dump({f"/**/{node}": {"ros__parameters": p} for node, p in parameters.items()}))
        words = [*words, f"params:={own}", f"run_dir:={folder / 'run'}"]
        with (folder / "up.out").open("wb") as out:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "tdm_ros", "up", "sawyer_reach", *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("operator", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.holds = True
        self.arm: ArmState | None = None
        self.announced: Episode | None = None
        self.reasons: list[str] = []
        self.command: Command | None = None
        self._hand = rclpy.create_node("deadman", context=self.context)  # the name that the arm expects
        self._deadman = self._hand.create_publisher(Bool, "deadman", qos.COMMAND)
        self.node.create_timer(0.05, lambda: self.holds and self._deadman.publish(Bool(data=True)))
        self.node.create_subscription(ArmState, "arm_state", lambda m: setattr(self, "arm", m), qos.STATE)
        self.node.create_subscription(Episode, "episode", self._on_episode, qos.EPISODE)
        self.node.create_subscription(Command, "command", lambda m: setattr(self, "command", m), qos.COMMAND)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._over.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def put_the_deadman_away(self) -> None:
        """Leave it to another program: there is one deadman."""
        self.holds = False
        self.executor.create_task(self._hand.destroy_node)  # between two of its messages

    def _on_episode(self, message: Episode) -> None:
        self.announced = message
        self.reasons.append(message.reason)

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
        return STATES[self.announced.state] if self.announced else "nothing"

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
        wait_until(lambda: self._up() and self.arm is not None and self.announced is not None, 60, "the system is up")
        for _ in range(5):  # a busy machine may be a fault of its own, and who was killed takes a while to come back
            if self._start():
                return
            time.sleep(1.0)
        said = f"fault {self.arm.fault!r}, hold {self.arm.hold_reason!r}"
        raise AssertionError(f"the arm does not get going: {self.state} ({self.announced.reason}), {said}")

    def _start(self) -> bool:
        if self.state == "FAULT" or self.said.startswith("the motors"):
            self.wait_for("FAULT")
            self.ask("/arm/reset")  # rejected where nothing was stopped
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
            if str(self.folder) in environ or self.token in environ:
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


def stands(
    operator: Operator, robot: SimulatedRobot, case: str, since_s: float, within_s: float = STANDSTILL_S
) -> None:
    """The arm came to rest in time, and stays; settling by a tenth of a degree, in position mode, is no motion."""
    time.sleep(1.5)
    took_s, overrun_rad = measure(f"system: {case}", robot, since_s, operator.said)
    settled_rad = robot.trace().overrun_rad(since_s + within_s)
    found = f"{case}: standstill after {took_s:.3f} s ({overrun_rad:.4f} rad, later {settled_rad:.4f})"
    assert took_s <= within_s or settled_rad < 0.002, found
