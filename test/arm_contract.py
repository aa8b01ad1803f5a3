"""What every arm must do, whatever is behind it. A backend has a fixture `bench`, and inherits the tests."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import ArrayLike

from tdm_ros.control.arm_control import ArmControl, ArmTiming
from tdm_ros.control.arm_io import CommandCheck, JointOrder, ReceivedCommand
from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.drivers.intera.client import ArmClient
from tdm_ros.drivers.worker_arm import WorkerArm
from tdm_ros.envs.arm_sim import SUBSTEPS, ArmSim
from tdm_ros.robots.arm import Actuation, Arm
from tdm_ros.robots.arm_cycle import ArmCycle
from tdm_ros.robots.description import Robot
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.limiter import Limiter
from tdm_ros.robots.limits import REAL_LIMITS, Limits
from tdm_ros.robots.sawyer import NEUTRAL_RAD, SAWYER

CYCLE_S = 0.05
STANDSTILL_S = 0.25
STILL_RAD_S = 0.02


class SimulatedBench:
    """An arm whose time passes only on request."""

    real = False

    def __init__(self, arm: ArmSim) -> None:
        self.arm: Arm = arm
        self._sim = arm
        arm.reset(NEUTRAL_RAD)
        self._now_s = 0.0

    def now_s(self) -> float:
        """Steady time [s]."""
        return self._now_s

    def cycle(self) -> None:
        """Let 50 ms pass."""
        self.arm.advance(SUBSTEPS)
        self._now_s += CYCLE_S

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint positions (7,) [rad] and velocities (7,) [rad/s], not by way of the arm."""
        return self._sim.data.qpos[:7].copy(), self._sim.data.qvel[:7].copy()


