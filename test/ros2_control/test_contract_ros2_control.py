"""An arm behind ros2_control, as the simulated one shows it, does what every arm must do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pytest
from arm_contract import CYCLE_S, STANDSTILL_S, ArmContract
from ros1_bench import STILL_RAD_S, SimulatedRobot, wait_until

from tdm_ros.drivers.ros2_control_settings import CONTROLLERS
from tdm_ros.robots.description import Robot
from tdm_ros.robots.limits import Limits

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

from ros2_control_bench import UR5E, Ros2ControlBench, limits_of, opened  # noqa: E402


class Contract(ArmContract):
    """The contract, and the faults of an arm behind ros2_control."""

    robot: ClassVar[Robot] = UR5E
    limits: ClassVar[Limits] = limits_of(UR5E)
    kind = "velocity"

    FAULTS: ClassVar = {
        "e-stop": (("say", "estop", True), ("say", "estop", False), "e-stop is pressed (estop_pressed)"),
        "not enabled": (("say", "enabled", False), ("say", "enabled", True), "not enabled (robot_enabled is false)"),
        "error": (("say", "error", True), ("say", "error", False), "error (arm: motors: shown)"),
        "frozen": (("set", "frozen", True), ("set", "frozen", False), "old"),
        "the same": (("set", "stuck", True), ("set", "stuck", False), "old"),
        "not finite": (("set", "nan", True), ("set", "nan", False), "no finite velocity of each joint"),
        "a joint is absent": (("set", "lacking", True), ("set", "lacking", False), "has no elbow_joint (got"),
    }
    MOTORS_OFF = ("e-stop", "not enabled", "error")

    @pytest.fixture(scope="class")
    @classmethod
    def driver(cls, start_robot: Callable[..., SimulatedRobot]) -> SimulatedRobot:
        return start_robot(f"/{cls.kind}", "ur5e", cls.kind)

    @pytest.fixture
    def bench(self, driver: SimulatedRobot, controller_manager_msgs: dict[str, str]) -> Iterator[Ros2ControlBench]:
        driver.ask("activate", CONTROLLERS[self.kind][0])
        yield from opened(driver, f"/{self.kind}", controller_manager_msgs, command=self.kind)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_fault_is_reported_stops_the_arm_and_resumes_nothing(self, bench: Ros2ControlBench, fault: str) -> None:
        begin, end, word = self.FAULTS[fault]
        self.drive(bench, self.one_joint(0.2), 0.4)
        since_s = time.monotonic()
        bench.driver.ask(*begin)
        found = ""
        for _ in range(round(STANDSTILL_S / CYCLE_S)):
            bench.arm.drive("velocity", self.one_joint(0.2))  # a commander that does not look
            bench.cycle()
            found = bench.arm.problem() or found
        took_s = bench.driver.trace().standstill_s(since_s)
        assert word in found and 0 < took_s < STANDSTILL_S
        bench.driver.ask(*end)
        self.drive(bench, self.one_joint(0.2), 0.8)
        assert bench.driver.trace().standstill_s(since_s) == took_s, "it moves only after a hold"
        if fault in self.MOTORS_OFF:
            bench.arm.hold()
            self.drive(bench, self.one_joint(0.2), 0.4)
            assert bench.driver.trace().standstill_s(since_s) == took_s, "a hold alone is not enough"
            assert bench.client.request("reset").result(5).done == (fault != "not enabled")
            assert bench.client.request("enable").result(5).done
        self.moves_after_a_hold(bench)

    def moves_after_a_hold(self, bench: Ros2ControlBench) -> None:
        bench.arm.hold()
        self.wait(bench, 0.1)
        before_rad = bench.truth()[0][0]
        self.drive(bench, self.one_joint(0.2), 0.4)
        assert bench.truth()[0][0] - before_rad > 0.02, bench.client.state()  # its speed follows each point

    def test_controller_that_is_not_active_is_a_problem_until_enable_switches_it(self, bench: Ros2ControlBench) -> None:
        name, other = (
            CONTROLLERS[self.kind][0],
            CONTROLLERS["position" if self.kind == "trajectory" else "trajectory"][0],
        )
        self.drive(bench, self.one_joint(0.2), 0.4)
        bench.driver.ask("activate", other)
        wait_until(lambda: bench.arm.problem(), 2.0, "the controller is reported")
        expected = f"{name} is inactive, not active: type `ros2 control switch_controllers --activate {name}"
        assert expected in bench.arm.problem()
        self.drive(bench, self.one_joint(0.2), 0.4)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        assert bench.client.request("enable").result(10).done
        assert bench.driver.ask("facts")["states"] == {
            controller: "active" if controller == name else "inactive" for controller, _, _ in CONTROLLERS.values()
        }
        self.moves_after_a_hold(bench)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
    def test_watchdog_that_dies_or_freezes_stops_the_arm_and_is_reported(
        self, bench: Ros2ControlBench, number: signal.Signals
    ) -> None:
        """A forward controller goes on for ever with its last command: the arm's process must send zero."""
        self.drive(bench, self.one_joint(0.2), 0.4)
        since_s = time.monotonic()
        os.kill(bench.client._process.pid, number)
        self.drive(bench, self.one_joint(0.2), 0.6)
        took_s = bench.driver.trace().standstill_s(since_s)
        assert 0 < took_s < STANDSTILL_S and "worker" in bench.arm.problem()
        if self.kind == "velocity":
            bench.driver.ask("command", "velocity", [0.2] * 6)  # its last one, which comes late
        if number == signal.SIGSTOP:
            os.kill(bench.client._process.pid, signal.SIGCONT)
        self.wait(bench, 0.5)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_stop_is_a_software_e_stop(self, bench: Ros2ControlBench) -> None:
        self.drive(bench, self.one_joint(0.2), 0.4)
        assert bench.client.request("stop").result(5).done
        self.drive(bench, self.one_joint(0.2), 0.3)
        assert "stopped" in bench.arm.problem() and np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_speed_beyond_the_limits_of_a_real_arm_is_rejected(self, bench: Ros2ControlBench) -> None:
        bench.arm.drive("velocity", self.one_joint(0.7))
        self.wait(bench, 0.1)
        assert "the hand's speed must be in [0, 0.25] m/s" in bench.arm.problem()


class TestVelocity(Contract):
    """Velocities, which forward_velocity_controller follows for ever."""


class TestPosition(Contract):
    """Positions, at the last of which forward_position_controller stays."""

    kind = "position"

    def test_arm_that_another_program_has_moved_since_is_not_moved_back(self, bench: Ros2ControlBench) -> None:
        self.drive(bench, self.one_joint(0.2), 0.4)
        bench.arm.hold()
        self.wait(bench, 0.5)
        before = bench.driver.ask("facts")["received"]
        bench.driver.ask("place", (self.robot.home_rad + 0.5).tolist())
        self.wait(bench, 0.5)
        self.drive(bench, self.one_joint(0.2), 0.4)
        trace = bench.driver.trace()
        assert before > 0 and np.abs(trace.qd_rad_s).max() < 0.3
        assert np.abs(trace.q_rad - self.robot.home_rad - 0.5).max() < 0.15


class TestTrajectory(Contract):
    """Trajectories of one point."""

    kind = "trajectory"
