"""Table of a system as launch actions for `ros2 launch`, the counterpart of `bringup/runner.py`.

Another launch file may include one several times, under namespaces. Each inclusion is a run with a folder of its own,
and its end ends no other process.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_prefix
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO, ShutdownProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.bringup.environment import (
    LIVE_LINES,
    ONE_THREAD,
    RANGE,
    check_same_install,
    discovery,
    export_line,
    without_shared_memory,
)
from tdm_ros.bringup.permissions import enclave_words
from tdm_ros.bringup.process import prefix_of
from tdm_ros.bringup.run_folder import LOGS
from tdm_ros.bringup.runner import RESTART_AFTER_S
from tdm_ros.bringup.starting import Prepared, prepare
from tdm_ros.bringup.table import PACKAGE, Argument, Include, NodeEntry, SystemTable, Value, load_table
from tdm_ros.bringup.terminal import LogFiles

RUN = "TDM_ROS_RUN"
"""Environment variable with the run folder, which marks all processes of one inclusion and of the files it includes."""
TERM_BEFORE_KILL_S = 1.0  # time between SIGTERM, which follows SIGINT, and SIGKILL [s]


COMMON = {
    "namespace": ("", None, "namespace of the nodes, below that of a launch file that includes this one"),
    "use_sim_time": ("false", ["true", "false"], "nodes take the time from /clock"),
    "log_level": ("info", ["debug", "info", "warn", "error", "fatal"], "least severity that the nodes log"),
}
"""Arguments of every launch file: default, choices and description, by name. Tables of systems have them, too."""


def declare_common() -> list[DeclareLaunchArgument]:
    """Declare the arguments that every launch file has."""
    return [
        DeclareLaunchArgument(name, default_value=default, choices=choices, description=description)
        for name, (default, choices, description) in COMMON.items()
    ]


def node_settings(context: LaunchContext) -> dict[str, Any]:
    """Keyword arguments of a `Node` that the common arguments determine."""
    namespace, use_sim_time, level = (LaunchConfiguration(name).perform(context) for name in COMMON)
    return {
        "namespace": namespace.strip("/") or None,
        "parameters": [{"use_sim_time": use_sim_time == "true"}],
        "ros_arguments": ["--log-level", level],
    }


def describe_system(path: Path) -> LaunchDescription:
    """Return the arguments and the nodes of a table, as launch actions."""
    table = load_table(path)
    threads = [SetEnvironmentVariable(name, EnvironmentVariable(name, default_value="1")) for name in ONE_THREAD]
    arguments = [declare(argument, table) for argument in table.arguments.values()]
    # A group: the environment that it sets is not that of a launch file which includes this one.
    return LaunchDescription([*arguments, GroupAction([*threads, OpaqueFunction(function=start_all, args=[table])])])


def declare(argument: Argument, table: SystemTable) -> DeclareLaunchArgument:
    """Declare an argument. Its default is "auto" if it depends on the value of another argument."""
    varies = any(argument.name in variant.defaults for variant in table.variants)
    return DeclareLaunchArgument(
        argument.name,
        default_value="auto" if varies else str(argument.default),
        description=argument.description,
        choices=[*map(str, argument.choices), *(["auto"] if varies else [])] if argument.choices else None,
    )


def start_all(context: LaunchContext, table: SystemTable) -> list[Action]:
    """Check the arguments, make the run folder, and start the nodes and the included launch files.

    A ValueError or OSError has the reason why nodes cannot start with these arguments.
    """
    texts = {name: LaunchConfiguration(name).perform(context) for name in table.arguments}
    values = table.completed({n: table.arguments[n].parse(text) for n, text in texts.items() if text != "auto"})
    check_same_install(Path(get_package_prefix(PACKAGE)))
    opened = os.environ | discovery(os.environ, str(values.get("network", "localhost")))
    found = {RANGE: opened[RANGE], **without_shared_memory(opened)}
    parent = context.launch_configurations.get("ros_namespace", "")
    run = prepare(table, values, os.environ | found, "ros2 launch", parent)
    settings = {**run.settings, **found, LIVE_LINES: "some", RUN: str(run.folder)}
    return [
        LogInfo(msg=f"{table.name}: run folder {run.folder}"),
        LogInfo(msg=f"to see its nodes and topics from another terminal, paste there:\n{export_line(opened)}"),
        *(SetEnvironmentVariable(*setting) for setting in settings.items()),
        *(include(part, values, table) for part in table.included(values)),
        *start_nodes(table, values, run, parent),
    ]


def include(part: Include, values: dict[str, Value], table: SystemTable) -> IncludeLaunchDescription:
    """Include another launch file of the package, with some of the arguments of the system."""
    given = [(name, str(values[name]).lower()) for name in part.arguments]
    path = table.params_file.parent.parent / "launch" / part.launch_file
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)


def start_nodes(table: SystemTable, values: dict[str, Value], run: Prepared, parent: str) -> Iterable[Action]:
    """Start the nodes of the table, and write their output to the run folder."""
    entries = table.started(values)
    ends = Ends({entry.namespace for entry in entries if entry.required}, run)
    names = {start(entry, values, table, ends, parent): entry.full_name for entry in entries}
    files = LogFiles(run.folder / LOGS)

    def keep(event: ProcessIO) -> None:
        files.write(names[event.action], event.text.decode(errors="replace"))

    yield RegisterEventHandler(OnProcessIO(target_action=names.__contains__, on_stdout=keep, on_stderr=keep))
    yield from names


class Ends:
    """End of an arm with its required nodes, and of the run with its last arm; no other inclusion is affected."""

    def __init__(self, lasting: set[str], run: Prepared) -> None:
        self._lasting = set(lasting)
        self._run = run
        self.members: dict[str, list[Action]] = defaultdict(list)

    def of(self, namespace: str) -> Callable[..., object]:
        """Return the reaction to the end of a required node of a namespace."""

        def on_exit(event: object, context: LaunchContext) -> object:
            self._lasting.discard(namespace)
            members = self.members[namespace]
            ended = members.__contains__ if self._lasting else of_run(self._run.folder)
            if not self._lasting:
                self._run.lock.release()
            return EmitEvent(event=ShutdownProcess(process_matcher=ended))

        return on_exit


def of_run(folder: Path | str) -> Callable[[Action], bool]:
    """Return a predicate: whether the process of an action belongs to the run in a folder."""

    def matches(process: Action) -> bool:
        details = process.process_details or {}
        return (details.get("env") or {}).get(RUN) == str(folder)

    return matches


def start(entry: NodeEntry, values: dict[str, Value], table: SystemTable, ends: Ends, parent: str) -> Node:
    """Start a node. The end of a required node ends its arm or the system; another node is restarted."""
    node = Node(
        package=entry.package,
        executable=entry.executable,
        exec_name=entry.executable,  # launch prints this name instead of that of the prefix
        name=entry.name,
        namespace="/".join(filter(None, (table.namespace(values, parent), entry.namespace))) or None,
        remappings=[*table.remaps(entry, values, parent).items()],
        ros_arguments=["--log-level", str(values.get("log_level", "info")), *enclave_words(os.environ, entry.name)],
        parameters=[*map(str, table.params_files(values)), table.given(entry, values)],
        prefix=" ".join(prefix_of(entry.priority_of(values))) or None,
        output="screen",
        respawn=not entry.required,
        respawn_delay=RESTART_AFTER_S,
        sigterm_timeout=f"{entry.stop_s - TERM_BEFORE_KILL_S:g}",
        sigkill_timeout=f"{TERM_BEFORE_KILL_S:g}",
        on_exit=ends.of(entry.namespace) if entry.required else None,
    )
    ends.members[entry.namespace].append(node)
    return node
