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

from tdm_ros.robots.kinematics import jacobian, quaternion_wxyz


class Node(Body):
    """Topics around the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.node = rclpy.create_node("sawyer")
        publish, c = self.node.create_publisher, self.controller
        self._joints = publish(JointState, "/robot/joint_states", 1)
        self._endpoint = publish(EndpointState, LIMB + "endpoint_state", 1)
        self._collision = publish(CollisionDetectionState, LIMB + "collision_detection_state", 1)
        self._state = publish(RobotAssemblyState, "/robot/state", 1)
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, call, profile in (
            (JointCommand, LIMB + "joint_command", self.take, 1),
            (Float64, LIMB + "joint_command_timeout", self.set_timeout, kept),
            (Float64, LIMB + "set_speed_ratio", lambda m: setattr(c, "speed_ratio", min(max(m.data, 0.0), 1.0)), kept),
            (Bool, "/robot/set_super_enable", lambda m: c.enable(m.data), 1),
            (Empty, "/robot/set_super_reset", lambda m: c.reset(), 1),
            (Empty, "/robot/set_super_stop", lambda m: c.stop(2, 2), 1),
        ):
            self.node.create_subscription(kind, topic, call, profile)

    def publish_motion(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        message = JointState()
        message.header.stamp = stamp
        if (sample := self.joints(message)) is not None:
            self._joints.publish(sample)
        with self.controller.lock:
            reading, hand = self.controller.sim.reading(), self.controller.sim.hand_pose()
        state = EndpointState(valid=True)
        state.header.stamp = stamp
        at, turned = state.pose.position, state.pose.orientation
        at.x, at.y, at.z = map(float, hand.position_m)
        turned.w, turned.x, turned.y, turned.z = map(float, quaternion_wxyz(hand.rotation))
        linear, angular = state.twist.linear, state.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = jacobian(reading.q_rad) @ reading.qd_rad_s
        if not self.flags["mute_hand"]:
            self._endpoint.publish(state)

    def publish_state(self) -> None:
        c = self.controller
        state = RobotAssemblyState(homed=c.homed, ready=c.enabled, enabled=c.enabled, stopped=c.stopped, error=c.error)
        state.estop_button, state.estop_source = c.estop_button, c.estop_source
        self._state.publish(state)

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
