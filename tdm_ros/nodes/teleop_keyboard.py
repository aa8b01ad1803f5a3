"""`teleop_keyboard`: teleoperation of the hand with the keys of a terminal, also over ssh and without X."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from functools import partial

from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Bool, String

from tdm_ros.control.teleop import HELP, PAUSE, Keyboard
from tdm_ros.nodes import qos
from tdm_ros.nodes.node_runner import ManagedNode, run
from tdm_ros.nodes.parameters import TeleopKeyboardParameters

PERIOD_S = 0.05


class TeleopKeyboardNode(ManagedNode):
    """Publishes the twist of a key at once, then 20 times per second while a key is held or the operator is engaged."""

    PARAMETERS = TeleopKeyboardParameters

    def configure(self) -> None:
        given: TeleopKeyboardParameters = self._declared.values
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
        before = termios.tcgetattr(sys.stdin)
        # The settings are restored at once, not after the output: that may be stopped.
        self.resources.callback(termios.tcsetattr, sys.stdin, termios.TCSANOW, before)
        tty.setcbreak(sys.stdin)
        print(HELP, flush=True)

    @property
    def done(self) -> bool:
        return self.configured and self._keyboard.over

    def step(self, executor: SingleThreadedExecutor) -> None:
        """Wait for a key, or for the time of the next message."""
        wait_s = min(max(self._next_s - time.monotonic(), 0.0), PERIOD_S)
        pressed = bool(select.select([sys.stdin], [], [], wait_s)[0])
        if pressed:
            self._press(os.read(sys.stdin.fileno(), 64).decode(errors="ignore"))
        if self.active and (pressed or time.monotonic() >= self._next_s):
            self._publish()
            self._next_s = time.monotonic() + PERIOD_S
        executor.spin_once(timeout_sec=0.0)

    def _press(self, keys: str) -> None:
        if not keys:  # the terminal was closed
            self._keyboard.over = True
        for key in keys:
            event = self._keyboard.press(key, time.monotonic())
            if event and self.active:
                self._events.publish(String(data=event))
                lost = "" if self._events.get_subscription_count() else ": LOST, no supervisor subscribes, press again"
                print(event + lost, flush=True)

    def _publish(self) -> None:
        """Publish the twist while the operator is in control, and a zero once at the release."""
        velocity = self._keyboard.velocity(time.monotonic())
        moves = bool(velocity.any()) or self._keyboard.engaged
        if not (moves or self._moved):
            return
        if moves and not self._moved and not self._arms():
            print("no arm subscribes: is it running, and in this namespace?", flush=True)
        self._moved = moves
        self._send(velocity.tolist(), self._keyboard.engaged)

    def deactivate(self) -> None:
        """Pause if the operator drives; keys but q have no effect.

        It stays engaged with a zero twist: a release would give the arm back to the policy.
        """
        if self._moved:
            self._moved = False
            self._send([0.0, 0.0, 0.0], True)
            self._events.publish(String(data=PAUSE))

    def _send(self, velocity_m_s: list[float], engaged: bool) -> None:
        message = TwistStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = velocity_m_s
        self._engaged.publish(Bool(data=engaged))
        self._twists.publish(message)
        self._sent += 1

    def _arms(self) -> int:
        """Number of nodes that subscribe; each has two subscriptions."""
        found = self.get_subscriptions_info_by_topic(self._twists.topic_name)
        return len({(one.node_namespace, one.node_name) for one in found})

    def values(self) -> dict[str, object]:
        keyboard = self._keyboard
        values = {"engaged": keyboard.engaged, "speed_m_s": keyboard.speed_m_s}
        return {**values, "sent": self._sent, "arms": self._arms()}


main = partial(run, TeleopKeyboardNode)
