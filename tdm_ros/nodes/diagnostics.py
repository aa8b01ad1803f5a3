"""Health and counts of a node on /diagnostics, once per second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # type: ignore[import-untyped]
from rclpy.node import Node

from tdm_ros.control.validation import Rejections
from tdm_ros.nodes import qos
from tdm_ros.nodes.node_runner import every

TOPIC = "/diagnostics"
PATIENCE = 3
"""Publications, one per second, without /clock after which a node that uses simulated time says so."""


class Diagnostics:
    """Publishes a node's values and the counts of what it rejected.

    Parameters
    ----------
    node : Node
    rejections : Rejections
    values : callable
        Gives the present values: flat, key -> number or text.
    timer : bool
        Publish by a timer each second; False: the node calls `publish` itself.
    problem : callable
        Gives what is wrong with the node now, for the level ERROR; "" while nothing is.
    """

    def __init__(
        self,
        node: Node,
        rejections: Rejections,
        values: Callable[[], Mapping[str, Any]],
        timer: bool = True,
        problem: Callable[[], str] = lambda: "",
    ) -> None:
        self._node, self._rejections, self._values, self._problem = node, rejections, values, problem
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, qos.DIAGNOSTICS)
        self._rejected_before = 0
        self._silent = 0
        if timer:
            every(node, 1.0, self.publish)

    def publish(self, warning: str = "", error: str = "") -> None:
        """Publish now; the level is ERROR with an error, WARN with a warning or rejections since the last time."""
        error = error or self._problem() or self._without_time()
        rejected = self._rejections.total
        fresh, self._rejected_before = rejected > self._rejected_before, rejected
        values = dict(self._values()) | {f"rejected: {why}": n for why, n in sorted(self._rejections.counts.items())}
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR
            if error
            else DiagnosticStatus.WARN
            if warning or fresh
            else DiagnosticStatus.OK,
            name=self._node.get_fully_qualified_name(),
            message=error or warning or (f"{rejected} inputs rejected" if rejected else "ok"),
            hardware_id="tdm_ros",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _without_time(self) -> str:
        """Say, and log once, that simulated time was asked for and nobody publishes it."""
        clock = self._node.get_clock()
        if not clock.ros_time_is_active or clock.now().nanoseconds > 0:
            self._silent = 0
            return ""
        self._silent += 1
        problem = "use_sim_time is true, and nothing publishes /clock: start what does, or leave use_sim_time out"
        if self._silent == PATIENCE:
            self._node.get_logger().error(problem)
        return problem if self._silent >= PATIENCE else ""


def values_of(array: DiagnosticArray, name: str) -> dict[str, str] | None:
    """The values of the node with the fully qualified ``name``, or None if the message is not about it."""
    for status in array.status:
        if status.name == name:
            return {pair.key: pair.value for pair in status.values}
    return None
