"""RViz with the arm, its plan and its limits, beside a system whose node `scene` runs (`rviz:=true`)."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch_ros.actions import Node

from tdm_ros.bringup.environment import require

SHARE = Path(get_package_share_directory("tdm_ros"))


def generate_launch_description() -> LaunchDescription:
    """Return RViz, and what makes the arm's frames from its joints, as launch actions.

    Raises
    ------
    RuntimeError
        If packages are missing; the text says which, and how to get them.
    """
    require(("rviz2", "robot_state_publisher"), "rviz:=true")
    description = {"robot_description": (SHARE / "urdf" / "sawyer.urdf").read_text()}
    arguments = ["-d", str(SHARE / "config" / "sawyer.rviz")]
    return LaunchDescription(
        [
            Node(package="rviz2", executable="rviz2", name="rviz", arguments=arguments),
            Node(package="robot_state_publisher", executable="robot_state_publisher", parameters=[description]),
        ]
    )
