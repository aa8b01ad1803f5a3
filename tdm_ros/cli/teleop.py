"""Drive the arm of a running system with the keys of this terminal.

The run folder of the system has its ROS domain, in config.json. The keys are listed at the start. The motion is
recorded as the operator's, and learned from.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from tdm_ros.bringup.environment import (
    CLOSED,
    NETWORKS,
    RANGE,
    check_same_install,
    discovery,
    find_in_prefixes,
    ros_environment,
    without_shared_memory,
)
from tdm_ros.bringup.run_folder import LOGS
from tdm_ros.bringup.starting import check_settings

EXECUTABLE = "lib/tdm_ros/teleop_keyboard"


def add_system_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which system a program talks to, for `environment_of` and `namespace_of`."""
    parser.add_argument("run_dir", type=Path, nargs="?", default=Path("runs/latest"), help="run folder (runs/latest)")
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        default="localhost",
        help="as the argument network of the system; with a run folder, the recorded one",
    )
    parser.add_argument("--namespace", help="namespace of the nodes (that of the run folder, or /)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_system_arguments(parser)
    parser.add_argument("--speed", type=float, default=0.1, help="how fast a key moves the hand [m/s] (default 0.1)")


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by the node of the keyboard; return the exit status if that fails."""
    try:
        namespace = arguments.namespace or namespace_of(arguments.run_dir)
        environ = environment_of(arguments.run_dir, arguments.network)
        check_settings(environ)
        program = find_in_prefixes(EXECUTABLE, environ)
        check_same_install(program.parents[2])
        if (logs := arguments.run_dir / LOGS).is_dir():
            environ.setdefault("ROS_LOG_DIR", str(logs.resolve() / "ros"))
    except (OSError, ValueError) as error:
        print(f"tdm_ros teleop: {error}", file=sys.stderr)
        return 1
    words = ["--ros-args", "-p", f"speed_m_s:={arguments.speed}", "-r", f"__ns:={namespace}"]
    sys.stdout.flush()
    os.execve(program, [str(program), *words], environ)


def environment_of(run_dir: Path, network: str) -> dict[str, str]:
    """Environment of a program that talks to the system that recorded a run; a ValueError if its domain is unknown.

    A ``network`` that the system recorded is used instead of the given one.
    """
    settings = domain_of(run_dir)
    environ = ros_environment(os.environ | settings)
    opened = settings.get(RANGE, "LOCALHOST") not in CLOSED  # by the argument of the system
    environ |= discovery(environ, "subnet" if opened else network)
    return environ | without_shared_memory(environ)


def domain_of(run_dir: Path) -> dict[str, str]:
    """ROS settings of the system that recorded a run, or a ValueError; none if the environment has a domain."""
    found = {} if "ROS_DOMAIN_ID" in os.environ else _recorded(run_dir, "ros")
    if not found and "ROS_DOMAIN_ID" not in os.environ:
        raise ValueError(
            f"{run_dir / 'config.json'} does not have the ROS domain of the system: give the run folder, or set "
            "ROS_DOMAIN_ID"
        )
    return found


def namespace_of(run_dir: Path) -> str:
    """Namespace of the system that recorded a run; / if it has no record."""
    return f"/{_recorded(run_dir, 'arguments').get('namespace', '').strip('/')}"


def _recorded(run_dir: Path, part: str) -> dict[str, str]:
    """A part of the record of the system of a run; empty if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads((run_dir / "config.json").read_text(encoding="utf-8"))[part])
    return {}
