"""Additional topics of the log for visualisation: joint states, frame of the hand, goal."""

from __future__ import annotations

import struct

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from visualization_msgs.msg import Marker, MarkerArray

from tdm_ros.msg import ArmState
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import BASE_FRAME
from tdm_ros.nodes.plan_markers import point, shape
from tdm_ros.nodes.schemas import SEPARATOR, definition
from tdm_ros.replay.log_file import LogChannel

JOINTS_TOPIC, FRAMES_TOPIC, GOAL_TOPIC = "/joint_states", "/tf", "/goal_markers"
HAND_FRAME = "hand"
"""Not a link's name: that of the link may come from robot_state_publisher, and a frame has one parent."""
GOAL_M = 0.03
GREEN = (0.1, 0.8, 0.2, 0.9)
_FRAMES_TYPE = "tf2_msgs/msg/TFMessage"
_TRANSFORM = "geometry_msgs/msg/TransformStamped"


def drawn_channels() -> list[LogChannel]:
    """The topics of this module. TFMessage is written out here: PyPI has no tf2_msgs."""
    frames = SEPARATOR.join(
        (
            "geometry_msgs/TransformStamped[] transforms\n",
            f"MSG: geometry_msgs/TransformStamped\n{definition(_TRANSFORM)}",
        )
    )
    joints, markers = "sensor_msgs/msg/JointState", "visualization_msgs/msg/MarkerArray"
    return [
        LogChannel(JOINTS_TOPIC, joints, definition(joints), qos.offered(qos.JOINT_STATES)),
        LogChannel(FRAMES_TOPIC, _FRAMES_TYPE, frames, qos.offered(qos.JOINT_STATES)),
        LogChannel(GOAL_TOPIC, markers, definition(markers), qos.offered(qos.LATCHED)),
    ]


def joints_of(state: ArmState) -> bytes:
    """A serialised `JointState`."""
    message = JointState(name=state.joint_names, position=state.position, velocity=state.velocity, effort=state.effort)
    message.header = state.header
    return bytes(serialize_message(message))


def frames_of(stamp: Time, hand: Pose) -> bytes:
    """A serialised `TFMessage`: the hand in the base's frame."""
    at, turn = hand.position, hand.orientation
    parent, child = (name.encode() + b"\0" for name in (BASE_FRAME, HAND_FRAME))
    head = b"\x00\x01\x00\x00"
    body = struct.pack("<IiI", 1, stamp.sec, stamp.nanosec)
    for name in (parent, child):
        body += bytes(-len(body) % 4) + struct.pack("<I", len(name)) + name
    body += bytes(-len(body) % 8)
    return head + body + struct.pack("<7d", at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w)


def goal_of(stamp: Time, goal_m: NDArray[np.float32]) -> bytes:
    """A serialised `MarkerArray`: a ball at the goal, (3,) [m]."""
    ball = shape(stamp, "goal", 0, Marker.SPHERE, (GOAL_M,) * 3, GREEN)
    ball.pose.position = point(goal_m.astype(np.float64))
    return bytes(serialize_message(MarkerArray(markers=[ball])))
