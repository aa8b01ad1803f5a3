"""A simulated Sawyer whose topics are in ROS 2, as by a bridge. `controller.Body` says what it can be asked."""

from __future__ import annotations

import threading
from contextlib import suppress

import rclpy
from controller import LIMB, Body, listen
from intera_core_msgs.msg import CollisionDetectionState, EndpointState, JointCommand, RobotAssemblyState
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, Float64


class Node(Body):
    """Topics around the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.node = rclpy.create_node("sawyer")
        publish, subscribe = self.node.create_publisher, self.node.create_subscription
        self._joints = publish(JointState, "/robot/joint_states", 1)
        self._endpoint = publish(EndpointState, LIMB + "endpoint_state", 1)
        self._collision = publish(CollisionDetectionState, LIMB + "collision_detection_state", 1)
        self._state = publish(RobotAssemblyState, "/robot/state", 1)
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        subscribe(JointCommand, LIMB + "joint_command", self.take, 1)
        for (topic, call), kind in zip(self.settings().items(), (Float64, Float64, Bool, Empty, Empty), strict=True):
            subscribe(kind, topic, call, kept if kind is Float64 else 1)

    def publish_motion(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        message = JointState()
        message.header.stamp = stamp
        if (sample := self.joints(message)) is not None:
            self._joints.publish(sample)
        state = self.endpoint(EndpointState(valid=True))
        state.header.stamp = stamp
        if not self.flags["mute_hand"]:
            self._endpoint.publish(state)

    def publish_state(self) -> None:
        self._state.publish(RobotAssemblyState(**self.state()))

    def publish_collision(self) -> None:
        self._collision.publish(CollisionDetectionState(collision_state=self.flags["collided"]))


def main() -> None:
    rclpy.init()
    body = Node()
    listen(body, rclpy.shutdown)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            rclpy.spin(body.node)

    threading.Thread(target=spin, daemon=True).start()
    body.run(lambda: not rclpy.ok())


if __name__ == "__main__":
    main()
