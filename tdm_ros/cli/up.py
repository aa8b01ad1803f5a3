"""Start a system: its ROS 2 nodes, each in its own process.

It starts config/<system>.system.yaml, as the launch file of the same name does, where `ros2 launch` does not exist.
Ctrl-C ends it. The end of a required node ends it, too (of several arms: its arm); another node is restarted. Output
and recordings are in the run folder, runs/latest.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tdm_ros.bringup.environment import (
    LIVE_LINES,
    check_same_install,
    discovery,
    export_line,
    find_in_prefixes,
    foreign_prefixes,
    ros_environment,
    shadowed,
    without_shared_memory,
)
from tdm_ros.bringup.permissions import enclave_words
from tdm_ros.bringup.process import prefix_of
from tdm_ros.bringup.run_folder import LOGS
from tdm_ros.bringup.runner import Member, Runner
from tdm_ros.bringup.starting import prepare
from tdm_ros.bringup.table import PACKAGE, SUFFIX, NodeEntry, SystemTable, TableError, Value, as_ros_text, load_table
from tdm_ros.bringup.terminal import Console
from tdm_ros.drivers.intera.output import never_wait


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="name of a system (sawyer_reach, fleet), or a path to the table of your own")
    parser.add_argument("values", nargs="*", metavar="name:=value", help="arguments of the system")
    parser.add_argument("--show-args", action="store_true", help="list the arguments of the system, and end")


def run(arguments: argparse.Namespace) -> int:
    """Run a system to its end; return the exit status."""
    try:
        environ = ros_environment(os.environ)
        table = load_table(_table_path(arguments.system, environ))
        values = table.values(arguments.values)
        if not arguments.show_args:
            return start(table, values, environ | discovery(environ, str(values.get("network", "localhost"))))
    except (ValueError, OSError) as error:
        print(f"tdm_ros up: {error}", file=sys.stderr)
        return 1
    print(show_arguments(table))
    return 0


def start(table: SystemTable, values: dict[str, Value], environ: dict[str, str]) -> int:
    """Make the run folder, start every node, and wait for the end; return the exit status.

    An OSError or ValueError has the reason why the system cannot start.
    """
    never_wait()
    nodes = table.started(values)
    executables = {node.full_name: _executable(node, environ) for node in nodes}
    started_in = environ | without_shared_memory(environ) | {"PYTHONUNBUFFERED": "1", LIVE_LINES: "each"}
    run = prepare(table, values, started_in, "tdm_ros up")
    members = [
        Member(
            node.full_name,
            node_command(node, executables[node.full_name], table, values),
            node.required,
            bool(node.when),
            node.namespace,
            node.stop_s,
        )
        for node in nodes
    ]
    console = Console(sys.stdout, run.folder / LOGS, width=max(len(node.full_name) for node in nodes))
    console.report(f"{table.name}: {', '.join(member.name for member in members)}; Ctrl-C stops it")
    console.report("to see its nodes and topics from another terminal, paste there:")
    console.report(export_line(environ))
    for prefix in foreign_prefixes(os.environ):
        console.report(f"the ROS 2 in {prefix}, which is sourced, is for another Python and is not used")
    for prefix in {executables[node.full_name].parents[2] for node in nodes if node.package == PACKAGE}:
        if (own := shadowed(prefix)) is not None:
            console.report(f"tdm_ros of {prefix} is sourced and runs, not that of {own}")
    status = Runner(members, started_in | run.settings, console).run()
    console.report(f"run folder: {os.path.relpath(run.folder)}")
    console.close()
    run.lock.release()
    return status


def node_command(node: NodeEntry, executable: Path, table: SystemTable, values: dict[str, Value]) -> list[str]:
    """Command line of a node, with the remaps and parameters that `ros2 launch` gives it."""
    command = [*prefix_of(node.priority_of(values)), str(executable), "--ros-args", "-r", f"__node:={node.name}"]
    if namespace := "/".join(filter(None, (table.namespace(values), node.namespace))):
        command += ["-r", f"__ns:=/{namespace.strip('/')}"]
    for name, topic in table.remaps(node, values).items():
        command += ["-r", f"{name}:={topic}"]
    for path in table.params_files(values):
        command += ["--params-file", str(path)]
    for name, value in table.given(node, values).items():
        command += ["-p", f"{name}:={as_ros_text(value)}"]
    if level := values.get("log_level"):
        command += ["--log-level", str(level)]
    return [*command, *enclave_words(os.environ, node.name)]


def show_arguments(table: SystemTable) -> str:
    """List of the arguments of a system, as text."""
    lines = [f"{table.name}: {table.description}", ""]
    for name, argument in table.arguments.items():
        choices = f" (one of {', '.join(map(str, argument.choices))})" if argument.choices else ""
        lines.append(f"  {name}:={as_ros_text(argument.default)}")
        lines.append(f"      {argument.description}{choices}")
    return "\n".join(lines)


def _table_path(system: str, environ: dict[str, str]) -> Path:
    """Find the table of a system by its name, or by its path."""
    if system.endswith(".yaml"):
        return Path(system)
    check_same_install(find_in_prefixes("share/tdm_ros/config", environ).parents[2])
    try:
        return find_in_prefixes(f"share/tdm_ros/config/{system}{SUFFIX}", environ)
    except FileNotFoundError:
        folder = find_in_prefixes("share/tdm_ros/config", environ)
        known = ", ".join(sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")))
        raise TableError(f"there is no system {system!r}; there are: {known}") from None


def _executable(node: NodeEntry, environ: dict[str, str]) -> Path:
    found = find_in_prefixes(f"lib/{node.package}/{node.executable}", environ)
    if node.package == PACKAGE:
        check_same_install(found.parents[2])
    return found
