"""Which control rate can so many arms keep on this machine, and does an arm that cannot keep it hold?

    python -m benchmarks.load --out docs/results/load

For each number of arms and each rate the genuine nodes `arm` (in MuJoCo) and `policy` run as processes, in real time,
and learned weights choose the actions; this program announces the episodes. A cycle is answered in time if a valid
command for it arrives within it. The machine should have nothing else to do. A finished point is kept, as a JSON file.

For each size of a transition, one process then writes and learns as `collector` and `trainer` do, as fast as it can.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load_report import draw, markdown, sizes_markdown
from benchmarks.load_sizes import SIZES, measure_size
from benchmarks.trial import write_json
from tdm_ros.bringup.environment import ros_environment, without_shared_memory

RATES_HZ = (20.0, 50.0, 100.0, 200.0, 500.0)
ARMS = (1, 2, 4, 8)
START_S = 240.0
"""Time limit of the start of the nodes of a point [s]."""
ANNOUNCED_S = 0.25
LENGTH = 10**6
"""Length of the announced episode [cycles]: a point has one."""
TICKS_S = os.sysconf("SC_CLK_TCK")
TIMEOUT_S = (0.05, 0.1)
"""Smallest and default value of `command_timeout_s`; it is two periods, within these [s]."""


def timeout_s(rate_hz: float) -> float:
    """Deadline of a command: two periods, as at 20 Hz, but not below the least value of the parameter [s]."""
    return float(np.clip(2 / rate_hz, *TIMEOUT_S))


def weights() -> bytes:
    """Policy of the default size that learned a few updates."""
    from tdm_ros.envs.goal_env import make_goal_env
    from tdm_ros.tasks.seeds import reset_seed
    from tdm_ros.tdm.config import TdmConfig
    from tdm_ros.tdm.decision import Exploration
    from tdm_ros.training.evaluation import rollout
    from tdm_ros.training.learner import Learner

    env, task = make_goal_env("sawyer_reach")
    explore = Exploration(task.action.size, np.random.default_rng(0))
    learner = Learner(task, TdmConfig(total_timesteps=1000), 0)
    for episode in range(1, 100):
        for step, last in rollout(env, task, lambda now: explore.random(), reset_seed("train", 0, episode)):
            learner.add(step, last)
        if learner.updates_due() > 0:
            break
    learner.update(1)
    return learner.actor_bytes()


class Point:
    """Nodes of some arms at one rate, and what announces to them.

    Parameters
    ----------
    arms : int
    rate_hz : float
    data : bytes
        The policy.
    folder : Path
        Of the output of the nodes, and of what the arms measured.
    """

    def __init__(self, arms: int, rate_hz: float, data: bytes, folder: Path) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.rate_hz, self._folder = rate_hz, folder
        self._names = [f"arm{number}" for number in range(1, arms + 1)]
        self._processes: list[subprocess.Popen[bytes]] = []
        rclpy.init()
        self._node = rclpy.create_node("load")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._ready: set[str] = set()
        self._publish(data)

    def _publish(self, data: bytes) -> None:
        """Create the publishers, and publish weights and a goal to each arm."""
        from array import array

        from diagnostic_msgs.msg import DiagnosticArray
        from tdm_ros.msg import Episode, PolicyWeights, Subgoal

        from tdm_ros.nodes import qos
        from tdm_ros.nodes.convert import floats
        from tdm_ros.tasks import SAWYER_REACH

        self._task = replace(SAWYER_REACH["velocity"], rate_hz=self.rate_hz)
        self._goal = floats([0.5, 0.2, 0.3])
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._episodes = [self._node.create_publisher(Episode, f"/{name}/episode", qos.EPISODE) for name in self._names]
        self._kept = []
        task = self._task.fingerprint
        for name in self._names:
            sent = PolicyWeights(version=1, task=task, data=array("B", data))
            weights_out = self._node.create_publisher(PolicyWeights, f"/{name}/policy_weights", qos.LATCHED)
            subgoal = Subgoal(episode=1, status=Subgoal.DIRECT, last=True, steps_left=20, goal=self._goal, task=task)
            subgoal.header.stamp = self._node.get_clock().now().to_msg()
            self._kept.append((weights_out, sent))
            self._kept.append((self._node.create_publisher(Subgoal, f"/{name}/subgoal", qos.EPISODE), subgoal))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if (status.name.endswith("/policy") and values.get("weights_version") == "1") or (
                status.name.endswith("/arm") and "cycle" in values
            ):
                self._ready.add(status.name)

    def start(self) -> None:
        """Start the nodes, and wait until all are ready. Raises TimeoutError if they are not."""
        for name, kind in product(self._names, ("arm", "policy")):
            words = ["-m", "benchmarks.load_node", kind, f"{self.rate_hz:g}", str(self._folder / f"{name}.json")]
            words += ["--ros-args", "-r", f"__ns:=/{name}", "--log-level", "error"]
            deadline = f"{'command_timeout_s' if kind == 'arm' else 'max_state_age_s'}:={timeout_s(self.rate_hz)}"
            with (self._folder / f"{name}-{kind}.out").open("wb") as out:
                command = [sys.executable, *words, "-p", deadline]
                self._processes.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
        for publisher, message in self._kept:
            publisher.publish(message)
        end_s = time.monotonic() + START_S
        while len(self._ready) < len(self._processes):
            self._executor.spin_once(timeout_sec=0.1)
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > end_s:
                raise TimeoutError(f"ready are {sorted(self._ready)}, ended {ended}: see {self._folder}")

    def announce(self, seconds: float, running: bool = True) -> None:
        """Announce for so long that the episode runs, or that none does."""
        from tdm_ros.control.timeline import Announcement, Mode, State
        from tdm_ros.nodes.convert import to_episode

        state = State.RUNNING if running else State.DISABLED
        announced = Announcement(state, Mode.TRAIN, 1, 1, LENGTH, np.array(self._goal, np.float32), 0.2, 0.1)
        end_s, next_s = time.monotonic() + seconds, 0.0
        while (now_s := time.monotonic()) < end_s:
            if now_s >= next_s:
                next_s = now_s + ANNOUNCED_S
                for (publisher, message), episodes in zip(self._kept[1::2], self._episodes, strict=True):
                    if next_s - now_s > 0 and not self._renewed(message):
                        publisher.publish(message)
                    episodes.publish(to_episode(announced, self._task, self._node.get_clock().now().to_msg()))
            self._executor.spin_once(timeout_sec=0.02)

    def _renewed(self, message: Any) -> bool:
        """Give a subgoal a present stamp; return whether it was recent."""
        now = self._node.get_clock().now().to_msg()
        recent = bool(abs(now.sec - message.header.stamp.sec) < 3)
        message.header.stamp = message.header.stamp if recent else now
        return recent

    def used_s(self) -> dict[str, float]:
        """Processor time that each kind of node has used until now [s]."""
        found = {"arm": 0.0, "policy": 0.0}
        for number, process in enumerate(self._processes):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            found["policy" if number % 2 else "arm"] += (int(fields[11]) + int(fields[12])) / TICKS_S
        return found

    def results(self) -> list[dict[str, Any]]:
        """End the nodes; return what each arm measured."""
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            process.wait(60)
        return [json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8")) for name in self._names]

    def close(self) -> None:
        """End whatever is left."""
        import rclpy

        for process in self._processes:
            process.kill()
            process.wait()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()


def busy_s() -> float:
    """Processor time that all processes of the machine have used [s]."""
    fields = [int(text) for text in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS_S


def measure(arms: int, rate_hz: float, seconds: float, data: bytes, folder: Path) -> dict[str, Any]:
    """Run a point for ``seconds`` [s]; return its sums, and those of each arm."""
    folder.mkdir(parents=True, exist_ok=True)
    point = Point(arms, rate_hz, data, folder)
    try:
        point.start()
        point.announce(2.0)
        before, before_s, busy = point.used_s(), time.monotonic(), busy_s()
        point.announce(seconds)
        elapsed_s = time.monotonic() - before_s
        processors = os.cpu_count() or 1
        share = {kind: (used - before[kind]) / elapsed_s for kind, used in point.used_s().items()}
        machine = (busy_s() - busy) / elapsed_s / processors
        point.announce(1.0, running=False)
        each = point.results()
    finally:
        point.close()
    return {
        "arms": arms,
        "rate_hz": rate_hz,
        "timeout_s": timeout_s(rate_hz),
        "seconds": seconds,
        "processors": processors,
        "used_processors": share,
        "machine_busy": machine,
        **{key: sum(one[key] for one in each) for key in ("cycles", "answered", "late", "held", "followed", "stale")},
        "each": each,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is missing, then write the tables and the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", type=int, nargs="+", default=list(ARMS))
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES_HZ), help="control rates [Hz]")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="numbers in an observation")
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of a point [s] (default 15)")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    os.environ.update(ros_environment({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **os.environ}))
    os.environ.update(without_shared_memory(os.environ))
    for size in asked.sizes:
        if not (path := asked.out / f"size-{size}.json").exists():
            write_json(path, measure_size(size))
    data = b""
    for arms, rate_hz in product(asked.arms, asked.rates):
        path = asked.out / f"load-{arms}-{rate_hz:g}.json"
        if path.exists():
            continue
        data = data or weights()
        with tempfile.TemporaryDirectory(prefix="load") as folder:
            write_json(path, measure(arms, rate_hz, asked.seconds, data, Path(folder)))
        found = json.loads(path.read_text(encoding="utf-8"))
        print({key: found[key] for key in ("arms", "rate_hz", "cycles", "answered", "held", "stale")}, flush=True)
    table, sizes = markdown(asked.out), sizes_markdown(asked.out)
    (asked.out / "table.md").write_text(f"{table}\n{sizes}", encoding="utf-8")
    draw(asked.out, asked.out / "load.png")
    print(table, sizes, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
