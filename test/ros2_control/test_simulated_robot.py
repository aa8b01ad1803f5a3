"""`tdm_ros robot simulate`: a robot behind ros2_control in one command, as somebody without this package sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tdm_ros.cli import main

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import rclpy  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray  # noqa: E402

from tdm_ros.bringup.starting import check_parameters  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.robots.description import load_robot  # noqa: E402
from tdm_ros.tasks.pushing import push_setup  # noqa: E402

CONFIG = Path(__file__).parents[2] / "config"
NAMESPACE = f"/simulated_{os.getpid()}"
UR5E = load_robot("ur5e")


@pytest.fixture
def robot() -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tdm_ros.nodes.simulated_robot", "ur5e", "--namespace", NAMESPACE, "--task", "push"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert "ur5e in MuJoCo: forward_velocity_controller takes commands on" in process.stdout.readline()
    yield process
    process.kill()
    process.wait()


@pytest.mark.any_speed
def test_robot_publishes_its_joints_moves_as_told_and_ends_with_zero_on_a_signal(robot: subprocess.Popen[str]) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("somebody", namespace=NAMESPACE, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    enabled, states, poses = [], [], []
    topic = UR5E.drivers["ros2_control"]["enabled_topic"]
    node.create_subscription(Bool, topic, enabled.append, qos.LATCHED)
    node.create_subscription(JointState, "joint_states", states.append, 10)
    node.create_subscription(PoseStamped, "object_pose", poses.append, qos.TELEOP)
    commands = node.create_publisher(Float64MultiArray, "forward_velocity_controller/commands", 1)
    until_s = time.monotonic() + 30

    def moved() -> float:
        at = dict(zip(states[-1].name, states[-1].position, strict=True)) if states else {}
        return at.get("elbow_joint", UR5E.home_rad[2]) - UR5E.home_rad[2]

    while moved() < 0.1 or not enabled or not poses:
        assert time.monotonic() < until_s, (moved(), enabled)
        commands.publish(Float64MultiArray(data=[0.0, 0.0, 0.3, 0.0, 0.0, 0.0]))
        executor.spin_once(timeout_sec=0.02)
    assert enabled[-1].data is True
    position = poses[-1].pose.position
    assert poses[-1].header.frame_id == UR5E.base_frame and push_setup(UR5E).movable((position.x, position.y))
    assert set(states[-1].name) == {*UR5E.joint_names, "gripper_left", "gripper_right"}
    node.destroy_node()
    context.try_shutdown()
    robot.send_signal(signal.SIGINT)
    assert robot.wait(10) == 0


def test_parameters_for_a_simulator_are_of_our_nodes() -> None:
    check_parameters({"/arm": "arm", "/supervisor": "supervisor"}, [str(CONFIG / "simulated_robot.yaml")])


def test_command_prints_what_to_type_next(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(os, "execve", lambda *words: started.append(words) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["robot", "simulate", "panda", "--task", "push", "--command", "position"])
    printed = capsys.readouterr().out
    found = re.search(r"tdm_ros up push robot:=panda driver:=ros2_control auto_start:=true params:=(\S+)", printed)
    assert found and Path(found[1]).read_text() == (CONFIG / "simulated_robot.yaml").read_text()
    (program, words, _), *_ = started
    assert program == sys.executable
    assert words[1:4] == ["-m", "tdm_ros.nodes.simulated_robot", "panda"]
    assert words[-4:] == ["--task", "push", "--command", "position"]


def test_robot_that_is_not_known_is_one_sentence() -> None:
    words = [sys.executable, "-m", "tdm_ros.nodes.simulated_robot", "nobody"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (
        done.returncode == 1 and re.match("simulated_robot: .*nobody", done.stderr) and "Traceback" not in done.stderr
    )
