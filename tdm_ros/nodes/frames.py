"""Coordinate frames: /tf, /tf_static and robot_description of the arm, and points of other frames in the arm's base."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from tdm_ros.control.validation import printable
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import nanoseconds
from tdm_ros.nodes.node_runner import every
from tdm_ros.nodes.subscriptions import listen
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import joint_frames, joint_links, quaternion_wxyz, rotation_of
from tdm_ros.robots.urdf import robot_urdf

Array = NDArray[np.float64]
WAIT_S, LOOK_S = 2.0, 0.05  # longest wait for the transforms of a goal, and time between two looks for them [s]
MAX_AGE_S = 1.0  # age of a transform of /tf above which it is not used [s]; those of /tf_static hold for ever
MAX_OFFSET_S = 0.1
"""Difference of the stamps of a point and of a transform of /tf above which the two are not combined [s]."""


class ArmFrames:
    """Publisher of the frames of the arm, as robot_state_publisher has them, and of its description."""

    def __init__(self, node: Node, prefix: str, robot: Robot) -> None:
        self._frames = node.create_publisher(TFMessage, "/tf", qos.FRAMES)
        fixed = node.create_publisher(TFMessage, "/tf_static", qos.STATIC_FRAMES)
        description = node.create_publisher(String, "robot_description", qos.LATCHED)
        self._robot, names = robot, robot.joint_names
        parts = {name: (prefix + parent, prefix + child) for name, (parent, child) in joint_links(robot).items()}
        rest = joint_frames(robot.home_rad, robot)
        now = node.get_clock().now().to_msg()
        fixed.publish(TFMessage(transforms=[_message(*parts[n], rest[n], now) for n in parts if n not in names]))
        self._moving = TFMessage(transforms=[_message(*parts[name], rest[name], now) for name in names])
        description.publish(String(data=robot_urdf(robot)))

    def publish(self, q_rad: Array, stamp: Time) -> None:
        """Publish the frames of the links at joint positions ``q_rad``, (J,) [rad]."""
        frames = joint_frames(q_rad, self._robot)
        for transform, name in zip(self._moving.transforms, self._robot.joint_names, strict=True):
            transform.header.stamp = stamp
            _fill(transform, frames[name])
        self._frames.publish(self._moving)


def _message(parent: str, child: str, frame: Array, stamp: Time) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, stamp
    _fill(message, frame)
    return message


def _fill(message: TransformStamped, frame: Array) -> None:
    offset, turn = message.transform.translation, message.transform.rotation
    offset.x, offset.y, offset.z = frame[:3, 3].tolist()
    turn.w, turn.x, turn.y, turn.z = quaternion_wxyz(frame[:3, :3]).tolist()


@dataclass(frozen=True)
class Link:
    """Transform of a frame into its parent; ``stamp_ns`` is None for a static one."""

    parent: str
    frame: Array
    stamp_ns: int | None


class FrameBuffer:
    """Newest transform of each frame into its parent."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def add(self, transform: TransformStamped, static: bool) -> str:
        """Store a transform; return "" or why it cannot be used."""
        offset, turn = transform.transform.translation, transform.transform.rotation
        values = np.array([offset.x, offset.y, offset.z, turn.w, turn.x, turn.y, turn.z])
        child, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        if not (child and parent and child != parent):
            return "a frame without a name, or its own parent"
        if not np.isfinite(values).all() or not math.isclose(float(np.linalg.norm(values[3:])), 1.0, abs_tol=0.01):
            return "not finite, or no unit quaternion"
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = rotation_of(values[3:]), values[:3]
        self._links[child] = Link(parent, frame, None if static else nanoseconds(transform.header.stamp))
        return ""

    def transform(self, source: str, target: str, now_ns: int, stamp_ns: int = 0) -> tuple[Array | None, str]:
        """Return the transform of points of one frame into another, (4, 4), and "", or None and why there is none.

        ``stamp_ns`` is the time of the points; 0: they are meant in the newest position of their frame, as in tf2.
        """
        (above, top), (above_target, top_target) = self._chain(source), self._chain(target)
        if top != top_target:
            known = ", ".join(sorted(map(printable, {*self._links} | {link.parent for link in self._links.values()})))
            problem = f"there is no transform between it and {target} (frames on /tf and /tf_static: {known or 'none'})"
            return None, problem
        for link in [*above, *above_target]:
            if link.stamp_ns is not None and not abs(now_ns - link.stamp_ns) * 1e-9 <= MAX_AGE_S:
                age = f"{(now_ns - link.stamp_ns) * 1e-9:.1f} s old, allowed are {MAX_AGE_S:g} s"
                return None, f"a transform into {printable(link.parent)} is {age}"
            offset_s = (stamp_ns - link.stamp_ns) * 1e-9 if stamp_ns and link.stamp_ns is not None else 0.0
            if abs(offset_s) > MAX_OFFSET_S:
                return (
                    None,
                    f"it moves: the newest transform into {printable(link.parent)} is {offset_s:+.2f} s from the stamp "
                    f"of the goal, allowed are {MAX_OFFSET_S:g} s (stamp 0: the newest position of the frame)",
                )
        frames = [np.eye(4), np.eye(4)]
        for which, links in enumerate((above, above_target)):
            for link in links:
                frames[which] = link.frame @ frames[which]
        return np.linalg.inv(frames[1]) @ frames[0], ""

    def _chain(self, frame: str) -> tuple[list[Link], str]:
        """Return the links from a frame up, and the frame on top; a loop ends where it closes."""
        links, seen = [], {frame}
        while (link := self._links.get(frame)) is not None:
            links.append(link)
            frame = link.parent
            if frame in seen:
                break
            seen.add(frame)
        return links, frame


