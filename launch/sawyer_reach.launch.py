"""A simulated Sawyer arm learns, live, to put its hand where it is told.

`ros2 launch tdm_ros sawyer_reach.launch.py --show-args` lists the arguments. They and the nodes come from
`config/sawyer_reach.system.yaml`; `tdm_ros up sawyer_reach` starts the same where there is no `ros2 launch`.
"""

import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.system.environment import ONE_THREAD
from tdm_ros.system.runner import RESTART_AFTER_S
from tdm_ros.system.table import Argument, Include, NodeEntry, SystemTable, Value, load_table

CONFIG = Path(get_package_share_directory("tdm_ros")) / "config"
RUN_DIR = time.strftime("runs/%Y%m%d-%H%M%S")


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes of the table, as launch actions."""
    table = load_table(CONFIG / "sawyer_reach.system.yaml")
    threads = [SetEnvironmentVariable(name, EnvironmentVariable(name, default_value="1")) for name in ONE_THREAD]
    arguments = [declare(argument, table) for argument in table.arguments.values()]
    return LaunchDescription([*threads, *arguments, OpaqueFunction(function=start_all, args=[table])])


def declare(argument: Argument, table: SystemTable) -> DeclareLaunchArgument:
    """Declare an argument; the default "auto" depends on the value of another one."""
    varies = any(argument.name in variant.defaults for variant in table.variants)
    default = {"run_dir": RUN_DIR}.get(argument.name, str(argument.default))
    choices = [str(choice) for choice in argument.choices]
    return DeclareLaunchArgument(
        argument.name,
        default_value={True: "auto", False: default}[varies],
        description=argument.description,
        choices=choices or None,
    )


def start_all(context: LaunchContext, table: SystemTable) -> list[Node | IncludeLaunchDescription]:
    """Start the nodes with what was chosen, and what the launch file alone can start, Gazebo and RViz."""
    texts = {name: LaunchConfiguration(name).perform(context) for name in table.arguments}
    given = {name: table.arguments[name].parse(text) for name, text in texts.items() if text != "auto"}
    values = table.completed(given)
    nodes = [start(node, values, table) for node in table.started(values)]
    return [*(include(part, values) for part in table.included(values)), *nodes]


def include(part: Include, values: dict[str, Value]) -> IncludeLaunchDescription:
    """Another launch file of this package, with some of our arguments."""
    given = [(name, str(values[name]).lower()) for name in part.arguments]
    path = str(CONFIG.parent / "launch" / part.launch_file)
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=given)


def start(node: NodeEntry, values: dict[str, Value], table: SystemTable) -> Node:
    """Start a node: one that is required ends the system with it, any other is started again."""
    return Node(
        package=node.package,
        executable=node.executable,
        name=node.name,
        parameters=[*map(str, table.params_files(values)), {name: values[name] for name in node.parameters}],
        output="screen",
        respawn=not node.required,
        respawn_delay=RESTART_AFTER_S,
        on_exit={True: Shutdown(reason=f"{node.name} has ended"), False: None}[node.required],
    )
