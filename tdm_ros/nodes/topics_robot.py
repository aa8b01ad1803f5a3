"""Common base of the workers that reach their arm through ROS 2 topics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from tdm_ros.drivers.intera.sdk import JOINT_NAMES, NO_ROBOT, ComingUpError, Joints
from tdm_ros.nodes.node_runner import GuardedExecutor

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Hears reliable and best-effort publishers alike, and never more than the newest."""


class TopicsRobot:
    """A node whose mail is read on a thread; with its heir the same to a worker as `tdm_ros.drivers.intera.sdk.Robot`.

    Parameters
    ----------
    name, namespace : str
        Of the node.
    **options
        More for `rclpy.create_node`.
    """

    names = JOINT_NAMES
    interface = "topics"

    def __init__(self, name: str, namespace: str = "/", **options: bool) -> None:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # the worker has its own
        self._node = rclpy.create_node(name, namespace=namespace, enable_rosout=False, **options)
        self._executor = GuardedExecutor(self._node)
        self._joints: Joints | None = None
        self._shutdown_calls: list[Callable[[], None]] = []

    def versions(self) -> tuple[str, str]:
        """Return those of the SDK and of the robot, neither of which is known here."""
        return "none", "unknown"

    def on_shutdown(self, call: Callable[[], None]) -> None:
        """Have something done when ROS 2 ends the node."""
        self._shutdown_calls.append(call)

    def shut_down(self) -> None:
        """Leave the graph."""
        self._shutdown_calls.clear()
        self._executor.shutdown(0.2)
        rclpy.try_shutdown()

    def joints(self) -> Joints | None:
        """Return the newest sample."""
        return self._joints

    def joints_age_s(self, now_s: float) -> float:
        """Return how long ago it came [s]."""
        return now_s - self._joints.arrived_s if self._joints else 1e6

    def _read_mail(self) -> None:
        """Read what comes, on a thread, from now on."""
        self._reader = threading.Thread(target=self._spin, name="topics", daemon=True)
        self._reader.start()

    def _spin(self) -> None:
        try:
            with suppress(ExternalShutdownException):
                self._executor.spin()
        finally:
            for call in self._shutdown_calls:
                call()

    def _wait_for_all(self, found_s: float, remedy: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until nothing is missing.

        Raises
        ------
        ComingUpError
            If something still is after ``found_s`` [s]; the text says what, and the remedy.
        """
        deadline_s = time.monotonic() + found_s
        while missing := self._missing():
            if time.monotonic() > deadline_s:
                raise ComingUpError(f"{missing} for {found_s:g} s: {remedy}", NO_ROBOT)
            meanwhile()
            time.sleep(0.01)

    def _missing(self) -> str:
        """Name something that has not been heard, or that nobody listens on, or ""."""
        raise NotImplementedError
