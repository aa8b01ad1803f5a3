"""Topics between ros_gz_bridge and a Gazebo world; `config/gz_bridge.yaml` has the same."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.node import Node
from std_msgs.msg import Float64

from tdm_ros.nodes import qos
from tdm_ros.robot.sawyer import JOINT_NAMES

JOINT_STATES = "gz/joint_states"
STALE_S = 0.25
"""Joint states that are older are no ground to move on [s]; more than for a real arm, since a simulator may stutter."""
WORLD_CONTROL = "/world/tdm_sawyer/control"


class JointCommands:
    """A publisher for each joint.

    Parameters
    ----------
    node : Node
    by_torque : bool
        The world takes forces [N m] instead of velocities [rad/s].
    """

    def __init__(self, node: Node, by_torque: bool) -> None:
        end = "cmd_force" if by_torque else "cmd_vel"
        topics = [f"gz/{name}/{end}" for name in JOINT_NAMES]
        self._publishers = [node.create_publisher(Float64, topic, qos.COMMAND) for topic in topics]

    def say(self, values: Iterable[float]) -> None:
        """Publish (7,) [rad/s or N m]."""
        for publisher, value in zip(self._publishers, values, strict=True):
            publisher.publish(Float64(data=float(value)))

    def unheard(self) -> str:
        """Name a topic that nobody listens on, or ""."""
        silent = [p.topic_name for p in self._publishers if not p.get_subscription_count()]
        return f"nobody listened on {silent[0]}" if silent else ""
