"""Crash loop of `benchmarks.chaos`: SIGKILL, again and again, to nodes of live systems.

    python -m benchmarks.chaos_kills nodes --kills 160 --out runs/chaos/nodes.json
    python -m benchmarks.chaos_kills systems --kills 40 --out runs/chaos/systems.json

`nodes` kills collector, trainer and page of one system, which come back. `systems` kills what ends a system, the
supervisor or the watchdog of an arm behind ros2_control, and starts another one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.live import BEHIND_ROS2_CONTROL, TDM_ROS, simulated_robot
from benchmarks.soak import Witness, processes
from benchmarks.trial import write_json
from tdm_ros.bringup.environment import free_domain, ros_environment, without_shared_memory
from tdm_ros.data.log import LOG_FOLDER, TransitionLog
from tdm_ros.robots.description import load_robot
from tdm_ros.tasks import reach_task

NODES = ("collector", "trainer", "console")
BOUND_S = {"supervisor": 1.5, "arm_watchdog": 0.5}
"""Longest time from the kill until all joints are at rest [s]; those of `NODES` are back before they are missed."""
PAUSE_S = 15.0
"""Time between two kills of one node [s]: a system ends when a node dies six times within a minute."""
STILL_RAD_S = 0.01
BACK_S = 60.0
MOVING = (1, 3)
"""ArmState.source of policy and random phase."""


def environment() -> dict[str, str]:
    """Environment in a domain of its own: nodes that were killed are listed in theirs for 20 s."""
    env = {key: value for key, value in os.environ.items() if key != "ROS_DOMAIN_ID"}
    env["ROS_DOMAIN_ID"] = str(free_domain())
    env |= ros_environment(env)
    return env | without_shared_memory(env)


def up(words: Sequence[str], folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a system, its output into a file."""
    folder.mkdir(parents=True, exist_ok=True)
    given = [*TDM_ROS, "up", *words, "duration_min:=.inf", "evaluate_goals:=0", f"run_dir:={folder / 'run'}"]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(given, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


class RobotWitness(Witness):
    """Receives the joint states of the simulated robot, too, which outlasts the system."""

    def __init__(self) -> None:
        from sensor_msgs.msg import JointState

        from tdm_ros.drivers.ros2_control import JOINT_STATES

        super().__init__()
        self.speeds: list[tuple[float, float]] = []
        """Arrival [s], speed of the fastest joint [rad/s]."""
        self.node.create_subscription(JointState, "joint_states", self._on_joints, JOINT_STATES)

    def _on_joints(self, message: Any) -> None:
        if "gripper_left" in message.name:  # of the robot, not of the node `arm`
            arm = [abs(v) for name, v in zip(message.name, message.velocity, strict=True) if "gripper" not in name]
            self.speeds.append((time.monotonic(), max(arm)))


def until(witness: Witness, condition: Callable[[], bool], seconds: float) -> bool:
    """Receive until something is true; return whether it was in time."""
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            return False
        witness.spin_until(time.monotonic() + 0.02)
    return True


def moves(witness: Witness, since: int) -> bool:
    """Whether the arm has moved for half a second, by states after the first ``since``."""
    newest = witness.states[max(since, len(witness.states) - 10) :]
    return len(newest) == 10 and all(one[2] in MOVING for one in newest) and newest[-1][4] > STILL_RAD_S


def standstill_s(speeds: Sequence[tuple[float, float]], begin_s: float) -> float | None:
    """Time from the kill until all joints are at rest, and stay so [s]; ``speeds``: steady time [s], fastest joint."""
    after = [(at_s, speed) for at_s, speed in speeds if at_s > begin_s]
    moving = [at_s for at_s, speed in after if speed >= STILL_RAD_S]
    still = [at_s for at_s, _ in after if not moving or at_s > moving[-1]]
    return still[0] - begin_s if still else None


def lost_of(run: Path, robot: str, acknowledged: set[tuple[str, int]]) -> tuple[int, int]:
    """Number of acknowledged transitions, and of those that are not in the log."""
    log = TransitionLog(run / LOG_FOLDER, reach_task(load_robot(robot), "velocity").fingerprint)
    return len(acknowledged), len(acknowledged - {(one.run, one.cycle) for one in log.read()})


def kill(process: int) -> bool:
    """Send SIGKILL; return whether the process was there."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Loop:
    """Kills so far, and what came of them."""

    def __init__(self, kills: int, seed: int, folder: Path) -> None:
        self.left, self.folder, self.rng = kills, folder, np.random.default_rng(seed)
        self.killed: dict[str, int] = {}
        self.stood: dict[str, list[float]] = {}
        self.violations: list[str] = []
        self.acknowledged = self.lost = 0
        self._begin_s, self._kills = time.monotonic(), kills

    def count(self, name: str) -> None:
        self.left -= 1
        self.killed[name] = self.killed.get(name, 0) + 1
        done = self._kills - self.left
        if done % 10 == 0:
            rest_s = (time.monotonic() - self._begin_s) / done * self.left
            print(f"{done} of {self._kills} kills, about {rest_s / 60:.1f} min left", file=sys.stderr, flush=True)

    def judge(self, name: str, stood_s: float | None) -> None:
        """Note the time to standstill after a kill; a violation if it is over the bound."""
        if stood_s is None or stood_s > BOUND_S[name]:
            self.violations.append(f"{name}: at rest after {stood_s} s, expected {BOUND_S[name]} s at most")
        if stood_s is not None:
            self.stood.setdefault(name, []).append(stood_s)

    def nodes(self) -> None:
        """Kill nodes of a system at any moment, several at once or one, until all kills are made."""
        env = environment()
        os.environ.update(env)
        system = up(["sawyer_reach", "seed:=0", "port:=0"], self.folder, env)
        witness, spared_s = Witness(), dict.fromkeys(NODES, 0.0)
        try:
            while self.left > 0:
                since = len(witness.states)
                if not until(witness, lambda since=since: moves(witness, since), BACK_S):
                    self.violations.append(f"the arm did not move again within {BACK_S:g} s")
                    break
                witness.spin_until(time.monotonic() + float(self.rng.uniform(0.0, 2.0)))
                known = dict(processes(system.pid))
                due = [name for name in NODES if name in known and time.monotonic() > spared_s[name]][: self.left]
                chosen = [name for name in due if kill(known[name])]
                for name in chosen:
                    self.count(name)
                    spared_s[name] = time.monotonic() + PAUSE_S
                killed = {known[name] for name in chosen}

                def back(chosen: Sequence[str] = tuple(chosen), killed: set[int] = killed) -> bool:
                    now = dict(processes(system.pid))
                    return all(name in now and now[name] not in killed for name in chosen)

                if not until(witness, back, BACK_S):
                    self.violations.append(f"{', '.join(chosen)} did not come back within {BACK_S:g} s")
                    break
        finally:
            self._end(system, witness, "sawyer")

    def systems(self) -> None:
        """Kill supervisor or watchdog of one system after the other, until all kills are made."""
        while self.left > 0:
            env = environment()
            os.environ.update(env)
            folder = self.folder / f"{self.left}"
            with simulated_robot("ur5e", "reach", env):
                words = ["reach", "robot:=ur5e", *BEHIND_ROS2_CONTROL, "console:=false", "tf:=false"]
                system, witness = up(words, folder, env), RobotWitness()
                try:
                    if not until(witness, lambda witness=witness: moves(witness, 0), BACK_S):
                        self.violations.append(f"a system did not start within {BACK_S:g} s, see {folder}")
                        self.left -= 1
                        continue
                    name = str(self.rng.choice(("supervisor", "arm_watchdog")))
                    process = watchdog_of(system.pid) if name == "arm_watchdog" else dict(processes(system.pid))[name]
                    witness.spin_until(time.monotonic() + float(self.rng.uniform(0.0, 0.5)))
                    begin_s = time.monotonic()
                    if kill(process):
                        self.count(name)
                        witness.spin_until(begin_s + 2.0)
                        self.judge(name, standstill_s(witness.speeds, begin_s))
                finally:
                    self._end(system, witness, "ur5e", folder)

    def _end(self, system: subprocess.Popen[bytes], witness: Witness, robot: str, folder: Path | None = None) -> None:
        """End a system, and look for every transition that it published in its log."""
        system.terminate()
        end_s = time.monotonic() + 40.0
        while system.poll() is None and time.monotonic() < end_s:
            witness.spin_until(time.monotonic() + 0.1)
        if system.poll() is None:
            self.violations.append("a system did not end within 40 s of SIGTERM")
            system.kill()
        witness.close()
        acknowledged, lost = lost_of((folder or self.folder) / "run", robot, witness.acknowledged)
        self.acknowledged, self.lost = self.acknowledged + acknowledged, self.lost + lost

    def result(self) -> dict[str, Any]:
        stood = {name: [float(np.median(all_s)), max(all_s), len(all_s)] for name, all_s in self.stood.items()}
        found = {"killed": self.killed, "standstill_s": stood, "violations": self.violations}
        return found | {"acknowledged": self.acknowledged, "lost": self.lost}


def watchdog_of(root: int) -> int:
    """The process of the watchdog, a child of the node `arm` of the system ``root``."""
    arm = dict(processes(root))["arm"]
    (found,) = subprocess.run(["pgrep", "-P", str(arm)], capture_output=True, text=True).stdout.split()
    return int(found)


def main(words: Sequence[str] | None = None) -> int:
    """Run one of the two loops and write its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("loop", choices=["nodes", "systems"])
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a JSON file; run folders are beside it")
    asked = parser.parse_args(words)
    loop = Loop(asked.kills, asked.seed, asked.out.with_suffix(""))
    getattr(loop, asked.loop)()
    write_json(asked.out, loop.result())
    return 1 if loop.violations or loop.lost else 0


if __name__ == "__main__":
    sys.exit(main())
