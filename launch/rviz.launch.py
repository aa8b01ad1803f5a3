"""RViz with the arm, its plan and its limits, beside a system whose node `scene` runs (`rviz:=true`)."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from tdm_ros.bringup.environment import require
from tdm_ros.bringup.launching import declare_common, node_settings

SHARE = Path(get_package_share_directory("tdm_ros"))


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and RViz as launch actions."""
    return LaunchDescription([*declare_common(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Node]:
    """Start RViz; the node `scene` publishes the frames and the description of the arm.

    Raises
    ------
    RuntimeError
        If packages are missing; the text has the remedy.
    """
    require(("rviz2",), "rviz:=true")
    arguments = ["-d", str(SHARE / "config" / "sawyer.rviz")]
    return [Node(package="rviz2", executable="rviz2", name="rviz", arguments=arguments, **node_settings(context))]
