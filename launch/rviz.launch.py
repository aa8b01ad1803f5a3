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
    """Return the arguments, RViz and robot_state_publisher as launch actions."""
    return LaunchDescription([*declare_common(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Node]:
    """Start RViz and robot_state_publisher, which publishes the frames of the arm.

    Raises
    ------
    RuntimeError
        If packages are missing; the text has the remedy.
    """
    require(("rviz2", "robot_state_publisher"), "rviz:=true")
    settings = node_settings(context)
    description = {"robot_description": (SHARE / "urdf" / "sawyer.urdf").read_text()}
    publisher = settings | {"parameters": [*settings["parameters"], description]}
    arguments = ["-d", str(SHARE / "config" / "sawyer.rviz")]
    return [
        Node(package="rviz2", executable="rviz2", name="rviz", arguments=arguments, **settings),
        Node(package="robot_state_publisher", executable="robot_state_publisher", **publisher),
    ]
