"""Time to standstill after the end of a process: python test/gazebo/stopping.py [RUNS [PROCESS ..]].

The world is the stand-in, or what TDM_WORLD starts. The policy is a process that answers each state as the node does.
Prints a table of median and maximum [s], from the signal to joints below 0.02 rad/s.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
for folder in (HERE.parent, HERE.parent / "intera"):
    sys.path.append(str(folder))

from tdm_ros.bringup.environment import free_domain, ros_environment, without_shared_memory  # noqa: E402

PROCESSES = ("policy", "arm", "watchdog")
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGTERM")


def policy(namespace: str) -> None:
    """Answer each state: joint 0 moves to and fro."""
    import rclpy
    from tdm_ros.msg import ArmState, Command

    from tdm_ros.nodes import qos
    from tdm_ros.robots.sawyer import JOINT_NAMES

    rclpy.init()
    node = rclpy.create_node("policy", namespace=namespace)
    commands = node.create_publisher(Command, "command", qos.COMMAND)
    speed = [0.2]

    def answer(state: ArmState) -> None:
        if abs(state.position[0]) > 0.15:
            speed[0] = -np.copysign(0.2, state.position[0])
        given = {"run": state.run, "cycle": state.cycle, "episode": 1, "source": 1, "header": state.header}
        commands.publish(Command(joint_names=list(JOINT_NAMES), values=[speed[0], *[0.0] * 6], **given))

    node.create_subscription(ArmState, "arm_state", answer, qos.STATE)
    rclpy.spin(node)


def measured(runs: int, processes: Sequence[str], world_command: list[str]) -> dict[tuple[str, str], list[float]]:
    """Standstill times [s] of each case."""
    from interfaces_for_tests import built
    from ros1_bench import SimulatedRobot
    from ros_bench import bench
    from tdm_ros.msg import Episode

    from tdm_ros.control.timeline import Announcement, State
    from tdm_ros.nodes import qos
    from tdm_ros.nodes.convert import to_episode
    from tdm_ros.robots.sawyer import NEUTRAL_RAD
    from tdm_ros.tasks import SAWYER_REACH

    found: dict[tuple[str, str], list[float]] = {(who, number): [] for who in processes for number in SIGNALS}
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as made:
        pipe = subprocess.PIPE
        messages = built(HERE / "ros_gz_interfaces", Path(folder) / "ros_gz_interfaces")
        os.environ.update(messages | {"PYTHONPATH": f"{os.environ['PYTHONPATH']}{os.pathsep}{messages['PYTHONPATH']}"})
        process = subprocess.Popen([*world_command, made.namespace], stdin=pipe, stdout=pipe, text=True)
        world = SimulatedRobot(process)
        world.ask("place", NEUTRAL_RAD.tolist())
        episodes = made.node.create_publisher(Episode, "episode", qos.LATCHED)
        announced = Announcement(State.RUNNING, episode=1, length=10**6, goal=np.full(3, 0.4, np.float32))
        made.node.create_timer(
            0.2,
            lambda: episodes.publish(
                to_episode(announced, SAWYER_REACH["velocity"], made.node.get_clock().now().to_msg())
            ),
        )

        def moves() -> bool:
            q_rad, qd_rad_s = world.ask("truth")
            return abs(qd_rad_s[0]) > 0.15 and abs(q_rad[0]) < 0.1

        for k in range(runs):
            for who, number in found:
                if "arm" not in made.processes:
                    made.start("arm", driver="gazebo")
                if "policy" not in made.processes:
                    command = f"import runpy, sys; sys.argv[1:] = ['policy', {made.namespace!r}]; "
                    command += f"runpy.run_path({str(HERE / 'stopping.py')!r}, run_name='__main__')"
                    made.start("policy", program=command.replace("{", "{{").replace("}", "}}"))
                made.until(moves, 60)
                made.spin(0.02 + 0.05 * k / runs)  # anywhere in a cycle
                arm = made.processes["arm"]
                child = subprocess.run(["pgrep", "-P", str(arm.pid)], capture_output=True, text=True).stdout.split()
                pid = int(child[0]) if who == "watchdog" else made.processes[who].pid
                since_s = time.monotonic()
                os.kill(pid, getattr(signal, number))
                made.spin(0.7)
                found[who, number].append(world.trace().standstill_s(since_s))
                print(who, number, f"{found[who, number][-1]:.3f}", file=sys.stderr, flush=True)
                if number == "SIGSTOP":
                    os.kill(pid, signal.SIGCONT)
                for name in ["policy"] if who == "policy" else ["policy", "arm"]:
                    made.stop(name, signal.SIGKILL if name == who else signal.SIGINT)
        world.close()
    return found


def main() -> None:
    """Measure, and print the table."""
    env = ros_environment({**os.environ, "ROS_DOMAIN_ID": str(free_domain())})
    os.environ.update(env | without_shared_memory(env))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parent / "intera"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    )
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    command = shlex.split(os.environ.get("TDM_WORLD", "")) or [sys.executable, str(HERE / "world.py")]
    print(f"| process | signal | median [s] | maximum [s] (n = {runs}) |\n|---|---|---|---|")
    for (who, number), times_s in measured(runs, sys.argv[2:] or PROCESSES, command).items():
        print(f"| {who} | {number} | {np.median(times_s):.3f} | {max(times_s):.3f} |")


if __name__ == "__main__":
    policy(sys.argv[2]) if sys.argv[1:2] == ["policy"] else main()