class RealBench:
    """A robot in real time, behind a worker; enabled."""

    real = True

    def __init__(self, client: ArmClient, robot: Any) -> None:
        self.client, self.robot = client, robot
        assert client.request("enable").result(10).done
        self.arm: Arm = WorkerArm(client)
        end_s = time.monotonic() + 3  # the news that it is enabled has to come, too
        while (problem := self.arm.problem()) and time.monotonic() < end_s:
            time.sleep(0.01)
        assert not problem, problem
        self._due_s = time.monotonic()

    def now_s(self) -> float:
        """Steady time [s]."""
        return time.monotonic()

    def cycle(self) -> None:
        """Let 50 ms pass."""
        self._due_s = max(self._due_s + CYCLE_S, time.monotonic())
        time.sleep(max(0.0, self._due_s - time.monotonic()))

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint positions (7,) [rad] and velocities (7,) [rad/s], not by way of the arm."""
        _, q, qd = self.robot.ask("trace")[-1]
        return np.array(q), np.array(qd)

    def worker(self) -> int:
        """Process of the worker."""
        return self.client._process.pid


Bench = SimulatedBench | RealBench


class ArmContract:
    """The tests, for the arm of a robot description and limits of its bench."""

    robot: ClassVar[Robot] = SAWYER
    limits: ClassVar[Limits] = REAL_LIMITS

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Give each test of one joint all joints of the robot."""
        if "joint" in metafunc.fixturenames:
            metafunc.parametrize("joint", range(len(cls.robot.joint_names)))

    @property
    def velocity(self) -> Actuation:
        return Actuation("velocity", "velocity", 0.5 * self.robot.velocity_rad_s)

    def one_joint(self, speed_rad_s: float, joint: int = 0) -> np.ndarray:
        """Velocities, (J,) [rad/s], of one joint alone."""
        return np.eye(len(self.robot.joint_names))[joint] * speed_rad_s

    def test_reading_is_finite_true_fresh_and_in_order(self, bench: Bench) -> None:
        bench.cycle()
        q, _ = bench.truth()
        reading = bench.arm.reading()
        np.testing.assert_allclose(reading.q_rad, q, atol=0.01)
        assert np.isfinite(reading.qd_rad_s).all() and np.abs(reading.qd_rad_s).max() < STILL_RAD_S
        assert 0 <= reading.age_s < 0.1
        assert bench.arm.effort().shape == self.robot.home_rad.shape and np.isfinite(bench.arm.effort()).all()
        assert bench.arm.problem() == ""

    def test_hand_is_where_the_joints_put_it(self, bench: Bench) -> None:
        pose, hand = bench.arm.hand_pose(), forward(bench.arm.reading().q_rad, self.robot)
        np.testing.assert_allclose(pose.position_m, hand.position_m, atol=2e-3)
        np.testing.assert_allclose(pose.rotation, hand.rotation, atol=5e-3)
        np.testing.assert_allclose(bench.arm.reading().hand_m, hand.position_m, atol=2e-3)

    def test_velocity_moves_this_joint_as_far_as_it_says(self, bench: Bench, joint: int) -> None:
        before, wanted = bench.truth()[0], self.one_joint(0.2 if joint % 2 else -0.2, joint)
        self.drive(bench, wanted, 0.5)
        bench.arm.hold()
        self.wait(bench, STANDSTILL_S)
        moved = bench.truth()[0] - before
        assert moved[joint] == pytest.approx(0.5 * wanted[joint], abs=0.04)
        assert np.abs(np.delete(moved, joint)).max() < 0.02

    def test_hold_stands_in_time_and_stays(self, bench: Bench) -> None:
        self.drive(bench, np.full(len(self.robot.joint_names), 0.15), 0.5)
        assert np.abs(bench.truth()[1]).max() > 0.1
        bench.arm.hold()
        self.wait(bench, STANDSTILL_S)
        at, speed = bench.truth()
        assert np.abs(speed).max() < STILL_RAD_S
        self.wait(bench, 0.5)
        np.testing.assert_allclose(bench.truth()[0], at, atol=0.01)

    def test_held_arm_moves_again_when_told(self, bench: Bench) -> None:
        for _ in range(2):
            before = bench.truth()[0][0]
            self.drive(bench, self.one_joint(0.2), 0.5)
            bench.arm.hold()
            self.wait(bench, STANDSTILL_S)
            assert bench.truth()[0][0] - before == pytest.approx(0.1, abs=0.025)

    @pytest.mark.parametrize("bad", ["not finite", "one short", "none"])
    def test_command_that_makes_no_sense_holds(self, bench: Bench, bad: str) -> None:
        cycle = self.cycle(bench)
        for _ in range(6):
            cycle.command(self.one_joint(0.1))
            bench.cycle()
            cycle.finish()
        values = {"not finite": self.one_joint(np.nan), "one short": self.one_joint(0.0)[1:], "none": None}[bad]
        assert cycle.command(values).rejected
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_executed_action_is_the_motion_and_the_limits_are_kept(self, bench: Bench) -> None:
        cycle, scale = self.cycle(bench), self.limits.velocity_scale
        rng, before, sum_rad = np.random.default_rng(1), bench.truth()[0], self.one_joint(0.0)
        for k in range(30):
            if k % 5 == 0:
                wanted = rng.uniform(-9, 9, len(before))
            limited = cycle.command(wanted)
            assert not limited.rejected, limited.layer
            if bench.real:
                cycle.advance(SUBSTEPS)
                bench.cycle()
            else:
                cycle.advance(SUBSTEPS)
            executed = cycle.finish()
            assert np.abs(executed.action).max() <= 1 and executed.limited
            q, qd = bench.truth()
            assert (np.abs(qd) < scale * self.robot.velocity_rad_s + STILL_RAD_S).all()
            assert np.linalg.norm(jacobian(q, self.robot)[:3] @ qd) < 0.2 + 0.03
            sum_rad += self.velocity.to_command(executed.action) * CYCLE_S
        bench.arm.hold()
        self.wait(bench, STANDSTILL_S)
        moved = bench.truth()[0] - before
        assert np.abs(moved).max() > 0.05
        np.testing.assert_allclose(moved, sum_rad, atol=0.05)

    def test_silent_commander_stops_the_arm_for_good(self, bench: Bench) -> None:
        control, before = self.control(bench), bench.truth()[0]
        for k in range(10):
            problem = control.receive(self.command(control, self.one_joint(0.2)), bench.now_s())
            assert problem == "", (k, problem)
            bench.cycle() if bench.real else self.pass_simulated(bench)
            control.tick(bench.now_s())
        assert bench.truth()[0][0] - before[0] > 0.05  # the speed of an arm that follows points is not constant
        for _ in range(7):  # 0.1 s until it is missed, and 0.25 s
            bench.cycle() if bench.real else self.pass_simulated(bench)
            report = control.tick(bench.now_s())
        assert report.source == Source.SAFETY and "no command" in report.hold_reason
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_close_leaves_it_at_rest(self, bench: Bench) -> None:
        self.drive(bench, self.one_joint(0.2), 0.4)
        bench.arm.close()
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    # How.

    @staticmethod
    def drive(bench: Bench, values: Any, seconds: float) -> None:
        for _ in range(round(seconds / CYCLE_S)):
            bench.arm.drive("velocity", np.asarray(values, float))
            bench.cycle()

    @staticmethod
    def wait(bench: Bench, seconds: float) -> None:
        for _ in range(round(seconds / CYCLE_S)):
            bench.cycle()

    def cycle(self, bench: Bench) -> ArmCycle:
        return ArmCycle(bench.arm, Limiter(self.velocity, self.limits, self.robot), self.velocity)

    def control(self, bench: Bench) -> ArmControl:
        check = CommandCheck(JointOrder(self.robot.joint_names), 0, max_age_s=0.1)
        cycles, home_rad = (self.cycle(bench), self.cycle(bench)), self.robot.home_rad
        control = ArmControl(cycles, check, ArmTiming(), home_rad, bench.now_s())
        control.announce(Announcement(State.RUNNING, episode=1, length=10**6), bench.now_s())
        return control

    def command(self, control: ArmControl, values: ArrayLike) -> ReceivedCommand:
        given = list(np.asarray(values))
        return ReceivedCommand(control.cycle, 1, 0, int(Source.POLICY), 0.0, self.robot.joint_names, given)

    @staticmethod
    def pass_simulated(bench: Any) -> None:
        bench._now_s += CYCLE_S  # the control lets the arm's time pass itself


