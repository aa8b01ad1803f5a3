"""How nodes talk: by UDP, since on shared memory a publisher may wait for who joins; and on this machine alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts_for_tests import IP, hosts  # noqa: F401

from tdm_ros.bringup import environment
from tdm_ros.bringup.environment import (
    LOOPBACK,
    ONLY,
    PEERS,
    PROFILES,
    RANGE,
    discovery,
    free_domain,
    without_shared_memory,
)

TALKER = """
import rclpy
from std_msgs.msg import Int32
rclpy.init()
node = rclpy.create_node("talker")
publisher = node.create_publisher(Int32, "count", 10)
node.create_timer(0.05, lambda: publisher.publish(Int32(data=1)))
print("talks", flush=True)
rclpy.spin(node)
"""
LISTENER = """
import rclpy, sys
from std_msgs.msg import Int32
rclpy.init()
node, heard = rclpy.create_node("listener"), []
node.create_subscription(Int32, "count", heard.append, 10)
end = node.get_clock().now().nanoseconds + float(sys.argv[1]) * 1e9
while not heard and node.get_clock().now().nanoseconds < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(len(heard))
"""
SHARED = ("/dev/shm/fastrtps_", "/dev/shm/fastdds_")


@pytest.mark.parametrize(
    ("environ", "set_"),
    [
        ({RANGE: "SUBNET"}, {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}),
        ({}, {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}),
        ({RANGE: "SUBNET", "FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, {}),
        ({RANGE: "LOCALHOST", PROFILES[0]: "mine.xml"}, {}),
        ({RANGE: "LOCALHOST", "ROS_STATIC_PEERS": "10.0.0.2"}, {}),
        ({RANGE: "LOCALHOST", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {}),
    ],
)
def test_what_a_person_says_about_transports_stays(environ: dict[str, str], set_: dict[str, str]) -> None:
    assert without_shared_memory(environ) == set_


@pytest.mark.parametrize(("package", "names"), [("fastrtps", PROFILES), ("fastdds", PROFILES[:1])])
def test_this_machine_alone_is_said_in_other_words_and_to_fast_dds_alone(
    package: str, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "share" / package).mkdir(parents=True)
    monkeypatch.setattr("sys.prefix", "/nothing")
    found = without_shared_memory({RANGE: "LOCALHOST", "AMENT_PREFIX_PATH": str(tmp_path)})
    assert found == {
        RANGE: "SUBNET",
        **dict.fromkeys(names, str(LOOPBACK)),
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
    }
    assert LOOPBACK.read_text().count("<address>127.0.0.1</address>") == 2
    assert without_shared_memory(found) == {}


@pytest.mark.parametrize("range_", [{}, {RANGE: "SUBNET"}, {RANGE: "LOCALHOST"}])
def test_localhost_only_is_said_in_other_words_too(range_: dict[str, str]) -> None:
    environ = {ONLY: "1", **range_}
    assert discovery(environ, "localhost") == {RANGE: "LOCALHOST"}
    found = environ | without_shared_memory(environ)
    assert found[PROFILES[0]] == str(LOOPBACK) and found[RANGE] == "SUBNET" and not found[ONLY]
    with pytest.raises(ValueError, match="ROS_LOCALHOST_ONLY=1 excludes other hosts: unset it"):
        discovery(environ, "subnet")


def test_profile_that_is_missing_is_an_error_and_not_an_open_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LOOPBACK", LOOPBACK.with_name("gone.xml"))
    with pytest.raises(FileNotFoundError, match=r"gone\.xml is missing"):
        without_shared_memory({RANGE: "LOCALHOST"})
    assert without_shared_memory({RANGE: "SUBNET"}), "who asked for the network needs no profile"


@pytest.mark.parametrize(
    "environ",
    [
        {RANGE: "SUBNET"},
        {RANGE: "SYSTEM_DEFAULT"},
        {RANGE: "localhost"},  # no value that ROS knows: it takes SUBNET then
        {PEERS: "10.0.0.2"},
        {RANGE: "SUBNET", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
    ],
)
def test_environment_alone_does_not_open_a_system_to_other_hosts(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"would let other hosts .* give network:=subnet"):
        discovery(environ, "localhost")
    assert discovery(environ, "subnet")[RANGE] == environ.get(RANGE, "SUBNET")


def test_profile_of_an_operator_is_kept_and_ours_contradicts_the_network() -> None:
    own = {RANGE: "SUBNET", PROFILES[0]: "mine.xml"}
    assert own | discovery(own, "localhost") == own | discovery(own, "subnet") == own
    assert discovery({}, "localhost") == {RANGE: "LOCALHOST"}, "without a profile"
    assert discovery({}, "subnet") == discovery({RANGE: "LOCALHOST"}, "subnet") == {RANGE: "SUBNET"}
    ours = {RANGE: "SUBNET", PROFILES[0]: str(LOOPBACK)}
    assert ours | discovery(ours, "localhost") == ours, "what up gives its nodes, and a node that starts up again"
    with pytest.raises(ValueError, match=rf"{PROFILES[0]} names the profile for localhost: unset it"):
        discovery(ours, "subnet")


def bare(domain: int, **settings: str) -> dict[str, str]:
    """The environment of a person's own terminal, in a domain."""
    names = (*PROFILES, RANGE, ONLY, "RMW_IMPLEMENTATION", "FASTDDS_BUILTIN_TRANSPORTS")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "ROS_DOMAIN_ID": str(domain), **settings}


