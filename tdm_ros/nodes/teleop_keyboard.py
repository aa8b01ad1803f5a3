"""`teleop_keyboard`: teleoperation of the hand with the keys of a terminal, also over ssh and without X."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from typing import Any

from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool, String

from tdm_ros.control.teleop import HELP, Keyboard
from tdm_ros.control.validation import Rejections
from tdm_ros.nodes import qos
from tdm_ros.nodes.convert import BASE_FRAME
from tdm_ros.nodes.diagnostics import Diagnostics
from tdm_ros.nodes.node_runner import run
from tdm_ros.nodes.parameters import Declared, TeleopKeyboardParameters

PERIOD_S = 0.05


class TeleopKeyboardNode(Node):
    """Publishes the twist of a key at once, then 20 times per second while a key is held or the operator is engaged."""

    def __init__(self) -> None:
        super().__init__("teleop_keyboard")
        given = Declared(self, TeleopKeyboardParameters).values
        if not sys.stdin.isatty():
            raise ValueError(
                "teleop_keyboard needs a terminal on its standard input: start it from a shell, not a launch"
            )
        self._keyboard = Keyboard(given.speed_m_s)
        self._moved = False
        self._next_s = 0.0
        self._sent = 0
        self._twists = self.create_publisher(TwistStamped, "teleop/twist", qos.TELEOP)
        self._engaged = self.create_publisher(Bool, "teleop/engaged", qos.TELEOP)
        self._events = self.create_publisher(String, "teleop/event", qos.EVENT)
        self._diagnostics = Diagnostics(self, Rejections(self.get_logger().warning), self._values)
        self._before: list[Any] = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        print(HELP, flush=True)

    @property
    def done(self) -> bool:
        """Whether the operator wants to leave."""
        return self._keyboard.over

    def step(self, executor: SingleThreadedExecutor) -> None:
        """Wait for a key, or for the time of the next message."""
        wait_s = min(max(self._next_s - time.monotonic(), 0.0), PERIOD_S)
        pressed = bool(select.select([sys.stdin], [], [], wait_s)[0])
        if pressed:
            self._press(os.read(sys.stdin.fileno(), 64).decode(errors="ignore"))
        if pressed or time.monotonic() >= self._next_s:
            self._publish()
            self._next_s = time.monotonic() + PERIOD_S
        executor.spin_once(timeout_sec=0.0)

    def _press(self, keys: str) -> None:
        if not keys:  # the terminal was closed
            self._keyboard.over = True
        for key in keys:
            if event := self._keyboard.press(key, time.monotonic()):
                self._events.publish(String(data=event))
                print(event, flush=True)

    def _publish(self) -> None:
        """Publish the twist while the operator is in control, and a zero once at the release."""
        velocity = self._keyboard.velocity(time.monotonic())
        moves = bool(velocity.any()) or self._keyboard.engaged
        if not (moves or self._moved):
            return
        if moves and not self._moved and not self._arms():
            print("no arm subscribes: is it running, and in this namespace?", flush=True)
        self._moved = moves
        message = TwistStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = BASE_FRAME
        message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = velocity.tolist()
        self._engaged.publish(Bool(data=self._keyboard.engaged))
        self._twists.publish(message)
        self._sent += 1

    def _arms(self) -> int:
        return self._twists.get_subscription_count()

    def _values(self) -> dict[str, object]:
        keyboard = self._keyboard
        values = {"engaged": keyboard.engaged, "speed_m_s": keyboard.speed_m_s}
        return {**values, "sent": self._sent, "arms": self._arms()}

    def close(self) -> None:
        """Restore the settings of the terminal; the arm holds without messages."""
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)  # not after the output: it may be stopped


def main() -> int:
    """Run the node until q or a signal."""
    return run(TeleopKeyboardNode)