class RealArmContract(ArmContract):
    """And what can only happen to an arm that is not in our own process."""

    FAULTS: ClassVar = {
        "e-stop": (("estop", True), ("estop", False), "e-stop"),
        "collision": (("set", "collided", True), ("set", "collided", False), "collision"),
        "joint states frozen": (("set", "frozen", True), ("set", "frozen", False), "old"),
        "the same joint states": (("set", "stuck", True), ("set", "stuck", False), "old"),
        "joint states not finite": (("set", "nan", True), ("set", "nan", False), "old"),
    }

    @pytest.mark.parametrize("fault", FAULTS)
    def test_fault_is_told_stops_the_arm_and_resumes_nothing(self, bench: RealBench, fault: str) -> None:
        begin, end, word = self.FAULTS[fault]
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        bench.robot.ask(*begin)
        found = ""
        for _ in range(round(STANDSTILL_S / CYCLE_S)):  # a commander that does not look
            bench.arm.drive("velocity", [0.2, 0, 0, 0, 0, 0, 0])
            bench.cycle()
            found = found or bench.arm.problem()
        assert word in found
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        bench.robot.ask(*end)
        self.wait(bench, 0.5)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    @pytest.mark.parametrize(
        ("flag", "says"),
        [
            ("mute", "the state of the robot is 0."),
            ("mute_collision", "the collision state is 0."),
            ("mute_hand", "the pose of the hand is 0."),
        ],
    )
    def test_topic_that_falls_silent_stops_the_arm(self, bench: RealBench, flag: str, says: str) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        bench.robot.ask("set", flag, True)
        found = self.drive_until_problem(bench, 1.0)
        assert says in found
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        bench.robot.ask("set", flag, False)
        assert self.moves_only_after_a_hold(bench)

    @pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
    def test_robot_that_another_program_resets_and_enables_moves_only_after_a_hold(
        self, bench: RealBench, heard: bool
    ) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        bench.robot.ask("set", "mute", not heard)
        bench.robot.ask("estop", True)
        assert self.drive_until_problem(bench, 1.0)
        bench.robot.ask("estop", False)
        bench.robot.ask("reset")
        bench.robot.ask("enable")
        bench.robot.ask("set", "mute", False)
        assert bench.robot.ask("facts")["enabled"]
        assert self.moves_only_after_a_hold(bench)

    def test_joints_that_are_not_homed_are_not_moved(self, bench: RealBench) -> None:
        bench.robot.ask("homed", False)
        assert "not homed" in self.drive_until_problem(bench, 1.0)
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    @pytest.mark.parametrize("persists", [False, True])
    def test_error_without_a_stop_is_cleared_by_stop_reset_enable(self, bench: RealBench, persists: bool) -> None:
        bench.robot.ask("error", True, persists)
        assert "error: stop it, reset it, then enable it" in self.drive_until_problem(bench, 1.0)
        assert "a reset clears only a stop" in bench.client.request("reset").result(10).reason
        assert bench.client.request("stop").result(10).done
        answer = bench.client.request("reset").result(10)
        assert answer.done != persists
        assert persists == ("an error persists after the reset" in answer.reason)

    def test_speed_beyond_the_limits_of_a_real_arm_is_rejected(self, bench: RealBench) -> None:
        bench.arm.drive("velocity", [0.4, 0.3, 0.4, 0.4, 0.8, 0.8, 1.1])
        self.wait(bench, 0.1)  # the first cycle may be over already
        assert "the hand's speed must be in [0, 0.25] m/s" in bench.arm.problem()

    def drive_until_problem(self, bench: RealBench, seconds: float) -> str:
        """Command as one that does not look, and return the first problem, which must come."""
        for _ in range(round(seconds / CYCLE_S)):
            bench.arm.drive("velocity", [0.2, 0, 0, 0, 0, 0, 0])
            bench.cycle()
            if found := bench.arm.problem():
                return found
        raise AssertionError(f"no problem within {seconds} s")

    def moves_only_after_a_hold(self, bench: RealBench) -> bool:
        """Whether the arm, now well again, stands whatever is commanded, and moves after `hold`."""
        end_s = time.monotonic() + 2.0
        while bench.client.state().state.problem and time.monotonic() < end_s:
            bench.arm.drive("velocity", [0.2, 0, 0, 0, 0, 0, 0])
            bench.cycle()
        before, told = bench.truth()[0][0], []
        for _ in range(10):
            self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], CYCLE_S)
            told.append(bench.client.state().state.rejection)
        assert any("meanwhile" in why for why in told), told  # a command that is late is rejected for that, first
        assert bench.truth()[0][0] == pytest.approx(before, abs=0.005)
        bench.arm.hold()
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.5)
        return bench.truth()[0][0] - before > 0.05

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_worker_that_dies_or_freezes_stops_the_arm_and_is_told(
        self, bench: RealBench, number: signal.Signals
    ) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        os.kill(bench.worker(), number)
        self.wait(bench, STANDSTILL_S + CYCLE_S)  # what the robot did in the meantime is looked at a cycle later
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        assert "worker" in bench.arm.problem()
        if number == signal.SIGSTOP:
            os.kill(bench.worker(), signal.SIGCONT)
            self.wait(bench, 0.5)
            assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_nothing_is_enabled_without_a_person(self, bench: RealBench) -> None:
        bench.robot.rest()
        time.sleep(0.2)
        assert "enable them" in bench.arm.problem()
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.3)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        assert not bench.robot.ask("facts")["enabled"]

    def test_torque_has_to_be_allowed(self, bench: RealBench) -> None:
        for _ in range(3):
            bench.arm.drive("torque", np.full(7, 0.1))
            bench.cycle()
        assert "torque is not allowed" in bench.arm.problem()

    def test_robot_keeps_our_time_out(self, bench: RealBench) -> None:
        assert bench.robot.ask("facts")["timeout_s"] == pytest.approx(0.15)
