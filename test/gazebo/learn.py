"""A whole run in a world that stands in for Gazebo's: python test/gazebo/learn.py [lock_step] [name:=value ...]

Arguments go to `tdm_ros up reach`, `robot:=ur5e` also to the world. In lock-step ros_gz_interfaces must be on the path.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tdm_ros.bringup.environment import free_domain, ros_environment, without_shared_memory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main(arguments: list[str]) -> int:
    """Start the world and the system; return the system's exit status."""
    os.environ["ROS_DOMAIN_ID"] = str(free_domain())
    env = ros_environment(os.environ)
    env |= without_shared_memory(env)
    env["PYTHONPATH"] = os.pathsep.join([str(HERE.parent / "intera"), str(ROOT), env.get("PYTHONPATH", "")])
    paused = ["paused"] if "lock_step" in arguments else []
    robot = [word for word in arguments if word.startswith("robot:=")]
    world = subprocess.Popen(
        [sys.executable, str(HERE / "world.py"), "/", *paused, *robot],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    system = None
    try:
        given = [word for word in arguments if word != "lock_step"] + ["lock_step:=true"] * bool(paused)
        command = [sys.executable, "-m", "tdm_ros", "up", "reach", "sim:=gazebo", "console:=false", *given]
        system = subprocess.Popen(command, env=env, cwd=ROOT)
        return system.wait()
    finally:
        if system is not None and system.poll() is None:
            system.send_signal(signal.SIGINT)
            system.wait(30)
        world.terminate()
        world.wait(10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
