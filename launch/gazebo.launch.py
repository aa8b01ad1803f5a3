"""Gazebo with a Sawyer, and its bridge to ROS 2, for `sim:=gazebo`.

`sawyer_reach.launch.py` includes it. By itself it is for `tdm_ros up sawyer_reach sim:=gazebo`, or for Gazebo on
another machine. Gazebo Harmonic (ROS 2 Jazzy) or later.
"""

from pathlib import Path
from uuid import uuid4

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ShutdownProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.bringup.environment import require
from tdm_ros.bringup.launching import RUN, declare_common, node_settings, of_run

SHARE = Path(get_package_share_directory("tdm_ros"))
ARGUMENTS = {
    "scene": ("open", ["open", "wall", "push"], "objects beside the arm"),
    "actuation": ("velocity", ["velocity", "torque"], "actuation of the joints"),
    "headless": ("false", ["true", "false"], "run Gazebo without a window"),
    "lock_step": ("false", ["true", "false"], "pause the world; it makes steps when the node arm requests them"),
}
"""Default, choices and description, by name."""
WORLD_CONTROL = "/world/tdm_sawyer/control@ros_gz_interfaces/srv/ControlWorld"


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, and Gazebo and its bridge as launch actions."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, choices=choices, description=description)
        for name, (default, choices, description) in ARGUMENTS.items()
    ]
    # A group: the environment that it sets is not that of a launch file which includes this one.
    return LaunchDescription([*arguments, *declare_common(), GroupAction([OpaqueFunction(function=start)])])


def start(context: LaunchContext) -> list[object]:
    """Start Gazebo and its bridge; the end of Gazebo ends the bridge and the system that includes it, no other process.

    Raises
    ------
    RuntimeError
        If ros_gz is not installed, or there is no such world; the text has the remedy.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    require(("ros_gz_sim", "ros_gz_bridge", "ros_gz_interfaces"), "sim:=gazebo", "take sim:=mujoco")
    torque = {"velocity": "", "torque": "_torque"}[given["actuation"]]
    world = SHARE / "worlds" / f"sawyer_{given['scene']}{torque}.sdf"
    if not world.exists():
        raise RuntimeError(f"there is no world for scene:={given['scene']} with torques: take actuation:=velocity")
    running = "" if given["lock_step"] == "true" else "-r "
    window = "-s --headless-rendering " if given["headless"] == "true" else ""
    gazebo = Path(get_package_share_directory("ros_gz_sim")) / "launch" / "gz_sim.launch.py"
    gazebo_arguments = {"gz_args": f"{running}{window}-v1 {world}", "on_exit_shutdown": "false"}
    run = context.environment.get(RUN) or f"gazebo-{uuid4()}"  # by itself it belongs to no system
    of_this = of_run(run)
    end = OnProcessExit(
        target_action=lambda process: of_this(process) and process.process_details["name"].startswith("gazebo"),
        on_exit=EmitEvent(event=ShutdownProcess(process_matcher=of_this)),
    )
    settings = node_settings(context)
    settings["parameters"] += [{"config_file": str(SHARE / "config" / f"gz_bridge{torque}.yaml")}]
    bridge = {"package": "ros_gz_bridge", "executable": "parameter_bridge", "name": "gz_bridge", "output": "screen"}
    return [
        SetEnvironmentVariable(RUN, run),
        RegisterEventHandler(end),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(gazebo)), launch_arguments=gazebo_arguments.items()),
        Node(**bridge, arguments=[WORLD_CONTROL], **settings),
    ]
