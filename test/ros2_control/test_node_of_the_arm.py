"""The node `arm` behind ros2_control, in the namespace of the robot, as `tdm_ros up` starts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ros1_bench import SimulatedRobot

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

from ros2_control_bench import ALL_TOPICS  # noqa: E402
from ros_bench import bench  # noqa: E402
from tdm_ros.msg import ArmState  # noqa: E402


def test_joint_states_that_stop_are_a_fault_though_the_node_publishes_its_own(
    start_robot: Callable[..., SimulatedRobot], tmp_path: Path
) -> None:
    with bench(tmp_path) as made:
        robot = start_robot(made.namespace, "ur5e", "velocity", "no_manager")
        topics = {f"ros2_control.{name}": f"'{value}'" for name, value in ALL_TOPICS.items()}
        made.start("arm", robot="ur5e", driver="ros2_control", **topics)
        states = made.collect(ArmState, "arm_state")
        made.until(lambda: bool(states) and not states[-1].fault)
        robot.ask("set", "frozen", True)
        made.until(lambda: "joint states are" in states[-1].fault, 5)
        names = [one.node_name for one in made.node.get_publishers_info_by_topic(f"{made.namespace}/joint_states")]
        assert names == ["driver"], "the watchdog would take those of the node for the robot's"
