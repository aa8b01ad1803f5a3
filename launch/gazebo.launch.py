"""A Gazebo world with a Sawyer in it, and the bridge to ROS 2: what `sim:=gazebo` needs.

`ros2 launch tdm_ros sawyer_reach.launch.py sim:=gazebo` starts this, too. By itself it is for `tdm_ros up sawyer_reach
sim:=gazebo`, or for Gazebo on another machine. Gazebo Harmonic (ROS 2 Jazzy) or later.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ShutdownProcess
from launch.launch_description_source import LaunchDescriptionSource
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tdm_ros.bringup.environment import require
from tdm_ros.bringup.launching import RUN, of_run

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
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[object]:
    """Start Gazebo and its bridge.

    Raises
    ------
    RuntimeError
        If ros_gz is not installed, or there is no such world; the text says what to do.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    require(("ros_gz_sim", "ros_gz_bridge", "ros_gz_interfaces"), "sim:=gazebo", "take sim:=mujoco")
    torque = {"velocity": "", "torque": "_torque"}[given["actuation"]]
    world = SHARE / "worlds" / f"sawyer_{given['scene']}{torque}.sdf"
    if not world.exists():
        raise RuntimeError(f"there is no world for scene:={given['scene']} with torques: take actuation:=velocity")
    runs = "" if given["lock_step"] == "true" else "-r "
    window = "-s --headless-rendering " if given["headless"] == "true" else ""
    gazebo = Path(get_package_share_directory("ros_gz_sim")) / "launch" / "gz_sim.launch.py"
    source: LaunchDescriptionSource = PythonLaunchDescriptionSource(str(gazebo))
    run = context.environment.get(RUN, "")  # of the system that includes this file; by itself it has none
    gazebo_arguments = {"gz_args": f"{runs}{window}-v1 {world}", "on_exit_shutdown": str(not run).lower()}
    end = OnProcessExit(
        target_action=lambda process: of_run(run)(process) and process.process_details["name"].startswith("gazebo"),
        on_exit=EmitEvent(event=ShutdownProcess(process_matcher=of_run(run))),
    )
    bridge = Node(
        package="ros_gz_bridge",
        executable="parameter_bridge",
        name="gz_bridge",
        parameters=[{"config_file": str(SHARE / "config" / f"gz_bridge{torque}.yaml")}],
        arguments=[WORLD_CONTROL],
        output="screen",
    )
    gazebo_and_bridge = [IncludeLaunchDescription(source, launch_arguments=gazebo_arguments.items()), bridge]
    return [RegisterEventHandler(end), *gazebo_and_bridge] if run else gazebo_and_bridge
