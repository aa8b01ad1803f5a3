"""ROS nodes of a gamepad or a SpaceMouse, with settings for driving the hand.

`ros2 launch tdm_ros teleop.launch.py device:=joy`, beside a running system and in its ROS_DOMAIN_ID. For the keys of a
terminal no launch file is needed: `tdm_ros teleop`. A sender like MoveIt Servo's publishes on `teleop/twist` itself.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.bringup.environment import require
from tdm_ros.bringup.launching import declare_common, node_settings

CONFIG = Path(get_package_share_directory("tdm_ros")) / "config"
DEVICES = {
    "joy": (
        ("joy", "joy_node", "joy_node", {}),
        ("teleop_twist_joy", "teleop_node", "teleop_twist_joy_node", {"cmd_vel": "teleop/twist"}),
    ),
    "spacenav": (("spacenav", "spacenav_node", "spacenav_node", {"spacenav/twist_stamped": "teleop/twist"}),),
}
"""Package, executable, name and remappings of each node that a device takes."""


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes of the device, as launch actions."""
    device = DeclareLaunchArgument(
        "device", default_value="joy", choices=[*DEVICES], description="teleoperation device"
    )
    params = DeclareLaunchArgument(
        "params", default_value="", description="file with your own parameters of the device's nodes"
    )
    return LaunchDescription([device, params, *declare_common(), OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Node]:
    """Start the device's nodes.

    Raises
    ------
    RuntimeError
        If packages are missing; the text has the remedy.
    """
    device, params = (LaunchConfiguration(name).perform(context) for name in ("device", "params"))
    require([package for package, *_ in DEVICES[device]], f"device:={device}")
    settings = node_settings(context)
    settings["parameters"] = [params or str(CONFIG / f"teleop_{device}.yaml"), *settings["parameters"]]
    return [
        Node(package=package, executable=executable, name=name, remappings=[*remap.items()], **settings)
        for package, executable, name, remap in DEVICES[device]
    ]
