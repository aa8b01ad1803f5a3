"""Configuration of ros_gz_bridge: topics of Gazebo and their counterparts in ROS 2."""

from __future__ import annotations

from tdm_ros.description.markup import WRITTEN_BY
from tdm_ros.description.sdf import JOINT_STATES, command_topic
from tdm_ros.description.worlds import PUCK_STATES
from tdm_ros.robot.actuation import ACTUATIONS
from tdm_ros.robot.sawyer import JOINT_NAMES

_STATES = ("sensor_msgs/msg/JointState", "gz.msgs.Model", "GZ_TO_ROS")
_NUMBER = ("std_msgs/msg/Float64", "gz.msgs.Double", "ROS_TO_GZ")


def bridge_yaml(actuation: str = "velocity") -> str:
    """Write the bridge's `config_file` for the worlds of an actuation.

    All names are relative but that of the clock, which ROS 2 looks for nowhere else.

    Raises
    ------
    KeyError
        If there is no such actuation.
    """
    command = "cmd_vel" if ACTUATIONS[actuation].mode == "velocity" else "cmd_force"
    entries = [
        _entry("/clock", "/clock", "rosgraph_msgs/msg/Clock", "gz.msgs.Clock", "GZ_TO_ROS"),
        _entry("gz/joint_states", JOINT_STATES, *_STATES),
        _entry("gz/puck/joint_states", PUCK_STATES, *_STATES),
        *(_entry(f"gz/{name}/{command}", command_topic(name, actuation), *_NUMBER) for name in JOINT_NAMES),
    ]
    return f"# {WRITTEN_BY}\n" + "".join(entries)


def _entry(ros_topic: str, gz_topic: str, ros_type: str, gz_type: str, direction: str) -> str:
    return (
        f"- ros_topic_name: {ros_topic}\n  gz_topic_name: {gz_topic}\n"
        f"  ros_type_name: {ros_type}\n  gz_type_name: {gz_type}\n  direction: {direction}\n"
    )
