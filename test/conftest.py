"""Where tests run: a ROS environment of their own, and a count, at the end, of what ran on genuine ROS 2."""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from tdm_ros.bringup.environment import ros_environment, without_shared_memory

os.environ.pop("ROS_DOMAIN_ID", None)  # never the one that a person's robot is on
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # else a wrong type in a message aborts the process
os.environ.update(ros_environment(os.environ))
os.environ.update(without_shared_memory(os.environ))

# A shell that starts us in the background makes us, and every process that we test, ignore SIGINT; nohup, SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

HAS_ROS = importlib.util.find_spec("rclpy") is not None


REAL_TIME = ("ros", "browser", "netns", "real_time")
RETRIES = 3
"""Second attempts that one run of pytest has for its tests marked `retry`, all together."""


class Retries:
    """Budget of second attempts. Tests without the marker `retry` run once, whatever happens.

    As the condition of pytest-rerunfailures it is true while attempts are left.
    """

    def __init__(self) -> None:
        self.used: list[str] = []
        self.eligible: set[str] = set()
        self.once: set[str] = set()

    def __bool__(self) -> bool:
        return len(self.used) < RETRIES

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the attempts, and the tests in real time that have one only."""
        if report.outcome == "rerun":
            self.used.append(report.nodeid)
        elif report.when == "call" and "real_time" in report.keywords:
            (self.eligible if "retry" in report.keywords else self.once).add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the run fail when a test was retried that must not be."""
        if self.forbidden():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which tests were retried, and that the others were not."""
        if not (self.once or self.eligible or self.used):
            return
        terminalreporter.write_line(
            f"{len(self.once)} real-time tests ran once, all safety tests among them; retried: {len(self.forbidden())}"
        )
        terminalreporter.write_line(
            f"{len(self.eligible)} tests that may be retried: {len(self.used)} of {RETRIES} retries used"
            + "".join(f"\n  retried: {name}" for name in self.used)
        )

    def forbidden(self) -> list[str]:
        return [name for name in self.used if name in self.once]


RETRY_BUDGET = Retries()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the ROS tests where there is no ROS 2; give a second attempt to tests marked `retry`, to no others."""
    for item in items:
        if item.get_closest_marker("flaky"):
            raise pytest.UsageError(
                f"{item.nodeid} is marked flaky, expected no rerun: mark it `retry` if it asserts no stop, hold, "
                "rejection or loss, else mend it"
            )
        if any(map(item.get_closest_marker, REAL_TIME)) and not item.get_closest_marker("any_speed"):
            item.add_marker(pytest.mark.real_time)
        if item.get_closest_marker("retry"):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2, condition=RETRY_BUDGET))
        if not HAS_ROS and item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.skip(reason="rclpy is not installed"))


class RosCount:
    """Counts the tests on genuine rclpy, and fails a run that skipped one although rclpy is there."""

    def __init__(self) -> None:
        self.ran: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.in_browser: set[str] = set()
        self.no_browser: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a ROS test."""
        if "browser" in report.keywords and report.skipped:
            self.no_browser[report.nodeid] = reason_of(report)
        elif "browser" in report.keywords and report.when == "call":
            self.in_browser.add(report.nodeid)
        if "ros" not in report.keywords:
            return
        if report.skipped:
            self.skipped[report.nodeid] = reason_of(report)
        elif report.when == "call":
            self.ran.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that skipped itself for want of ROS 2."""
        if report.skipped and "rclpy" in reason_of(report):
            self.skipped[report.nodeid] = reason_of(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the run fail when a ROS test was skipped without need."""
        if HAS_ROS and self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the count."""
        ran, skipped = len(self.in_browser), sorted(set(self.no_browser.values()))
        if ran or skipped:
            why = f" ({'; '.join(skipped)})" if skipped else ""
            terminalreporter.write_line(f"{ran} tests in a real Chromium, {len(self.no_browser)} skipped{why}")
        reasons = "; ".join(sorted(set(self.skipped.values())))
        why = f" ({reasons})" if reasons else ""
        if self.ran or self.skipped:
            terminalreporter.write_line(
                f"{len(self.ran)} tests on genuine rclpy over DDS, {len(self.skipped)} skipped{why}"
            )
        if HAS_ROS and self.skipped:
            terminalreporter.write_line("FAILED: rclpy is installed, so that none of these may be skipped", red=True)


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RosCount(), "ros-count")
    config.pluginmanager.register(RETRY_BUDGET, "retry-budget")
    # A crash prints the stack of its own thread alone, at the place where pytest has them all printed.
    faulthandler.enable(file=config.stash[fault_handler_stderr_fd_key], all_threads=False)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    """A bench for nodes that are processes, with its files in ``tmp_path``."""
    from ros_bench import bench

    with bench(tmp_path) as running:
        yield running


@pytest.fixture
def commander(made: Any) -> Any:
    """Supervisor and policy, played, of an arm that moves."""
    from test_node_arm import Commander

    made.start("arm")
    player = Commander(made)
    made.until(player.moves)
    return player
