"""An arm learns to push an object to a target, live and from scratch.

`ros2 launch tdm_ros push.launch.py --show-args` lists the arguments. They and the nodes come from
`config/push.system.yaml`; `tdm_ros up push` starts the same where there is no `ros2 launch`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription

from tdm_ros.bringup.launching import describe_system

CONFIG = Path(get_package_share_directory("tdm_ros")) / "config"


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes of the table, as launch actions."""
    return describe_system(CONFIG / "push.system.yaml")
