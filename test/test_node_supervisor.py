"""The supervisor as a process: what it says of its state, and of a system that cannot work."""

from __future__ import annotations

import signal
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.any_speed]

from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from ros_bench import Bench, resting_state  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402


class Arm:
    """Plays an arm that stands."""

    def __init__(self, made: Bench, run: str = "test") -> None:
        self.fault = ""
        self._node, self._run, self._cycle = made.node, run, 0
        self.publish = made.node.create_publisher(ArmState, "arm_state", qos.STATE).publish if run == "test" else None
        self._timer = made.node.create_timer(0.05, self._tick)

    def end(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        self._cycle += 1
        state = resting_state(run=self._run, cycle=self._cycle, fault=self.fault)
        state.header.stamp = self._node.get_clock().now().to_msg()
        if self.publish is not None:
            self.publish(state)


def statuses(made: Bench, name: str) -> list[Any]:
    """Statuses of a node on /diagnostics; the list grows."""
    found: list[Any] = []

    def note(array: DiagnosticArray) -> None:
        found.extend(status for status in array.status if status.name == f"{made.namespace}/{name}")

    made.node.create_subscription(DiagnosticArray, "/diagnostics", note, 100)
    return found


def call(made: Bench, name: str) -> None:
    client = made.node.create_client(Trigger, f"supervisor/{name}")
    made.until(client.service_is_ready)
    called = client.call_async(Trigger.Request())
    made.until(called.done)
    assert called.result().success


def test_supervisor_logs_each_change_of_state_and_its_diagnostics_say_fault(made: Bench) -> None:
    found = statuses(made, "supervisor")
    made.start("supervisor", auto_start=False)
    arm = Arm(made)
    made.until(lambda: bool(found) and found[-1].level == DiagnosticStatus.OK)
    assert "DISABLED: waiting for ~/start" in made.output("supervisor")
    service = f"{made.namespace}/supervisor/start"
    assert f"ros2 service call {service} std_srvs/srv/Trigger" in made.output("supervisor")
    call(made, "start")
    made.until(lambda: "HOLD: waiting for policy, planner, collector" in made.output("supervisor"))
    call(made, "pause")
    made.until(lambda: "PAUSED: paused by the operator" in made.output("supervisor"))
    arm.fault = "the cable came out"
    made.until(lambda: "FAULT: the arm: the cable came out" in made.output("supervisor"))
    made.until(lambda: found[-1].level == DiagnosticStatus.ERROR)
    assert found[-1].message == "FAULT: the arm: the cable came out"
    said = made.output("supervisor").count("FAULT: ")
    made.spin(1.5)
    assert made.output("supervisor").count("FAULT: ") == said, "once"
    arm.fault = ""
    call(made, "clear_fault")
    made.until(lambda: "DISABLED: fault cleared" in made.output("supervisor"))
    made.until(lambda: found[-1].level == DiagnosticStatus.OK)


def test_start_that_was_asked_of_a_frozen_supervisor_is_not_carried_out_when_it_goes_on(made: Bench) -> None:
    process = made.start("supervisor", auto_start=False)
    Arm(made)
    announced = made.collect(Episode, "episode", qos.EPISODE)
    client = made.node.create_client(Trigger, "supervisor/start")
    made.until(lambda: client.service_is_ready() and bool(announced))
    made.spin(0.5)  # its timer has passed once
    process.send_signal(signal.SIGSTOP)
    asked = client.call_async(Trigger.Request())
    made.spin(1.5)
    process.send_signal(signal.SIGCONT)
    made.until(asked.done)
    assert not asked.result().success and "was held up" in asked.result().message
    made.spin(1.0)
    assert {one.state for one in announced} == {Episode.DISABLED}
    call(made, "start")


NODES_WITH_STATUS = ["arm", "supervisor", "policy", "planner", "collector", "trainer"]


@pytest.mark.timeout(180)
def test_nodes_with_simulated_time_say_that_nobody_publishes_it_and_outlast_its_resets(made: Bench) -> None:
    found = {name: statuses(made, name) for name in NODES_WITH_STATUS}
    for name in NODES_WITH_STATUS:
        made.start(name, use_sim_time=True)

    def all_say(level: bytes) -> bool:
        return all(said and said[-1].level == level for said in found.values())

    made.until(lambda: all_say(DiagnosticStatus.ERROR), 60)
    for name, said in found.items():
        assert "nothing publishes /clock" in said[-1].message and "nothing publishes /clock" in made.output(name)
    clock = made.node.create_publisher(Clock, "/clock", 10)
    for begin_s in (100, 5000, 3):  # begins, jumps ahead, and begins again
        for tick in range(60):
            clock.publish(Clock(clock=Time(sec=begin_s + tick // 20, nanosec=tick % 20 * 50_000_000)))
            made.spin(0.05)
        for said in found.values():
            said.clear()
        made.until(lambda: all(found.values()), 20)
        for name, said in found.items():
            assert "/clock" not in said[-1].message and made.processes[name].poll() is None
