"""Where tests run: a ROS environment of their own, and a count, at the end, of what ran on genuine ROS 2."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator

import pytest

from tdm_ros.system.environment import ros_environment, without_shared_memory

os.environ.pop("ROS_DOMAIN_ID", None)  # never the one that a person's robot is on
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # else a wrong type in a message aborts the process
os.environ.update(ros_environment(os.environ))
os.environ.update(without_shared_memory(os.environ))

# A shell that starts us in the background makes us, and every process that we test, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

HAS_ROS = importlib.util.find_spec("rclpy") is not None


REAL_TIME = ("ros", "browser", "netns", "real_time")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the ROS tests where there is no ROS 2; try those in real time again, which any load can spoil.

    pytest prints what was tried again.
    """
    for item in items:
        if any(map(item.get_closest_marker, REAL_TIME)):
            item.add_marker(pytest.mark.real_time)
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))
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
    """Return why a test was skipped."""
    longrepr = report.longrepr
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.pluginmanager.register(RosCount(), "ros-count")


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """The private ROS domain of this test run."""
    yield int(os.environ["ROS_DOMAIN_ID"])
