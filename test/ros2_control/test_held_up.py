"""An arm whose own process was held up, at its start for example, counts as that, and not as a silent watchdog."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ros1_bench import SimulatedRobot

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

from ros2_control_bench import Ros2ControlBench, opened  # noqa: E402

HELD_UP_S = 0.3


@pytest.fixture(scope="module")
def bench(
    start_robot: Callable[..., SimulatedRobot], controller_manager_msgs: dict[str, str]
) -> Iterator[Ros2ControlBench]:
    robot = start_robot("/held_up", "ur5e", "velocity")
    with contextmanager(opened)(robot, "/held_up", controller_manager_msgs) as made:
        yield made


def test_reading_thread_that_was_held_up_is_no_silence_of_the_watchdog(bench: Ros2ControlBench) -> None:
    with bench.client._received._lock:  # as a garbage collection does, which stops all threads
        time.sleep(HELD_UP_S)
        state, age_s, problem = bench.client.state()
    assert problem == "" and age_s < 0.1
    assert state.stamp_s > time.monotonic() - 0.1


def test_state_that_is_read_late_is_as_old_as_it_is(bench: Ros2ControlBench) -> None:
    """Else a watchdog that is frozen while we are held up would count as alive for 0.1 s more."""
    pid = bench.client._process.pid
    try:
        with bench.client._received._lock:
            time.sleep(0.05)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(HELD_UP_S)
            _, age_s, problem = bench.client.state()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "silent for 0.3" in problem and age_s >= HELD_UP_S


def test_state_does_not_wait_for_a_reading_thread_that_hangs(bench: Ros2ControlBench) -> None:
    """The arm would miss its own cycles; the watchdog counts as silent instead."""
    hangs, release = threading.Event(), threading.Event()

    def hang() -> None:
        with bench.client._received._lock:
            hangs.set()
            release.wait(5.0)

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    try:
        assert hangs.wait(5.0)
        time.sleep(HELD_UP_S)
        _, _, problem = bench.client.state()
        assert not release.is_set() and thread.is_alive() and "silent for" in problem
    finally:
        release.set()
        thread.join(5.0)
