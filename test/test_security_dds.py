"""With a keystore, a participant that is not listed can neither command nor listen, and a listed one only its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("cryptography")
pytestmark = pytest.mark.real_time

from tdm_ros.bringup.permissions import interfaces  # noqa: E402

PARTICIPANT = """
import sys, time, rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String
own, out, into, seconds, *rest = sys.argv[1:]
context = Context(); context.init(args=rest)
node = rclpy.create_node(own, context=context, start_parameter_services=False, enable_rosout=False)
executor = SingleThreadedExecutor(context=context); executor.add_node(node)
heard = set()
if into: node.create_subscription(String, into, lambda message: heard.add(message.data), 10)
writer = node.create_publisher(String, out, 10) if out else None
end_s = time.monotonic() + float(seconds)
while time.monotonic() < end_s:
    if writer: writer.publish(String(data=own))
    executor.spin_once(timeout_sec=0.05)
print("heard", *sorted(heard))
"""
"""Arguments: its name, the topics that it publishes and subscribes to, its duration [s], arguments of ROS."""

SECONDS = 6


def secured(keystore: Path) -> dict[str, str]:
    words = {"ROS_SECURITY_KEYSTORE": str(keystore), "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
    return {**os.environ, **words}


def participant(env: dict[str, str], own: str, out: str, into: str, enclave: str = "") -> subprocess.Popen[str]:
    words = ["--ros-args", "--enclave", f"/tdm_ros/{enclave}"] if enclave else []
    command = [sys.executable, "-c", PARTICIPANT, own, out, into, str(SECONDS), *words]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def make_keystore(folder: Path) -> Path:
    from tdm_ros.bringup.keystore import make_keystore

    make_keystore(folder, interfaces(), [""], days=1)
    return folder


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore, where the RMW at hand can use one."""
    folder = make_keystore(tmp_path_factory.mktemp("listed") / "keystore")
    command = [sys.executable, "-c", PARTICIPANT, "probe", "", "", "0", "--ros-args", "--enclave", "/tdm_ros/arm"]
    done = subprocess.run(command, env=secured(folder), capture_output=True, text=True, timeout=60)
    if "security libraries" in done.stderr or "not built with security" in done.stderr:
        pytest.skip("the RMW was built without DDS Security (wheels of ros-fastrtps and ros-fastdds: SECURITY=OFF)")
    assert done.returncode == 0, done.stderr
    return folder


def heard_of(participants: dict[str, subprocess.Popen[str]]) -> dict[str, set[str]]:
    ended = {name: process.communicate(timeout=60) for name, process in participants.items()}
    return {name: set(out.split()[1:]) for name, (out, _) in ended.items()}


def test_participant_that_is_not_listed_can_neither_command_nor_listen(keystore: Path, tmp_path: Path) -> None:
    other = secured(make_keystore(tmp_path / "other"))
    listed, open_to_all = secured(keystore), dict(os.environ)
    heard = heard_of(
        {
            "arm": participant(listed, "arm", "arm_state", "command", "arm"),
            "policy": participant(listed, "policy", "command", "arm_state", "policy"),
            "without": participant(open_to_all, "without", "command", "arm_state"),
            "other": participant(other, "other", "command", "arm_state", "policy"),
            "listener": participant(open_to_all, "listener", "deadman", "command"),
        }
    )
    assert heard["arm"] == {"policy"} and heard["policy"] == {"arm"}
    assert heard["without"] == heard["other"] - {"other"} == heard["listener"] - {"without"} == set()


@pytest.mark.parametrize(("out", "into"), [("command", ""), ("", "goal")])
def test_listed_participant_can_not_do_what_its_page_does_not_say(keystore: Path, out: str, into: str) -> None:
    process = participant(secured(keystore), "collector", out, into, "collector")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0, errors
