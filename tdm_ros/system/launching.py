"""A system's table as launch actions, for `ros2 launch`: what `system/runner.py` does where that does not exist."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events.process import ShutdownProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.system.environment import ONE_THREAD, discovery, without_shared_memory
from tdm_ros.system.runner import RESTART_AFTER_S
from tdm_ros.system.table import Argument, Include, NodeEntry, SystemTable, Value, load_table

RUN_DIR = time.strftime("runs/%Y%m%d-%H%M%S")


def describe_system(path: Path) -> LaunchDescription:
    """Return the arguments and the nodes of a table, as launch actions.

    Raises
    ------
    TableError
        If it is no table of a system.
    """
    table = load_table(path)
    threads = [SetEnvironmentVariable(name, EnvironmentVariable(name, default_value="1")) for name in ONE_THREAD]
    arguments = [declare(argument, table) for argument in table.arguments.values()]
    return LaunchDescription([*threads, *arguments, OpaqueFunction(function=start_all, args=[table])])


def declare(argument: Argument, table: SystemTable) -> DeclareLaunchArgument:
    """Declare an argument; the default "auto" depends on the value of another one."""
    varies = any(argument.name in variant.defaults for variant in table.variants)
    default = {"run_dir": RUN_DIR}.get(argument.name, str(argument.default))
    return DeclareLaunchArgument(
        argument.name,
        default_value="auto" if varies else default,
        description=argument.description,
        choices=[str(choice) for choice in argument.choices] or None,
    )


def start_all(
    context: LaunchContext, table: SystemTable
) -> list[SetEnvironmentVariable | Node | IncludeLaunchDescription]:
    """Start the nodes with what was chosen, and what only a launch file can start."""
    texts = {name: LaunchConfiguration(name).perform(context) for name in table.arguments}
    values = table.completed({n: table.arguments[n].parse(text) for n, text in texts.items() if text != "auto"})
    entries = table.started(values)
    ends = Ends({entry.namespace for entry in entries if entry.required})
    nodes = [start(entry, values, table, ends) for entry in entries]
    found = discovery(os.environ, str(values.get("network", "localhost")))
    found |= without_shared_memory(os.environ | found)
    talking = [SetEnvironmentVariable(*setting) for setting in found.items()]
    return [*talking, *(include(part, values, table) for part in table.included(values)), *nodes]


def include(part: Include, values: dict[str, Value], table: SystemTable) -> IncludeLaunchDescription:
    """Another launch file of the package, with some of the system's arguments."""
    given = [(name, str(values[name]).lower()) for name in part.arguments]
    path = table.params_file.parent.parent / "launch" / part.launch_file
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)


class Ends:
    """Ends an arm with its required nodes, and the system with its last arm.

    Parameters
    ----------
    lasting : set of str
        Namespaces that have required nodes.
    """

    def __init__(self, lasting: set[str]) -> None:
        self._lasting = set(lasting)
        self.members: dict[str, list[Node]] = {}

    def of(self, namespace: str, name: str) -> Callable[..., object]:
        """What is done when the required node ``name`` has ended."""

        def on_exit(event: object, context: LaunchContext) -> object:
            self._lasting.discard(namespace)
            if not self._lasting:
                return Shutdown(reason=f"{name} has ended")
            members = self.members[namespace]
            return EmitEvent(event=ShutdownProcess(process_matcher=lambda process: process in members))

        return on_exit


def start(entry: NodeEntry, values: dict[str, Value], table: SystemTable, ends: Ends) -> Node:
    """Start a node: one that is required ends its arm, or the system, with it; any other is started again."""
    node = Node(
        package=entry.package,
        executable=entry.executable,
        name=entry.name,
        namespace=entry.namespace or None,
        remappings=[*entry.remaps.items()],
        parameters=[*map(str, table.params_files(values)), table.given(entry, values)],
        output="screen",
        respawn=not entry.required,
        respawn_delay=RESTART_AFTER_S,
        on_exit=ends.of(entry.namespace, entry.full_name) if entry.required else None,
    )
    ends.members.setdefault(entry.namespace, []).append(node)
    return node
