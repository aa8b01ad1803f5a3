"""Soak of a live system: an hour of kills, freezes and restarts of every node that it can do without.

    python -m benchmarks.soak --minutes 60 --seed 0 --out docs/results/soak

Starts `tdm_ros up sawyer_reach` (simulated, with the page), draws a plan of faults from the seed and prints it, and
looks at every node once per second: memory, descriptors, threads. It receives states and transitions as any node does.
At the end every transition that was received must be in the log. Exit status 1: one is lost, or the arm moved by a
policy that was dead or frozen.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak_report import write_report
from benchmarks.trial import write_json
from tdm_ros.bringup.environment import free_domain, ros_environment, without_shared_memory

NODES = ("policy", "planner", "collector", "trainer", "console", "scene")
"""Nodes that end and come back while the system goes on. `arm` and `supervisor` end it."""
KINDS = ("kill", "freeze", "restart")
FIRST_S, BETWEEN_S, FROZEN_S = 60.0, (20.0, 60.0), (0.2, 5.0)
"""Time before the first fault, between two faults, and of a freeze [s]."""
HOLD_S = 0.25
"""Longest time for which a dead or frozen policy may count as the source of motion [s]: its last command lasts 0.1."""

STILL_S = 0.5
"""Longest time until all joints are slower than 0.01 rad/s then [s]."""


@dataclass
class Fault:
    """One fault of the plan."""

    at_s: float  # since the arm first moved
    node: str
    kind: str
    seconds: float  # of a freeze


def plan(seed: int, minutes: float) -> list[Fault]:
    """Draw faults until a minute before the end."""
    rng, faults, at_s = np.random.default_rng(seed), [], FIRST_S
    while at_s < 60.0 * minutes - 60.0:
        kind = str(rng.choice(KINDS))
        seconds = float(rng.uniform(*FROZEN_S)) if kind == "freeze" else 0.0
        faults.append(Fault(round(at_s, 1), str(rng.choice(NODES)), kind, round(seconds, 2)))
        at_s += float(rng.uniform(*BETWEEN_S))
    return faults


def processes(root: int) -> Iterator[tuple[str, int]]:
    """Name and process of each node below a process."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(
                    int(entry.name)
                )
            except OSError:
                continue
    waiting = [root]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            waiting.append(child)
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            yield from ((word.removeprefix("__node:="), child) for word in words if word.startswith("__node:="))


def sample(process: int) -> tuple[float, int, int] | None:
    """Memory [MB], descriptors and threads of a process; None if it has ended."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{process}/fd"))
        return int(fields["VmRSS"].split()[0]) / 1024, descriptors, int(fields["Threads"])
    except (OSError, KeyError):
        return None


class Witness:
    """Receives what the system publishes, in this process."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from tdm_ros.msg import ArmState, Transition

        from tdm_ros.nodes import qos

        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self.node = rclpy.create_node("witness", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.acknowledged: set[tuple[str, int]] = set()
        self.states: list[tuple[float, int, int, bool, float, bool]] = []
        """Arrival [s], cycle, source, answered, largest joint speed [rad/s], whether the arm gives a reason to hold."""
        self.node.create_subscription(ArmState, "arm_state", self._on_state, qos.STATE_HISTORY)
        self.node.create_subscription(Transition, "transition", self._on_transition, qos.TRANSITION)

    def _on_state(self, message: Any) -> None:
        fastest = float(np.abs(message.velocity).max()) if len(message.velocity) else 0.0
        held = bool(message.hold_reason)
        self.states.append(
            (time.monotonic(), int(message.cycle), int(message.source), bool(message.answered), fastest, held)
        )

    def _on_transition(self, message: Any) -> None:
        self.acknowledged.add((message.run, int(message.cycle)))

    def spin_until(self, end_s: float) -> None:
        while (left := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.05))

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


