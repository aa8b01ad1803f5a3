"""Time to standstill after the end of a process: python test/ros2_control/stopping.py [RUNS [KIND ..]].

The robot is the simulated one, in MuJoCo, with Sawyer's joints; KIND is velocity, position or trajectory, all of them
by default. The policy is a process that answers each state as the node does. Prints a table of median and maximum [s],
from the signal to joints below 0.01 rad/s, and how many starts did not begin to move. Each stop and the reason of such
a start go to stderr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
for folder in (HERE.parent, HERE.parent / "intera"):
    sys.path.append(str(folder))

from tdm_ros.bringup.environment import free_domain, ros_environment, without_shared_memory  # noqa: E402

PROCESSES = ("policy", "arm", "watchdog")
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGTERM")
POLICY = HERE.parent / "gazebo" / "stopping.py"
ARM = """import sys; import tdm_ros.nodes.arm as node; from tdm_ros.nodes.arms import make_ros2_control; \
node.make_arm = make_ros2_control; \
from tdm_ros.bringup.starting import start; sys.exit(start('arm'))"""


@contextmanager
def running(kind: str) -> Iterator[tuple[Any, Any]]:
    """A bench, and a simulated robot with controllers of one kind; an episode is announced."""
    from interfaces_for_tests import built
    from ros1_bench import SimulatedRobot
    from ros_bench import bench
    from tdm_ros.msg import Episode

    from tdm_ros.control.timeline import Announcement, State
    from tdm_ros.nodes import qos
    from tdm_ros.nodes.convert import to_episode
    from tdm_ros.tasks import SAWYER_REACH

    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as made:
        messages = built(HERE / "controller_manager_msgs", Path(folder) / "messages")
        path = f"{messages['PYTHONPATH']}{os.pathsep}{os.environ['PYTHONPATH']}"
        os.environ.update(messages | {"PYTHONPATH": path})
        command = [sys.executable, str(HERE / "simulated_robot.py"), made.namespace, "sawyer", kind]
        pipe = subprocess.PIPE
        robot = SimulatedRobot(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True))
        episodes = made.node.create_publisher(Episode, "episode", qos.LATCHED)
        announced = Announcement(State.RUNNING, episode=1, length=10**6, goal=np.full(3, 0.4, np.float32))

        def announce() -> None:
            episodes.publish(to_episode(announced, SAWYER_REACH["velocity"], made.node.get_clock().now().to_msg()))

        made.node.create_timer(0.2, announce)
        yield made, robot
        robot.close()


def start(made: Any, kind: str) -> None:
    """Start arm and policy if they do not run."""
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"]}
    if "arm" not in made.processes:
        made.start("arm", environment, program=ARM, **{"ros2_control.command": kind})
    if "policy" not in made.processes:
        command = f"import runpy, sys; sys.argv[1:] = ['policy', {made.namespace!r}]; "
        made.start("policy", environment, program=command + f"runpy.run_path({str(POLICY)!r}, run_name='__main__')")


def end(made: Any, who: str) -> None:
    """End the policy, which is none of ours, and the arm unless only the policy was stopped."""
    from tdm_ros.nodes.subscriptions import WINDOW_S

    made.stop("policy", signal.SIGKILL)
    if who == "policy":
        made.spin(WINDOW_S)  # policies that begin within it count as two publishers: a fault
    else:
        made.stop("arm", signal.SIGKILL if who == "arm" else signal.SIGINT)


def why_not(made: Any) -> str:
    """The last reason why the arm held or had a fault since its start."""
    *_, own = made.output("arm").split("the worker has started")
    lines = [line for line in own.splitlines() if "-> FAULT" in line or "-> HELD" in line]
    return lines[-1].split("mode ")[-1] if lines else "no reason in its output"


def measured(kind: str, runs: int, late: list[str]) -> dict[tuple[str, str], list[float]]:
    """Standstill times [s] of each case; reasons of starts that did not begin to move are added to ``late``."""
    found: dict[tuple[str, str], list[float]] = {(who, number): [] for who in PROCESSES for number in SIGNALS}
    with running(kind) as (made, robot):

        def moves() -> bool:
            q_rad, qd_rad_s = robot.ask("truth")
            return abs(qd_rad_s[0]) > 0.15 and abs(q_rad[0]) < 0.1

        for k in range(runs):
            for who, number in found:
                start(made, kind)
                made.until(moves, 20, must=False)
                while not moves():  # on a busy machine a process may be held up for 0.1 s: a fault, latched
                    late.append(why_not(made))
                    print(kind, who, number, "did not begin to move:", late[-1], file=sys.stderr, flush=True)
                    end(made, "arm")
                    start(made, kind)
                    made.until(moves, 20, must=False)
                made.spin(0.02 + 0.05 * k / runs)  # anywhere in a cycle
                made.until(moves, 20)  # an arm that held meanwhile would stand at once
                arm = made.processes["arm"]
                child = subprocess.run(["pgrep", "-P", str(arm.pid)], capture_output=True, text=True).stdout.split()
                pid = int(child[0]) if who == "watchdog" else made.processes[who].pid
                since_s = time.monotonic()
                os.kill(pid, getattr(signal, number))
                made.spin(0.7)
                found[who, number].append(robot.trace().standstill_s(since_s))
                print(kind, who, number, f"{found[who, number][-1]:.3f}", file=sys.stderr, flush=True)
                if number == "SIGSTOP":
                    os.kill(pid, signal.SIGCONT)
                end(made, who)
    return found


def main() -> None:
    """Measure, and print the table."""
    env = ros_environment({**os.environ, "ROS_DOMAIN_ID": str(free_domain())})
    os.environ.update(env | without_shared_memory(env))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parent / "intera"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    )
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"| command | process | signal | median [s] | maximum [s] (n = {runs}) |\n|---|---|---|---|---|")
    late: list[str] = []
    for kind in sys.argv[2:] or ("velocity", "position", "trajectory"):
        for (who, number), times_s in measured(kind, runs, late).items():
            row = f"| {kind} | {who} | {number} | {np.median(times_s):.3f} | {max(times_s):.3f} |"
            print(row, flush=True)
    print(f"starts that did not begin to move within 20 s, and were repeated before the stop: {len(late)}")


if __name__ == "__main__":
    main()
