"""Health and counts of a node on /diagnostics, once per second."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # type: ignore[import-untyped]

from tdm_ros.nodes import qos

TOPIC = "/diagnostics"
PATIENCE = 3
"""Publications, one per second, without /clock after which a node that uses simulated time reports it."""


class Diagnostics:
    """Publisher of a `ManagedNode`'s values and problem, and of the counts of its rejected inputs."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, qos.DIAGNOSTICS)
        self._rejected_before = 0
        self._without_clock = 0

    def publish(self, warning: str = "", error: str = "") -> None:
        """Publish now; the level is ERROR with an error, WARN with a warning or rejected inputs since the last time."""
        error = error or self._node.problem() or self._without_time()
        rejections = self._node.rejections
        rejected = rejections.total
        fresh, self._rejected_before = rejected > self._rejected_before, rejected
        values = self._node.all_values() | {f"rejected: {why}": n for why, n in sorted(rejections.counts.items())}
        level = DiagnosticStatus.WARN if warning or fresh else DiagnosticStatus.OK
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if error else level,
            name=self._node.get_fully_qualified_name(),
            message=error or warning or (f"{rejected} inputs rejected" if rejected else "ok"),
            hardware_id="tdm_ros",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _without_time(self) -> str:
        """Return, and log once, that simulated time is requested and not published; "" otherwise."""
        clock = self._node.get_clock()
        if not clock.ros_time_is_active or clock.now().nanoseconds > 0:
            self._without_clock = 0
            return ""
        self._without_clock += 1
        problem = "use_sim_time is true, and nothing publishes /clock: start the simulator, or omit use_sim_time"
        if self._without_clock == PATIENCE:
            self._node.get_logger().error(problem)
        return problem if self._without_clock >= PATIENCE else ""


def values_of(array: DiagnosticArray, name: str) -> dict[str, str] | None:
    """Return the values of the node with the fully qualified ``name``; None if the message has none of it."""
    found = ({pair.key: pair.value for pair in status.values} for status in array.status if status.name == name)
    return next(found, None)
