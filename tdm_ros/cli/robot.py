"""List and check robot descriptions.

A description is config/robots/NAME.yaml, or a file of yours.

Exit status: 0, success; 1, the description is unfit, or commands led out of its limits (one sentence per finding);
2, nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="verb", required=True)
    text = "list the robots that are known by name"
    verbs.add_parser("list", help=text, description=f"{text[0].upper()}{text[1:]}.")

    text = "print the limits, spaces and distances of a robot, and send hostile commands through its limiter"
    add = (made := verbs.add_parser("check", help=text, description=f"{text[0].upper()}{text[1:]}.")).add_argument
    add("robot", metavar="NAME_OR_PATH", help="name of a robot, or a description file, .yaml")
    add("--picture", type=Path, metavar="FILE.png", help="draw the arm at home, its capsules and boxes")
    add("--cycles", type=int, default=50, help="of each of 80 hostile episodes (default: %(default)s)")
    add("--seed", type=int, default=0, help="of goals, postures and commands (default: %(default)s)")


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
