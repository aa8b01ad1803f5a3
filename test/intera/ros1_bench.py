"""Starts a ROS master, the simulated robot and real workers, each a process, and measures how the arm came to rest."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from controller import FLAGS

from tdm_ros.drivers.intera.client import WORKER, InteraClient, ros1_environment
from tdm_ros.robots.sawyer import NEUTRAL_RAD

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROS1_PYTHON = os.environ.get("ROS1_PYTHON", "/usr/bin/python3")
ROBOT_PYTHON = str(ROOT / ".venv-intera" / "bin" / "python")
SDK = [folder for folder in os.environ.get("INTERA_SDK", "").split(os.pathsep) if folder]
STILL_RAD_S = 0.01

TABLE: list[tuple[str, float, float, str]] = []
"""What was measured: case, time to standstill [s], overrun [rad], what the client said."""

INTERFACES: dict[str, str] = {}
"""Which intera_interface the worker of each test had."""


def make_messages(folder: Path) -> dict[str, str]:
    """Generate intera_core_msgs into a folder; return the MD5 sums."""
    command = [ROS1_PYTHON, str(HERE / "make_messages.py"), str(HERE / "intera_core_msgs"), str(folder)]
    environment = ros1_environment(os.environ, "http://127.0.0.1:1")
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


class Ros1:
    """A master of its own, and what talks to it.

    Parameters
    ----------
    folder, messages : Path
        For output, and where the generated messages are.
    """

    def __init__(self, folder: Path, messages: Path) -> None:
        self.folder, self._messages = folder, messages
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._processes: list[subprocess.Popen] = []
        master = [ROS1_PYTHON, "/usr/bin/rosmaster", "--core", "-p", str(port)]
        self.master = self.start(master, self.environment(), "master").pid
        wait_until(lambda: _answers(port), 20, "the ROS master answers")

    def environment(self, *python_path: object) -> dict[str, str]:
        """Return that of a ROS 1 process."""
        env = ros1_environment(os.environ, self.uri, "127.0.0.1", [str(folder) for folder in python_path])
        return {**env, "ROS_HOME": str(self.folder)}

    def worker_environment(self) -> dict[str, str]:
        """Return that of a worker: the genuine SDK first if we know where it is, ours of the tests last."""
        return self.environment(*SDK, self._messages, HERE / "stubs", HERE / "stand_in")

    def robot(self, *without: str) -> SimulatedRobot:
        """Start a robot that lacks something."""
        command = [ROBOT_PYTHON, str(HERE / "robot.py")]
        for name in without:
            command += ["--without", name]
        process = self.start(command, self.environment(self._messages, ROOT), "robot", pipes=True)
        return SimulatedRobot(process, self.folder / "robot.out")

    def start_worker(self, *arguments: str) -> InteraClient:
        """Start a worker; it may not be up yet."""
        return InteraClient.start([ROS1_PYTHON, WORKER, *arguments], self.worker_environment())

    def close(self) -> None:
        """End all processes."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, command: list[str], env: dict[str, str], name: str, pipes: bool = False) -> subprocess.Popen:
        """Start a process that ends with this."""
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        with (self.folder / f"{name}.out").open("ab") as out:
            process = subprocess.Popen(
                command, env=env, stdin=pipe, stdout=pipe if pipes else out, stderr=out, text=True, cwd=self.folder
            )
        self._processes.append(process)
        return process


class SimulatedRobot:
    """The robot's process, from outside of ROS."""

    def __init__(self, process: subprocess.Popen, output: Path | None = None) -> None:
        self._process, self._output = process, output
        assert json.loads(process.stdout.readline() or '"it ended, see robot.out"') == "up"

    def ask(self, *words: object) -> object:
        """Let it do something; see robot.py."""
        answer = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, f"the robot's process ended with status {self._process.wait(5)}: {self._said()}"
        answered = json.loads(answer)
        assert not str(answered).startswith("Traceback"), answered
        return answered

    def threads(self) -> str:
        """Let it say what its threads do; return the end of all that it said."""
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        return self._said()

    def _said(self) -> str:
        """Return the end of its output."""
        return self._output.read_text(errors="replace")[-6000:] if self._output else "its output was not kept"

    def rest(self) -> None:
        """Take all faults away, and put the arm in neutral, not enabled."""
        for flag in FLAGS:
            self.ask("set", flag, False)
        self.ask("clear")
        self.ask("place", NEUTRAL_RAD.tolist())

    def close(self) -> None:
        """End the robot; one that does not end by itself is killed, so that it outlives no test."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def trace(self) -> Trace:
        """Return the true motion of the last half minute."""
        rows = self.ask("trace")
        times, q, qd = zip(*rows, strict=True)
        return Trace(np.array(times), np.array(q), np.array(qd))


class Trace:
    """Times (N,) [s, steady clock], joint positions (N, 7) [rad] and velocities (N, 7) [rad/s]."""

    def __init__(self, times_s: np.ndarray, q_rad: np.ndarray, qd_rad_s: np.ndarray) -> None:
        self.times_s, self.q_rad, self.qd_rad_s = times_s, q_rad, qd_rad_s

    def at(self, time_s: float) -> np.ndarray:
        """Return the posture at a time, (7,) [rad]."""
        return self.q_rad[min(np.searchsorted(self.times_s, time_s), len(self.times_s) - 1)]

    def standstill_s(self, since_s: float) -> float:
        """Return how long after a moment the arm stood still for good [s]."""
        moving = (np.abs(self.qd_rad_s).max(axis=1) > STILL_RAD_S) & (self.times_s > since_s)
        return float(self.times_s[moving].max() - since_s) if moving.any() else 0.0

    def overrun_rad(self, since_s: float) -> float:
        """Return how far a joint went after a moment [rad]."""
        later = self.q_rad[self.times_s > since_s]
        return float(np.abs(later - self.at(since_s)).max())

    def speed_rad_s(self, begin_s: float, end_s: float) -> float:
        """Return the largest joint speed between two moments [rad/s]."""
        within = (self.times_s > begin_s) & (self.times_s < end_s)
        return float(np.abs(self.qd_rad_s[within]).max())


def drive(client: InteraClient, seconds: float, velocity_rad_s: float = 0.2, joint: int = 0) -> float:
    """Command one joint at 20 Hz as an arm process does; return when the last command was given."""
    values = np.zeros(7)
    values[joint] = velocity_rad_s
    deadline_s = time.monotonic()
    end_s = deadline_s + seconds
    last_s = deadline_s
    while time.monotonic() < end_s - 0.01:
        last_s = time.monotonic()
        client.command("velocity", values)
        deadline_s += 0.05
        time.sleep(max(0.0, deadline_s - time.monotonic()))
    return last_s


def measure(case: str, robot: SimulatedRobot, since_s: float, said: str) -> tuple[float, float]:
    """Add a line to the table: how long, and how far, the arm went on after a moment. Call when it is at rest."""
    trace = robot.trace()
    line = trace.standstill_s(since_s), trace.overrun_rad(since_s)
    TABLE.append((case, *line, said))
    return line


def wait_until(is_so: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end_s, f"waited {seconds} s in vain until {what}"
        time.sleep(0.005)


def table(rows: Iterable[tuple[str, float, float, str]]) -> list[str]:
    """Return the lines of the table."""
    lines = [f"{'case':44} {'standstill [s]':>14} {'overrun [rad]':>13}  problem at the client"]
    return lines + [f"{case:44} {seconds:14.3f} {rad:13.4f}  {said}" for case, seconds, rad, said in rows]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
