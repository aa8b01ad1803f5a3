"""Tests over genuine ROS 1: counted as skipped unless `make ros1` has set it up."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from ros1_bench import INTERFACES, TABLE, Ros1, SimulatedRobot, make_messages, table

from tdm_ros.drivers.intera.client import InteraClient

HERE = Path(__file__).parent
ASKED_FOR = os.environ.get("INTERA_TESTS") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of this folder unless it was asked for; then nothing is skipped."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.real_time)
        if not ASKED_FOR:
            item.add_marker(pytest.mark.skip(reason="needs ROS 1: run make ros1 first"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a failure, what the robot said, and what its threads do."""
    report = yield
    robot = getattr(item, "funcargs", {}).get("whole_robot")
    if report.failed and robot:
        report.sections.append(("the simulated robot", robot.threads()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, and which intera_interface the workers had."""
    if not INTERFACES:
        return
    for line in table(TABLE):
        terminalreporter.write_line(line)
    counts = Counter(INTERFACES.values())
    terminalreporter.write_line(
        f"{counts['genuine']} tests with the genuine intera_interface, {counts['stand-in']} with the stand-in"
    )


@pytest.fixture(scope="session")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The folder of the generated intera_core_msgs, and their MD5 sums."""
    folder = tmp_path_factory.mktemp("messages")
    return {"folder": folder, "md5": make_messages(folder)}


@pytest.fixture(scope="session")
def ros1(tmp_path_factory: pytest.TempPathFactory, messages: dict) -> Iterator[Ros1]:
    """A ROS master."""
    ros1 = Ros1(tmp_path_factory.mktemp("ros1"), messages["folder"])
    yield ros1
    ros1.close()


@pytest.fixture
def alone(tmp_path: Path, messages: dict) -> Iterator[Ros1]:
    """A ROS master for one test, of a robot that lacks something."""
    ros1 = Ros1(tmp_path, messages["folder"])
    yield ros1
    ros1.close()


@pytest.fixture(scope="module")  # not longer than it is asked for: it takes an eighth of a core
def whole_robot(ros1: Ros1) -> Iterator[SimulatedRobot]:
    """A robot that lacks nothing."""
    robot = ros1.robot()
    yield robot
    robot.close()


@pytest.fixture
def robot(whole_robot: SimulatedRobot) -> SimulatedRobot:
    """The robot at rest in neutral, without faults and not enabled."""
    whole_robot.rest()
    return whole_robot


@pytest.fixture
def client(ros1: Ros1, robot: SimulatedRobot, request: pytest.FixtureRequest) -> Iterator[InteraClient]:
    """A worker that is up; its robot is not enabled."""
    client = ros1.start_worker(*getattr(request, "param", ()))
    INTERFACES[request.node.nodeid] = client.wait_ready(30).interface
    yield client
    client.close()


@pytest.fixture
def enabled(client: InteraClient) -> InteraClient:
    """A worker that may move the robot."""
    answer = client.request("enable").result(8)
    assert answer.done, answer.reason
    return client


@pytest.fixture
def operate(tmp_path: Path, messages: dict, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """Starts the whole system on a master, with a person before it: ``operate(ros1, worker="", **environment)``."""
    from operator_bench import Operator, through_worker

    from tdm_ros.bringup.environment import free_domain

    domain, people = free_domain(), []
    ros = {"ROS_DOMAIN_ID": str(domain), "ROS_HOME": str(tmp_path)}
    for name, value in ros.items():
        monkeypatch.setenv(name, value)

    def start(ros1: Ros1, worker: str = "", secret: str = "", **environment: str) -> Operator:
        words = ["robot:=sawyer", "duration_min:=inf"]
        given = {"arm": through_worker(ros1, messages["folder"], worker, secret)}
        people.append(Operator(tmp_path, domain, words, given, environment))
        return people[-1]

    yield start
    for operator in people:
        operator.close()