class Soak:
    """One run."""

    def __init__(self, minutes: float, seed: int, folder: Path) -> None:
        self.minutes, self.seed, self.run = minutes, seed, folder / "run"
        self.faults = plan(seed, minutes)
        self.samples: list[dict[str, Any]] = []
        self.injected: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._output = (folder / "output.txt").open("wb")
        words = ["sawyer_reach", f"seed:={seed}", "duration_min:=.inf", "evaluate_goals:=0", "port:=0"]
        self.system = subprocess.Popen(
            [sys.executable, "-m", "tdm_ros", "up", *words, f"run_dir:={self.run}"],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self.witness = Witness()

    def measure(self) -> None:
        """Wait until the arm moves, inject the faults, take samples, and end the system."""
        end_s = time.monotonic() + 90.0
        while not any(state[2] for state in self.witness.states):
            self.witness.spin_until(time.monotonic() + 0.2)
            if self.system.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"the system must start within 90 s, see {self._output.name}")
        self.begin_s = time.monotonic()
        frozen: list[tuple[float, int]] = []
        waiting = list(self.faults)
        for second in range(int(60 * self.minutes)):
            now_s = self.begin_s + second
            while frozen and frozen[0][0] <= now_s:
                due_s, process = frozen.pop(0)
                self.witness.spin_until(due_s)
                _signal(process, signal.SIGCONT)
            self.witness.spin_until(now_s)
            known = dict(processes(self.system.pid))
            if waiting and waiting[0].at_s <= second:
                self._inject(waiting.pop(0), known, frozen)
            found = {name: values for name, process in known.items() if (values := sample(process))}
            lives = {name: process for name, process in known.items() if name in found}
            disk = sum(path.stat().st_size for path in (self.run / "log_mcap").glob("*.mcap"))
            log = {"log_bytes": disk, "acknowledged": len(self.witness.acknowledged)}
            self.samples.append({"s": second, "nodes": found, "processes": lives, **log})
            if second % 60 == 0:
                summary = (
                    f"{len(self.injected)} of {len(self.faults)} faults, {len(self.witness.acknowledged)} transitions"
                )
                print(f"{second // 60} of {self.minutes:g} min: {summary}", file=sys.stderr, flush=True)
            if self.system.poll() is not None:
                raise RuntimeError(f"the system ended after {second} s, see {self._output.name}")
        for _, process in frozen:
            _signal(process, signal.SIGCONT)
        self.system.terminate()  # not SIGINT, which a shell lets programs in the background ignore
        end_s = time.monotonic() + 60.0
        while self.system.poll() is None and time.monotonic() < end_s:
            self.witness.spin_until(time.monotonic() + 0.1)
        self.witness.close()

    def _inject(self, fault: Fault, known: dict[str, int], frozen: list[tuple[float, int]]) -> None:
        process = known.get(fault.node)
        begin_s = time.monotonic()
        if process is not None:
            numbers = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "restart": signal.SIGTERM}
            _signal(process, numbers[fault.kind])
            if fault.kind == "freeze":
                frozen.append((begin_s + fault.seconds, process))
                frozen.sort()
        self.injected.append({**asdict(fault), "begin_s": begin_s, "there": process is not None})

    def result(self) -> dict[str, Any]:
        """Everything that the report needs."""
        from tdm_ros.data.log import LOG_FOLDER, TransitionLog
        from tdm_ros.tasks import SAWYER_REACH

        log = TransitionLog(self.run / LOG_FOLDER, SAWYER_REACH["velocity"].fingerprint)
        logged = [(one.run, one.cycle) for one in log.read()]
        states = np.array(self.witness.states, np.float64)
        return {
            "minutes": self.minutes,
            "seed": self.seed,
            "exit_status": self.system.returncode,
            "faults": [one | standstill(one, states) for one in self.injected],
            "acknowledged": len(self.witness.acknowledged),
            "logged": len(logged),
            "twice": log.repeated,
            "lost": len(self.witness.acknowledged - set(logged)),
            "seconds": per_second(states, self.begin_s, int(60 * self.minutes) - 1),
            "samples": self.samples,
        }


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def standstill(fault: dict[str, Any], states: np.ndarray) -> dict[str, Any]:
    """Of a fault of the policy: how long the arm moved on [s], and whether the policy counted as alive too long.

    ``states`` (N, 6) as `Witness` has them. A freeze that is shorter than the time that is looked at says nothing.
    """
    begin_s = fault.pop("begin_s")
    if fault["node"] != "policy" or fault["kind"] == "restart" or not fault["there"]:
        return {}
    until_s = fault["seconds"] if fault["kind"] == "freeze" else 1.0
    after = states[(states[:, 0] > begin_s) & (states[:, 0] < begin_s + until_s)]
    late = after[after[:, 0] > begin_s + HOLD_S + 0.05]  # a state tells of the cycle before it
    still = after[after[:, 4] < 0.01]
    found: dict[str, Any] = {"violation": bool((late[:, 2] == 1).any())}
    if until_s > STILL_S:
        found["violation"] |= not len(still) or float(still[0, 0] - begin_s) > STILL_S
    if len(still) and until_s > HOLD_S:
        found["standstill_s"] = float(still[0, 0] - begin_s)
    return found


def per_second(states: np.ndarray, begin_s: float, seconds: int) -> list[list[float]]:
    """States, share of cycles answered in time where a policy or a random action was due, and largest gap [s]."""
    rows, arrival = [], states[:, 0] - begin_s
    for second in range(seconds):
        now = states[(arrival >= second) & (arrival < second + 1)]
        due = now[np.isin(now[:, 2], (1, 3))]
        gaps = np.diff(now[:, 0])
        rows.append([len(now), float(due[:, 3].mean()) if len(due) else -1.0, float(gaps.max()) if len(gaps) else 1.0])
    return rows


def main(words: Sequence[str] | None = None) -> int:
    """Run, write result, table and picture, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="from the first motion on (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan and of the system (default 0)")
    parser.add_argument("--runs", type=Path, default=Path("runs/soak"))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(words)
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ.update(ros_environment(os.environ))
    os.environ.update(without_shared_memory(os.environ))
    soak = Soak(asked.minutes, asked.seed, asked.runs / time.strftime("%Y%m%d-%H%M%S"))
    for fault in soak.faults:
        print(f"plan: {fault.at_s:7.1f} s  {fault.kind:7} {fault.node} {f'{fault.seconds} s' if fault.seconds else ''}")
    try:
        soak.measure()
    finally:
        if soak.system.poll() is None:
            soak.system.terminate()
    result = soak.result()
    asked.out.mkdir(parents=True, exist_ok=True)
    write_json(soak.run.parent / "samples.json", {"samples": result["samples"]})
    write_json(asked.out / "soak.json", {key: value for key, value in result.items() if key != "samples"})
    print(write_report(result, asked.out))
    violations = sum(fault.get("violation", False) for fault in result["faults"])
    return 1 if result["lost"] or violations else 0


if __name__ == "__main__":
    sys.exit(main())