def talk(environ: dict[str, str], before: list[str] | None = None) -> subprocess.Popen[str]:
    command = [*(before or []), sys.executable, "-c", TALKER]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "talks\n"
    return process


def heard(environ: dict[str, str], seconds: float, before: list[str] | None = None) -> int:
    command = [*(before or []), sys.executable, "-c", LISTENER, str(seconds)]
    return int(subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout)


def maps(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


@pytest.fixture
def domain() -> int:
    pytest.importorskip("rclpy")
    return free_domain()


@pytest.fixture(params=[{RANGE: "LOCALHOST"}, {ONLY: "1"}], ids=["range", "localhost only"])
def talker(domain: int, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    environ = bare(domain, **request.param)
    process = talk(environ | without_shared_memory(environ))
    yield process
    process.kill()
    process.wait()


@pytest.mark.ros
def test_node_on_this_machine_alone_has_no_shared_memory(domain: int, talker: subprocess.Popen[str]) -> None:
    usual = talk(bare(domain, **{RANGE: "LOCALHOST"}))
    try:
        time.sleep(0.5)
        assert any(name in maps(usual) for name in SHARED), "the control: what ROS gives its nodes"
        assert not any(name in maps(talker) for name in SHARED)
    finally:
        usual.kill()
        usual.wait()


@pytest.mark.ros
@pytest.mark.parametrize(
    "settings", [{RANGE: "LOCALHOST"}, {RANGE: "SUBNET"}, {}], ids=["localhost", "subnet", "unset"]
)
def test_node_on_this_machine_alone_is_heard_from_any_terminal_on_it(
    domain: int, talker: subprocess.Popen[str], settings: dict[str, str]
) -> None:
    assert heard(bare(domain, **settings), 20)


@pytest.mark.netns
@pytest.mark.ros
def test_another_host_hears_who_talks_to_the_network_and_nobody_else(hosts: tuple[str, str]) -> None:  # noqa: F811
    pytest.importorskip("rclpy")
    here, there = ([IP, "netns", "exec", host] for host in hosts)
    udp = {RANGE: "SUBNET", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}  # hosts share no memory, these two would
    open_to_all, alone = bare(7, **udp), bare(8, **{RANGE: "LOCALHOST"})
    talkers = [talk(environ | without_shared_memory(environ), here) for environ in (open_to_all, alone)]
    try:
        assert heard(open_to_all, 20, there), "the control: the cable works"
        assert not heard(bare(8, **udp), 4, there)
        assert heard(bare(8, **udp), 20, here)
    finally:
        for talker in talkers:
            talker.kill()
            talker.wait()
