"""Input of the node `arm`: the pose of the object that is pushed, from a topic, or from the simulator that it is in."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from tf2_msgs.msg import TFMessage

from tdm_ros.control.live_task import LivePush
from tdm_ros.control.object_pose import STALE_S, ObjectPose
from tdm_ros.control.validation import printable
from tdm_ros.envs.arm_sim import ArmSim
from tdm_ros.envs.simulated_object import SimulatedObject
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import age_s, nanoseconds
from tdm_ros.nodes.frames import FrameBuffer
from tdm_ros.nodes.subscriptions import listen, listen_external
from tdm_ros.robots.arm import Arm

TOPIC = "object_pose"


def pose_of(position_m: tuple[float, float, float], stamp: Any, frame: str) -> PoseStamped:
    """Message of an upright object at a position [m] in a frame."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, frame
    message.pose.position.x, message.pose.position.y, message.pose.position.z = position_m
    message.pose.orientation.w = 1.0
    return message


class ObjectInput:
    """The object's pose: received on `object_pose`, or of the simulated object, which it publishes there."""

    def __init__(self, node: Any, task: LivePush, arm: Arm) -> None:
        self.pose = ObjectPose(task.setup)
        self._node, self._setup = node, task.setup
        self._buffer: FrameBuffer | None = None
        self.simulated: SimulatedObject | None = None
        if isinstance(arm, ArmSim):
            self.simulated = SimulatedObject(arm, task.setup, task.spec.rate_hz)
            self._poses = node.create_publisher(PoseStamped, TOPIC, qos.STATE)
        else:
            listen_external(node, PoseStamped, TOPIC, self._on_pose, qos.TELEOP)

    def update(self, now_s: float) -> str:
        """Read a simulated object; return why nothing may be pushed now, or ""."""
        if self.simulated is not None:
            x, y = self.simulated.update()
            self.pose.receive((x, y, 0.0), now_s)
            stamp, frame = self._node.get_clock().now().to_msg(), self._node.task.frame
            self._poses.publish(pose_of((x, y, self._setup.half_height_m), stamp, frame))
        return self.pose.problem(now_s)

    def _on_pose(self, message: PoseStamped) -> None:
        """Take a pose in the arm's base frame, or in another one of /tf and /tf_static."""
        node, point = self._node, message.pose.position
        point_m, frame = np.array([point.x, point.y, point.z]), message.header.frame_id.lstrip("/")
        problem, old_s = "", age_s(node, message.header.stamp)
        if not abs(old_s) <= STALE_S:
            problem = "stamp too old" if old_s > 0 else "stamp in the future"
        elif frame not in ("", node.task.frame, node.frame(node.task.frame)):
            point_m, problem = self._transformed(point_m, frame, nanoseconds(message.header.stamp))
        if problem := problem or self.pose.receive(point_m, node._now_s()):
            node.rejections.reject(f"{TOPIC}: {problem}")

    def _transformed(self, point_m: Any, frame: str, stamp_ns: int) -> tuple[Any, str]:
        """Return a point in the base frame, (3,) [m], and "", or it as it is and why there is no transform."""
        node = self._node
        if self._buffer is None:
            self._buffer = buffer = FrameBuffer()

            def take(message: TFMessage, static: bool) -> None:
                for transform in message.transforms:
                    if problem := buffer.add(transform, static):
                        node.rejections.reject(f"/tf: {problem}")

            listen(node, TFMessage, "/tf", lambda message: take(message, False), qos.FRAMES)
            listen(node, TFMessage, "/tf_static", lambda message: take(message, True), qos.STATIC_FRAMES)
        base, now_ns = node.frame(node.task.frame), node.get_clock().now().nanoseconds
        transform, problem = self._buffer.transform(frame, base, now_ns, stamp_ns)
        if transform is None:
            return point_m, f"its frame is {printable(frame)}, and {problem}"
        return (transform @ [*point_m, 1.0])[:3], ""
