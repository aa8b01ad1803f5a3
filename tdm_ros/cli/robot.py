"""List and check robot descriptions, write one, or its Gazebo world, or simulate one behind ros2_control.

A description is config/robots/NAME.yaml, or a file of yours: docs/robots/add_your_robot.md is a complete example.

Exit status: 0, success; 1, the description is unfit, or commands led out of its limits (one sentence per finding);
2, nothing could be done.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tdm_ros.bringup.environment import (
    NETWORKS,
    discovery,
    find_in_prefixes,
    ros_environment,
    without_shared_memory,
)
from tdm_ros.bringup.starting import check_settings

COMMANDS = ("velocity", "position", "trajectory")
TASKS = ("reach", "push")
SCENES = ("open", "wall", "push")
ACTUATIONS = ("velocity", "torque")
PARAMETERS = "share/tdm_ros/config/simulated_robot.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="verb", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    verb("list", "list the robots that are known by name")

    text = "print limits, spaces and distances of a robot, and send hostile commands through its limiter"
    add = verb("check", text).add_argument
    add("robot", metavar="NAME_OR_PATH", help="name of a robot, or a description file, .yaml")
    add("--picture", type=Path, metavar="FILE.png", help="draw the arm at home, its capsules and boxes")
    add("--cycles", type=int, default=50, help="of each of 80 hostile episodes (default: %(default)s)")
    add("--seed", type=int, default=0, help="of goals, postures and commands (default: %(default)s)")

    add = verb("import", "write a description from a URDF or MJCF file").add_argument
    add("model", type=Path, help="URDF file, or MJCF file (.xml)")
    add("--base", required=True, help="link that stands on the table; its frame becomes the base frame")
    add("--tip", required=True, help="link (in MJCF also a site) whose frame becomes the hand frame")
    add("--name", default="", help="of the robot (default: that in the file)")
    add("--out", type=Path, metavar="FILE.yaml", help="default: NAME.yaml in this folder; an existing file is kept")
    several = "for all joints, or one for each"
    add("--velocity", type=_positive, nargs="+", metavar="LIMIT", help=f"rad/s, {several}; MJCF files have none")
    add("--effort", type=_positive, nargs="+", metavar="LIMIT", help=f"N m, {several}")
    add("--acceleration", type=_positive, nargs="+", metavar="LIMIT", help=f"rad/s^2, {several}")

    add = verb("world", "write a robot's Gazebo world, and the configuration of its bridge").add_argument
    add("robot", metavar="NAME_OR_PATH", help="name of a robot, or a description file, .yaml")
    add("--out", type=Path, required=True, metavar="FOLDER", help="for world.sdf and gz_bridge.yaml, which it replaces")
    add("--scene", choices=SCENES, default="open", help="objects beside the arm (default: %(default)s)")
    add("--actuation", choices=ACTUATIONS, default="velocity", help="of the joints (default: %(default)s)")

    text = "simulate a robot with the controllers of ros2_control, in MuJoCo, for the driver ros2_control"
    add = verb("simulate", text).add_argument
    add("robot", metavar="NAME_OR_PATH", help="name of a robot, or a description file, .yaml")
    add("--command", choices=COMMANDS, help="kind of the active controller (default: that of the description)")
    add("--task", choices=TASKS, default="reach", help="push: with the tool, and the object (default: reach)")
    add("--namespace", default="", help="of its topics (default: none)")
    add("--network", choices=NETWORKS, default="localhost", help="as the argument network of the system")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def run(arguments: argparse.Namespace) -> int:
    try:
        return int(globals()[f"_{arguments.action}"](arguments))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        print(f"tdm_ros robot {arguments.action}: {error}", file=sys.stderr)
        return 2


def _list(arguments: argparse.Namespace) -> int:
    from tdm_ros.robots.checking import table_of_robots

    print(table_of_robots())
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tdm_ros.robots.checking import check
    from tdm_ros.robots.description import load_robot

    if arguments.cycles < 1:
        raise ValueError(f"--cycles must be 1 or more, got {arguments.cycles}: give a larger number")
    robot = load_robot(arguments.robot)
    if arguments.picture:
        from tdm_ros.robots.picture import draw

        draw(robot, arguments.picture)
    with tqdm(unit="episode", leave=False, disable=None) as bar:
        report = check(robot, arguments.seed, arguments.cycles, bar.update)
    print(report.text())
    if arguments.picture:
        print(f"picture: {arguments.picture}")
    for finding in report.findings:
        print(finding, file=sys.stderr)
    return 1 if report.findings else 0


def _import(arguments: argparse.Namespace) -> int:
    import numpy as np

    from tdm_ros.envs.mjcf_reader import is_mjcf, read_mjcf
    from tdm_ros.robots.assuming import complete
    from tdm_ros.robots.batch import share_reached
    from tdm_ros.robots.importing import draft
    from tdm_ros.robots.robot_yaml import text_of
    from tdm_ros.robots.urdf_reader import read_urdf

    tree = read_mjcf(arguments.model) if is_mjcf(arguments.model) else read_urdf(arguments.model)
    keys = {"velocity": "velocity_rad_s", "effort": "effort_n_m", "acceleration": "acceleration_rad_s2"}
    options = {ours: given for key, ours in keys.items() if (given := getattr(arguments, key))}
    made = draft(tree, arguments.base, arguments.tip, arguments.name, options)
    out = arguments.out or Path(f"{made.content['name']}.yaml")
    if out.suffix != ".yaml":
        raise ValueError(f"--out must end with .yaml, got {out}: rename it")
    if not out.parent.is_dir():
        raise ValueError(f"--out must be in a folder that exists, got {out}: make {out.parent}")
    if out.exists():
        raise ValueError(f"--out must be a new file, got {out}, which exists: move it away, or give another name")
    rng = np.random.default_rng(0)
    robot = complete(made, rng)
    out.write_text(text_of(made.content, made.notes, share_reached(robot, rng)))
    print(f"{out}: {len(robot.joint_names)} joints, {len(robot.capsules)} capsules")
    print(f"not in {arguments.model.name}, and assumed or left out (see the comments of the file):")
    print(*(f"  {note.text}" for note in made.notes), sep="\n")
    print(f"next:\n  tdm_ros robot check {out} --picture {out.stem}.png\n  tdm_ros up reach robot:={out}")
    return 0


def _world(arguments: argparse.Namespace) -> int:
    from tdm_ros.envs.description import write_world
    from tdm_ros.robots.description import load_robot

    robot = load_robot(arguments.robot)
    print(*write_world(arguments.out, robot, arguments.scene, arguments.actuation), sep="\n")
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    """Replace this process by the simulated robot."""
    environ = ros_environment(os.environ)
    environ |= discovery(environ, arguments.network)
    environ |= without_shared_memory(environ)
    check_settings(environ)
    parameters = find_in_prefixes(PARAMETERS, environ)
    robot = arguments.robot
    words = [robot, "--namespace", arguments.namespace, "--task", arguments.task]
    words += ["--command", arguments.command] if arguments.command else []
    print("next, in another terminal:")
    print(
        f"  tdm_ros up {arguments.task} robot:={robot} driver:=ros2_control auto_start:=true params:={parameters}",
        flush=True,
    )
    os.execve(sys.executable, [sys.executable, "-m", "tdm_ros.nodes.simulated_robot", *words], environ)
