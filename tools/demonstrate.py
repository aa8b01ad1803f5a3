"""Give the demonstrations that a running system waits for, by a script instead of an operator.

    .venv/bin/tdm_ros up push robot:=panda demonstrations:=10
    .venv/bin/python tools/demonstrate.py runs/latest              # in another terminal

It drives the arm through the topics of teleoperation, as a page, a keyboard or a SpaceMouse does: to the goal, and when
the arm or the object has been there for a moment it publishes `success`. It ends after the last demonstration. With a
task that pushes it follows the rule of stages (docs/tasks.md). For a simulated arm only: it looks out for nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tdm_ros.cli.teleop import add_system_arguments, environment_of, namespace_of  # noqa: E402
from tdm_ros.control.live_task import LivePush, LiveTask, live_task  # noqa: E402
from tdm_ros.control.teleop import SUCCESS  # noqa: E402
from tdm_ros.control.timeline import State  # noqa: E402
from tdm_ros.robots.description import Robot, load_robot  # noqa: E402
from tdm_ros.robots.kinematics import forward  # noqa: E402

SPEED_M_S = 0.25
GAIN_HZ = 5.0
UPRIGHT_HZ = 2.0
NEAR, STAY = 0.4, 4
"""A demonstration ends within this part of the task's success distance, after so many states."""
FOUND_S = 10.0
"""Time in which the nodes must answer [s]."""
SILENCE_S = 5.0
"""Silence of the supervisor after which it counts as ended [s]."""


def twist(live: LiveTask, robot: Robot, sample: Any, goal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Velocity of the hand, (6,) [m/s, rad/s], towards the present goal; one that pushes stays vertical."""
    achieved = live.achieved(sample)
    present, turning = live.present(achieved, goal), np.zeros(3)
    if isinstance(live, LivePush):
        turning = UPRIGHT_HZ * np.cross(forward(sample.q_rad, robot).rotation[:, 2], [0.0, 0.0, -1.0])
    velocity = GAIN_HZ * (present[:3] - achieved[:3]).astype(np.float64)
    return np.concatenate((velocity / max(float(np.linalg.norm(velocity)) / SPEED_M_S, 1.0), turning))


class Demonstrator:
    """Drives in each demonstration that is announced, and counts those that it ended with success."""

    def __init__(self, node: Any, robot: Robot, task: str) -> None:
        from geometry_msgs.msg import TwistStamped
        from std_msgs.msg import Bool, String
        from tdm_ros.msg import ArmState, Episode

        from tdm_ros.nodes import qos
        from tdm_ros.nodes.convert import announcements, states

        self.node, self.robot, self.live = node, robot, live_task(robot, "velocity", task)
        self.task, self.rejections = self.live.spec, self
        self._twist, self._bool, self._string = TwistStamped, Bool, String
        self._twists = node.create_publisher(TwistStamped, "teleop/twist", qos.TELEOP)
        self._engaged = node.create_publisher(Bool, "teleop/engaged", qos.TELEOP)
        self._events = node.create_publisher(String, "teleop/event", qos.EVENT)
        self._announced: Any = None
        self._ended, self._near = 0, 0
        self.given, self.heard_s = 0, time.monotonic()
        node.create_subscription(Episode, "episode", announcements(self, self._on_episode), qos.EPISODE)
        node.create_subscription(ArmState, "arm_state", states(self, self._on_state), qos.STATE)

    def get_clock(self) -> Any:
        """Clock of the node."""
        return self.node.get_clock()

    def reject(self, why: str) -> None:
        """Report a message that cannot be used."""
        self.node.get_logger().warning(why)

    @property
    def awaited(self) -> bool:
        """Whether the system waits for a demonstration, or for what comes before one."""
        return self._announced is None or self._announced.demonstration or self._announced.state != State.RUNNING

    def _on_episode(self, announced: Any, message: Any) -> None:
        self._announced, self.heard_s = announced, time.monotonic()

    def _on_state(self, sample: Any, message: Any) -> None:
        announced = self._announced
        if announced is None or not announced.demonstration or announced.episode in (0, self._ended):
            return
        if self.live.problem(sample) or sample.cycle < announced.start_cycle:
            return
        near = self.task.distance(self.live.achieved(sample), announced.goal) < NEAR * self.task.success
        self._near = self._near + 1 if near else 0
        if self._near < STAY:
            self._send(twist(self.live, self.robot, sample, announced.goal), True)
            return
        self._send(np.zeros(6), False)
        self._events.publish(self._string(data=SUCCESS))
        self._ended, self._near, self.given = announced.episode, 0, self.given + 1
        self.node.get_logger().info(f"demonstration {self.given} given: {announced.reason}")

    def _send(self, velocity: NDArray[np.float64], engaged: bool) -> None:
        message = self._twist()
        message.header.stamp = self.node.get_clock().now().to_msg()
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = velocity.tolist()
        self._engaged.publish(self._bool(data=engaged))
        self._twists.publish(message)


def settings_of(node: Any) -> tuple[Robot, str]:
    """Robot and task of the system, from the parameters of its supervisor."""
    import rclpy
    from rcl_interfaces.srv import GetParameters

    client = node.create_client(GetParameters, "supervisor/get_parameters")
    if not client.wait_for_service(FOUND_S):
        raise ValueError(f"no supervisor answers in {node.get_namespace()}: is the system up, and in this namespace?")
    answer = client.call_async(GetParameters.Request(names=["robot", "task"]))
    rclpy.spin_until_future_complete(node, answer, timeout_sec=FOUND_S)
    if answer.result() is None:
        raise ValueError(f"the supervisor did not answer within {FOUND_S:g} s: is it overloaded?")
    robot, task = (value.string_value for value in answer.result().values)
    return load_robot(robot), task


def main() -> int:
    """Demonstrate until the system learns by itself or ends."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_system_arguments(words)
    asked = words.parse_args()
    try:
        os.environ.update(environment_of(asked.run_dir, asked.network))
        return demonstrate(asked.namespace or namespace_of(asked.run_dir))
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"demonstrate: {error}", file=sys.stderr)
        return 1


def demonstrate(namespace: str) -> int:
    """Give all demonstrations that the system in a namespace waits for; return the exit status."""
    import rclpy

    rclpy.init()
    try:
        node = rclpy.create_node("demonstrator", namespace=namespace)
        demonstrator = Demonstrator(node, *settings_of(node))
        demonstrator.heard_s = time.monotonic()
        while demonstrator.awaited and time.monotonic() - demonstrator.heard_s < SILENCE_S:
            rclpy.spin_once(node, timeout_sec=0.1)
        print(f"{demonstrator.given} demonstrations given", flush=True)
        return 0 if demonstrator.given else 1
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