class PointLookup:
    """Transforms a point into the frame ``target`` with what /tf and /tf_static publish from the request on.

    It subscribes for the time of a request only: all transforms of a system, in Python, would be a load for a node that
    seldom needs one.
    """

    def __init__(self, node: Any, target: str) -> None:
        self._node, self._target = node, target
        self._made: list[Any] = []
        self._buffer = FrameBuffer()

    def request(self, frame: str, point_m: Array, stamp_ns: int, done: Callable[[Array | None, str], object]) -> None:
        """Transform a point, (3,) [m], and pass it on, or None and the reason; this ends an earlier request."""
        self.cancel()
        self._buffer = FrameBuffer()
        node, end_s = self._node, time.monotonic() + WAIT_S

        def look() -> None:
            now_ns = node.get_clock().now().nanoseconds
            transform, problem = self._buffer.transform(frame, self._target, now_ns, stamp_ns)
            if transform is not None:
                self.cancel()
                done((transform @ [*point_m, 1.0])[:3], "")
            elif time.monotonic() > end_s:
                self.cancel()
                remedy = f"publish that transform, or give the goal in frame {self._target}"
                done(None, f"the frame of the goal is {printable(frame)}, and {problem}: {remedy}")

        subscribe = partial(listen, node, TFMessage)
        self._made = [
            subscribe("/tf", lambda message: self._take(message, False), qos.FRAMES),
            subscribe("/tf_static", lambda message: self._take(message, True), qos.STATIC_FRAMES),
            every(node, LOOK_S, look),
        ]

    def cancel(self) -> None:
        """End the request, if there is one, without a result."""
        for subscription in self._made[:2]:
            self._node.destroy_subscription(subscription)
        for timer in self._made[2:]:
            self._node.destroy_timer(timer)
        self._made = []

    def _take(self, message: TFMessage, static: bool) -> None:
        for transform in message.transforms:
            if problem := self._buffer.add(transform, static):
                self._node.rejections.reject(f"{'/tf_static' if static else '/tf'}: {problem}")
