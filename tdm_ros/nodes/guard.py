"""Error handling of callbacks: an error is counted and logged, the arm holds, and the node continues."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.node import Node
from rclpy.timer import Timer

from tdm_ros.control.refusals import Refusals
from tdm_ros.folder_lock import FolderInUseError

STUCK_S, QUIET_S = 5.0, 1.0
"""An error of the node's own loop or timer that has come again for so long, never this long apart, is raised [s]."""


class Guard:
    """Reports errors to a node; one that does not stop to occur is raised.

    Parameters
    ----------
    node : Node
        Its ``refusals`` count the errors. With ``on_callback_error(why)`` it holds what it moves.
    clock : callable
        Steady time [s].
    """

    def __init__(self, node: Node, clock: Callable[[], float] = time.monotonic) -> None:
        self._node, self._clock = node, clock
        self._refusals = getattr(node, "refusals", None) or Refusals(node.get_logger().error)
        self._failing_s: dict[str, tuple[float, float]] = {}

    def failed(self, place: str, error: Exception, own: bool = True, by_itself: bool = False) -> None:
        """Count and log an error and, if it is in an own callback of the node, let the node hold.

        ``by_itself``: no message is the cause, it comes from a timer or the node's loop.

        Raises
        ------
        Exception
            The error, if it came by itself and does not stop for `STUCK_S`, another process writes our folder, or ROS
            is shut down.
        """
        if isinstance(error, FolderInUseError) or not rclpy.ok(context=self._node.context):
            raise error
        if by_itself:
            now_s = self._clock()
            begin_s, last_s = self._failing_s.get(place, (now_s, now_s))
            begin_s = now_s if now_s - last_s > QUIET_S else begin_s
            self._failing_s[place] = begin_s, now_s
            if now_s - begin_s > STUCK_S:
                raise error
        self._refusals.failed(place, error)
        hold = getattr(self._node, "on_callback_error", None)
        if own and hold is not None:
            hold(f"an error in {place}: {type(error).__name__}: {error}")


class GuardedExecutor(SingleThreadedExecutor):
    """Executor of one node that goes on after an error in a callback.

    Parameters
    ----------
    node : Node
    """

    def __init__(self, node: Node) -> None:
        super().__init__(context=node.context)
        self.guard = Guard(node)
        self.add_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for one callback and execute it."""
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        handler()
        error = handler.exception()
        if error is None:
            return
        if isinstance(error, ExternalShutdownException) or not isinstance(error, Exception):
            raise error
        _release(entity)
        by_rclpy = str(getattr(getattr(entity, "callback", None), "__module__", "")).startswith("rclpy.")
        self.guard.failed(place_of(entity), error, own=not by_rclpy, by_itself=isinstance(entity, Timer))


def _release(entity: Any) -> None:
    """Let an entity be waited for again: where a message cannot be taken, rclpy does not."""
    if getattr(entity, "_executor_event", False):
        entity._executor_event = False
        entity.callback_group.ending_execution(entity)


def place_of(entity: Any) -> str:
    """What a callback belongs to: its topic or service, else its name."""
    for name in ("topic_name", "service_name", "srv_name"):
        if found := getattr(entity, name, ""):
            return str(found)
    callback = getattr(entity, "callback", None)
    return str(getattr(callback, "__qualname__", type(entity).__name__))
