"""Gazebo with an arm, and its bridge to ROS 2, for `sim:=gazebo`.

`reach.launch.py` and `sawyer_reach.launch.py` include it. By itself it is for `tdm_ros up reach sim:=gazebo`, or for
Gazebo on another machine. World and configuration of the bridge are written from the description of the robot.
Gazebo Harmonic (ROS 2 Jazzy) or later.
"""

import tempfile
from pathlib import Path
from shlex import quote
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
from tdm_ros.envs.description import write_world
from tdm_ros.robots.description import load_robot
from tdm_ros.robots.gazebo import control_service

ARGUMENTS = {
    "robot": ("sawyer", None, "description of the arm: its name, or the path of a .yaml file"),
    "scene": ("open", ["open", "wall", "push"], "objects beside the arm"),
    "actuation": ("velocity", ["velocity", "torque"], "actuation of the joints"),
    "headless": ("false", ["true", "false"], "run Gazebo without a window"),
    "lock_step": ("false", ["true", "false"], "pause the world; it makes steps when the node arm requests them"),
}
"""Default, choices and description, by name."""
WORLD_CONTROL = "ros_gz_interfaces/srv/ControlWorld"


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
        If ros_gz is not installed.
    ValueError
        If there is no such robot, or it has no such world. Both texts have the remedy.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    require(("ros_gz_sim", "ros_gz_bridge", "ros_gz_interfaces"), "sim:=gazebo", "take sim:=mujoco")
    robot, run = load_robot(given["robot"]), context.environment.get(RUN)
    folder = Path(run) / "gazebo" if run else Path(tempfile.mkdtemp(prefix="tdm_ros-gazebo-"))
    world, bridge_file = write_world(folder, robot, given["scene"], given["actuation"])
    running = "" if given["lock_step"] == "true" else "-r "
    window = "-s --headless-rendering " if given["headless"] == "true" else ""
    gazebo = Path(get_package_share_directory("ros_gz_sim")) / "launch" / "gz_sim.launch.py"
    gazebo_arguments = {"gz_args": f"{running}{window}-v1 {quote(str(world))}", "on_exit_shutdown": "false"}
    run = run or f"gazebo-{uuid4()}"  # by itself it belongs to no system
    of_this = of_run(run)
    end = OnProcessExit(
        target_action=lambda process: of_this(process) and process.process_details["name"].startswith("gazebo"),
        on_exit=EmitEvent(event=ShutdownProcess(process_matcher=of_this)),
    )
    settings = node_settings(context)
    settings["parameters"] += [{"config_file": str(bridge_file)}]
    bridge = {"package": "ros_gz_bridge", "executable": "parameter_bridge", "name": "gz_bridge", "output": "screen"}
    return [
        SetEnvironmentVariable(RUN, run),
        RegisterEventHandler(end),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(gazebo)), launch_arguments=gazebo_arguments.items()),
        Node(**bridge, arguments=[f"{control_service(robot)}@{WORLD_CONTROL}"], **settings),
    ]
