"""A simulated Sawyer arm learns, live, to put its hand where it is told.

`ros2 launch tdm_ros sawyer_reach.launch.py --show-args` lists the arguments. They and the nodes come from
`config/sawyer_reach.system.yaml`; `tdm_ros up sawyer_reach` starts the same where there is no `ros2 launch`.
"""

import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from tdm_ros.system.environment import ONE_THREAD
from tdm_ros.system.runner import RESTART_AFTER_S
from tdm_ros.system.table import Argument, NodeEntry, SystemTable, load_table

CONFIG = Path(get_package_share_directory("tdm_ros")) / "config"
RUN_DIR = time.strftime("runs/%Y%m%d-%H%M%S")


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes of the table, as launch actions."""
    table = load_table(CONFIG / "sawyer_reach.system.yaml")
    threads = [SetEnvironmentVariable(name, EnvironmentVariable(name, default_value="1")) for name in ONE_THREAD]
    arguments = [declare(argument) for argument in table.arguments.values()]
    return LaunchDescription([*threads, *arguments, *(start(node, table) for node in table.nodes)])


def declare(argument: Argument) -> DeclareLaunchArgument:
    """Declare an argument; an empty default can only be that of the run's folder."""
    return DeclareLaunchArgument(
        argument.name,
        default_value=str(argument.default) or RUN_DIR,
        description=argument.description,
        choices=[str(choice) for choice in argument.choices] or None,
    )


def start(node: NodeEntry, table: SystemTable) -> Node:
    """Start a node: one that is required ends the system with it, any other is started again."""
    values = {
        name: ParameterValue(LaunchConfiguration(name), value_type=table.arguments[name].kind)
        for name in node.parameters
    }
    return Node(
        package=node.package,
        executable=node.executable,
        name=node.name,
        parameters=[str(table.params_file), values],
        output="screen",
        respawn=not node.required,
        respawn_delay=RESTART_AFTER_S,
        on_exit={True: Shutdown(reason=f"{node.name} has ended"), False: None}[node.required],
    )
