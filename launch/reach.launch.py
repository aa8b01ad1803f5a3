"""An arm learns to reach goals, live and from scratch.

`ros2 launch tdm_ros reach.launch.py --show-args` lists the arguments. They and the nodes come from
`config/reach.system.yaml`; `tdm_ros up reach` starts the same where there is no `ros2 launch`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription

from tdm_ros.bringup.launching import describe_system

CONFIG = Path(get_package_share_directory("tdm_ros")) / "config"


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes of the table, as launch actions."""
    return describe_system(CONFIG / "reach.system.yaml")
