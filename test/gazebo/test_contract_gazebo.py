"""An arm in a Gazebo world, as the stand-in shows one, does what every arm must do, whichever way time passes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from arm_contract import CYCLE_S, STANDSTILL_S, STILL_RAD_S, ArmContract
from ros1_bench import SimulatedRobot, wait_until

from tdm_ros.drivers.intera.client import InteraError, Reading
from tdm_ros.envs.arm_sim import SUBSTEPS
from tdm_ros.robots.description import Robot, load_robot
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD, SAWYER

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]  # the messages are built first

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode, WatchdogCommand  # noqa: E402

from tdm_ros.drivers.gazebo import GazeboArm, JointCommands  # noqa: E402
from tdm_ros.drivers.watchdog import WatchdogClient  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402

WORKER = [sys.executable, "-m", "tdm_ros.drivers.gazebo"]


class GazeboBench:
    """A world, a worker, and an arm of this process; ``real``: time passes by itself."""

    def __init__(
        self, world: SimulatedRobot, namespace: str, env: dict[str, str], *words: str, robot: Robot = SAWYER
    ) -> None:
        self.world, self.real = world, "--lock-step" not in words
        world.ask("place", robot.home_rad.tolist())
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._node = rclpy.create_node("arm", namespace=namespace, context=self.context)
        joints = len(robot.joint_names)
        self.client = WatchdogClient(self._node, [*WORKER, "--robot", robot.name, *words], env, joints)
        self.client.wait_ready()
        commands = JointCommands(self._node, "--by-torque" in words, robot)
        self.arm: Any = GazeboArm(self.client, commands, not self.real, robot)
        assert not self.arm.problem()
        self._now_s, self._due_s = 0.0, time.monotonic()

    def close(self) -> None:
        self.client.close()
        self._node.destroy_node()
        self.context.try_shutdown()

    def now_s(self) -> float:
        """Of the world: on a busy machine its time falls behind that of the wall, for good [s]."""
        return self.world.ask("facts")["steps"] / 1000 if self.real else self._now_s

    def cycle(self) -> None:
        self._now_s += CYCLE_S
        if not self.real:
            self.arm.advance(SUBSTEPS)
            return
        due_s = self.now_s() + CYCLE_S
        self._due_s = max(self._due_s + CYCLE_S, time.monotonic())
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        end_s = time.monotonic() + 0.1  # a world that stands still is not waited for
        while self.now_s() < due_s and time.monotonic() < end_s:
            time.sleep(0.001)

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        q, qd = self.world.ask("truth")
        return np.array(q), np.array(qd)


def client_in(namespace: str, env: Mapping[str, str], *words: str) -> Iterator[WatchdogClient]:
    """A client of a watchdog that may not start."""
    context = rclpy.Context()
    rclpy.init(context=context)
    client = WatchdogClient(rclpy.create_node("arm", namespace=namespace, context=context), [*WORKER, *words], env)
    yield client
    client.close()
    context.try_shutdown()


@pytest.fixture(scope="class")
def running(start_world: Callable[..., SimulatedRobot]) -> SimulatedRobot:
    return start_world("/running")


@pytest.fixture(scope="class")
def paused(start_world: Callable[..., SimulatedRobot]) -> SimulatedRobot:
    return start_world("/paused", "paused")


def cpu_s(pid: int) -> float:
    """Processor time that a process has used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def opened(
    world: SimulatedRobot, namespace: str, env: dict[str, str], *words: str, robot: Robot = SAWYER
) -> Iterator[GazeboBench]:
    for flag in ("frozen", "nan", "deaf"):
        world.ask("set", flag, False)
    made = GazeboBench(world, namespace, env, *words, robot=robot)
    try:
        yield made
    finally:
        made.close()  # else its watchdog would go on to send zeros to the world of the next test


class TestFreeRunning(ArmContract):
    @pytest.fixture
    def bench(self, running: SimulatedRobot, gazebo_env: dict[str, str]) -> Iterator[GazeboBench]:
        yield from opened(running, "/running", gazebo_env)

    @pytest.mark.parametrize("flag", ["frozen", "nan", "paused"])
    def test_joints_that_are_not_told_stop_the_arm(self, bench: GazeboBench, flag: str) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        bench.world.ask("set", flag, True)
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        assert "old" in bench.arm.problem()
        bench.world.ask("set", flag, False)
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        assert np.abs(bench.world.ask("facts")["command"]).max() == 0

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_worker_that_dies_or_freezes_stops_the_arm_and_is_told(
        self, bench: GazeboBench, number: signal.Signals
    ) -> None:
        """Gazebo goes on for ever with its last command: the arm's process must say zero."""
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        since_s = time.monotonic()
        os.kill(bench.client._process.pid, number)
        while time.monotonic() < since_s + 0.6:
            bench.arm.problem()
            time.sleep(0.005)
        took_s = bench.world.trace().standstill_s(since_s)
        print(f"worker {number.name}: the joints stood after {took_s:.3f} s")
        assert took_s < STANDSTILL_S
        assert "worker" in bench.arm.problem()
        bench.world.ask("set", "command", [0.2] * 7)  # its last word, which comes late
        bench.arm.reading()
        self.wait(bench, STANDSTILL_S)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        if number == signal.SIGSTOP:
            os.kill(bench.client._process.pid, signal.SIGCONT)
        self.wait(bench, 0.5)
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_worker_that_is_shut_down_stops_the_arm_although_commands_go_on(self, bench: GazeboBench) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        since_s = time.monotonic()
        os.kill(bench.client._process.pid, signal.SIGTERM)
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.6)
        took_s = bench.world.trace().standstill_s(since_s)
        print(f"worker SIGTERM: the joints stood after {took_s:.3f} s")
        assert took_s < STANDSTILL_S and "worker" in bench.arm.problem()

    @pytest.mark.parametrize("case", ["session", "six", "nan", "old state", "old number", "long validity"])
    def test_message_that_is_not_a_valid_command_of_this_client_moves_nothing(
        self, bench: GazeboBench, case: str
    ) -> None:
        commands = bench._node.create_publisher(WatchdogCommand, "arm_watchdog/command", 20)
        wait_until(commands.get_subscription_count, 10, "the watchdog has discovered this publisher")
        for _ in range(3):
            state = bench.client.state().state
            given = {"session": bench.client._session, "seq": 1000 + state.seq, "state_seq": state.seq}
            given |= {"action": "velocity", "values": [0.2] * 7, "valid_s": 0.15}
            wrong = {
                "session": {"session": given["session"] + 1},
                "six": {"values": [0.2] * 6},
                "nan": {"values": [0.2] * 6 + [float("nan")]},
                "old state": {"state_seq": max(state.seq - 40, 0)},
                "old number": {"seq": 0},
                "long validity": {"valid_s": 0.5},
            }[case]
            before = bench.client.state().state.rejected
            commands.publish(WatchdogCommand(**given | wrong))
            self.wait(bench, 0.15)
            state = bench.client.state().state
            assert state.rejected == before + (case != "session")
            assert state.command_seq < 1000 and np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_stop_is_a_software_e_stop(self, bench: GazeboBench) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        assert bench.client.request("stop").result(5).done
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.3)
        assert "stopped" in bench.arm.problem() and np.abs(bench.truth()[1]).max() < STILL_RAD_S


class TestLockStep(ArmContract):
    @pytest.fixture
    def bench(self, paused: SimulatedRobot, gazebo_env: dict[str, str]) -> Iterator[GazeboBench]:
        yield from opened(paused, "/paused", gazebo_env, "--lock-step")

    def test_time_passes_with_our_cycles_alone_and_exactly(self, bench: GazeboBench) -> None:
        before = bench.world.ask("facts")["steps"]
        for _ in range(10):
            bench.cycle()
        assert bench.world.ask("facts")["steps"] == before + 500
        time.sleep(0.3)
        assert bench.world.ask("facts")["steps"] == before + 500 and bench.arm.problem() == ""

    def test_world_that_makes_no_step_is_a_problem(self, bench: GazeboBench) -> None:
        bench.world.ask("set", "frozen", True)
        bench.arm.drive("velocity", np.full(7, 0.1))
        bench.cycle()
        problem = bench.arm.problem()
        assert "old" in problem or "did not make the 50 steps" in problem
        bench.world.ask("set", "frozen", False)

    def test_steps_that_come_late_are_made_before_new_ones_and_with_the_arm_at_rest(self, bench: GazeboBench) -> None:
        """Gazebo and its bridge freeze: the request waits in front of them, and nothing takes it back."""
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        before, at = bench.world.ask("facts")["steps"], bench.truth()[0]
        os.kill(bench.world._process.pid, signal.SIGSTOP)
        bench.cycle()
        problem = bench.arm.problem()
        bench.arm.hold()
        time.sleep(0.3)  # for the zero velocities to be on their way
        os.kill(bench.world._process.pid, signal.SIGCONT)
        assert "old" in problem or "did not make the 50 steps" in problem
        bench.cycle()
        facts = bench.world.ask("facts")
        assert (facts["steps"], facts["pending"]) == (before + 100, 0)
        assert bench.arm.problem() == ""
        assert np.abs(bench.truth()[0] - at).max() < 0.005, "0.01 rad if it had followed its last velocity"

    def test_request_that_is_lost_is_not_waited_for(self, bench: GazeboBench) -> None:
        before = bench.world.ask("facts")["steps"]
        bench.world.ask("set", "deaf", True)
        bench.cycle()
        assert "did not make the 50 steps" in bench.arm.problem()
        bench.world.ask("set", "deaf", False)
        bench.cycle()
        assert bench.world.ask("facts")["steps"] == before + 50
        assert bench.arm.problem() == ""

    def test_world_that_is_stepped_by_somebody_else_is_a_problem(self, bench: GazeboBench) -> None:
        bench.cycle()
        before = bench.world.ask("facts")["steps"]
        bench.world.ask("control", True, 30, False)
        wait_until(lambda: bench.world.ask("facts")["steps"] == before + 30, 10, "the world made its steps")
        time.sleep(0.1)  # for the worker to receive the last of them
        bench.cycle()
        assert "30 steps that this worker did not ask for" in bench.arm.problem()
        bench.cycle()
        assert bench.arm.problem() == "" and bench.world.ask("facts")["steps"] == before + 80

    def test_paused_world_keeps_its_worker_from_nothing_else(self, bench: GazeboBench) -> None:
        """It publishes 900 joint states per second. Handled one by one they took 0.4 of a core."""
        begin_s, before_s = time.monotonic(), cpu_s(bench.client._process.pid)
        time.sleep(4.0)
        used = (cpu_s(bench.client._process.pid) - before_s) / (time.monotonic() - begin_s)
        print(f"the worker used {used:.2f} of a core")
        assert used < 0.25

    def test_slow_world_makes_cycles_longer_and_the_motion_in_them_no_shorter(self, bench: GazeboBench) -> None:
        """A tenth of real time: no watchdog of the wall's time stops the arm within a step."""
        bench.world.ask("set", "step_takes_s", 0.01)
        before = bench.truth()[0]
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.25)
        problem = bench.arm.problem()
        bench.world.ask("set", "step_takes_s", 0.001)
        assert problem == "" and bench.truth()[0][0] - before[0] == pytest.approx(0.05, abs=0.005)

    def test_worker_that_dies_leaves_a_world_that_stands(self, bench: GazeboBench) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        os.kill(bench.client._process.pid, signal.SIGKILL)
        at = bench.truth()[0]
        bench.cycle()
        assert "worker" in bench.arm.problem()
        time.sleep(0.3)
        np.testing.assert_array_equal(bench.truth()[0], at)
        assert np.abs(bench.world.ask("facts")["command"]).max() == 0


class TestByTorque:
    @pytest.fixture(params=["running", "paused"])
    def bench(
        self, request: pytest.FixtureRequest, start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str]
    ) -> Iterator[GazeboBench]:
        namespace, words = f"/torque_{request.param}", ["--lock-step"] if request.param == "paused" else []
        world = start_world(namespace, "torque", request.param)
        try:
            yield from opened(world, namespace, gazebo_env, "--by-torque", *words)
        finally:
            world.close()

    def test_torque_moves_the_joint_and_hold_stands(self, bench: GazeboBench) -> None:
        before = bench.truth()[0]
        for _ in range(10):
            bench.arm.drive("torque", np.array([8.0, 0, 0, 0, 0, 0, 0]))
            bench.cycle()
        assert bench.truth()[0][0] - before[0] > 0.02 and bench.arm.problem() == ""
        bench.arm.hold()
        ArmContract.wait(bench, 0.5)  # type: ignore[arg-type]
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_worker_waits_for_a_world_that_has_published_nothing_yet(
        self, start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str]
    ) -> None:
        world = start_world("/late", "torque", "paused")
        world.ask("set", "frozen", True)
        with contextmanager(client_in)("/late", gazebo_env, "--lock-step", "--by-torque") as client:
            end_s = time.monotonic() + 30
            while not world.ask("facts")["steps"] and time.monotonic() < end_s:
                time.sleep(0.01)
            time.sleep(0.4)
            assert world.ask("facts")["steps"] == 1, "a world makes every step that was requested, however late"
            world.ask("set", "frozen", False)
            client.wait_ready()
        world.close()

    def test_velocity_on_the_way_home_is_kept(self, bench: GazeboBench) -> None:
        speeds = np.array([0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.2])
        before = bench.truth()[0]
        ArmContract.drive(bench, speeds, 1.0)  # type: ignore[arg-type]
        np.testing.assert_allclose(bench.truth()[0] - before, speeds, atol=0.1)
        if not bench.real:  # one torque for all 50 steps would swing the wrist by some rad/s
            assert np.abs(bench.world.trace().qd_rad_s[-500:] - speeds).max() < 0.1


class AnotherArm(ArmContract):
    robot = load_robot("ur5e")


def test_another_arm_is_at_home_where_its_joints_are_at_zero_and_does_what_every_arm_must(
    start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str]
) -> None:
    """One world and one worker, in lock-step: of the contract what depends on the robot."""
    contract, robot = AnotherArm(), AnotherArm.robot
    world = start_world("/ur5e", "paused", "robot:=ur5e")
    np.testing.assert_array_equal(world.ask("truth")[0], robot.home_rad)
    with contextmanager(opened)(world, "/ur5e", gazebo_env, "--lock-step", robot=robot) as made:
        np.testing.assert_allclose(made.arm.reading().q_rad, robot.home_rad, atol=1e-3)
        for test in (
            contract.test_reading_is_finite_true_fresh_and_in_order,
            contract.test_hand_is_where_the_joints_put_it,
            contract.test_hold_stands_in_time_and_stays,
        ):
            test(made)  # type: ignore[arg-type]
        for joint in (0, 5):
            contract.test_velocity_moves_this_joint_as_far_as_it_says(made, joint)  # type: ignore[arg-type]
        made.arm.drive("velocity", 1.1 * robot.velocity_rad_s)
        made.cycle()
        assert made.client.state().state.rejected and np.abs(made.truth()[1]).max() < STILL_RAD_S
        contract.test_close_leaves_it_at_rest(made)  # type: ignore[arg-type]


@pytest.mark.parametrize("gazebo", ["harmonic", "fortress"])
def test_world_that_is_set_back_in_time_stops_the_arm_until_a_person_resets_it(
    start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str], gazebo: str
) -> None:
    """In Fortress only the time goes back, and the arm would follow its velocity; else it is stretched out again."""
    with contextmanager(opened)(start_world(f"/reset_{gazebo}", gazebo), f"/reset_{gazebo}", gazebo_env) as made:
        ArmContract.drive(made, [0.2, 0, 0, 0, 0, 0, 0], 0.4)  # type: ignore[arg-type]
        made.world.ask("control", False, 0, True)
        ArmContract.drive(made, [0.2, 0, 0, 0, 0, 0, 0], 0.3)  # type: ignore[arg-type]
        assert "set back in time" in made.arm.problem()
        posture_rad = {"harmonic": np.zeros(7), "fortress": NEUTRAL_RAD + 0.1 * np.eye(7)[0]}[gazebo]
        np.testing.assert_allclose(made.truth()[0], posture_rad, atol=0.06)
        assert np.abs(made.truth()[1]).max() < STILL_RAD_S
        assert not made.client.request("enable").result(5).done
        assert made.client.request("reset").result(5).done and made.client.request("enable").result(5).done
        ArmContract.wait(made, 0.3)  # type: ignore[arg-type]
        made.arm.problem()
        assert made.arm.problem() == "" and np.abs(made.truth()[1]).max() < STILL_RAD_S


def test_world_in_lock_step_that_is_set_back_stops_the_arm_and_steps_exactly_afterwards(
    start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str]
) -> None:
    world = start_world("/reset_paused", "paused")
    with contextmanager(opened)(world, "/reset_paused", gazebo_env, "--lock-step") as made:
        ArmContract.drive(made, [0.2, 0, 0, 0, 0, 0, 0], 0.4)  # type: ignore[arg-type]
        made.world.ask("control", True, 0, True)
        wait_until(lambda: "set back in time" in made.arm.problem(), 5, "the worker sees it")
        made.arm.hold()
        assert made.client.request("reset").result(5).done and made.client.request("enable").result(5).done
        made.cycle()
        facts = made.world.ask("facts")
        assert (facts["time_ms"], facts["pending"]) == (50, 0)


@pytest.mark.any_speed
def test_gazebo_that_is_not_there_is_told(gazebo_env: dict[str, str]) -> None:
    with (
        contextmanager(client_in)("/nowhere", gazebo_env) as client,
        pytest.raises(InteraError, match=r"gz/joint_states published nothing .*ros2 launch tdm_ros gazebo\.launch\.py"),
    ):
        client.wait_ready()


def test_arm_is_not_there_before_each_controller_has_its_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("arm", namespace="/late", context=context)
    commands, received = JointCommands(node, by_torque=False), []

    def subscribe(*joints: str) -> None:
        for joint in joints:
            node.create_subscription(Float64, f"gz/{joint}/cmd_vel", received.append, 1)

    subscribe(*JOINT_NAMES[:-1])
    client: Any = SimpleNamespace(state=lambda: Reading(Mock(rejected=0), 0.0, ""))
    monkeypatch.setattr("tdm_ros.drivers.worker_arm._tip", lambda state, robot: np.zeros(3))
    monkeypatch.setattr("tdm_ros.drivers.watched_arm.FOUND_S", 0.5)
    with pytest.raises(InteraError, match=r"right_j6/cmd_vel has no subscriber .* nothing could stop the arm"):
        GazeboArm(client, commands, lock_step=False)
    late = Timer(0.3, subscribe, JOINT_NAMES[-1:])
    late.start()
    monkeypatch.setattr("tdm_ros.drivers.watched_arm.FOUND_S", 20.0)
    GazeboArm(client, commands, lock_step=False)
    assert commands.unmatched() == ""
    late.join()
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    wait_until(lambda: executor.spin_once(timeout_sec=0.01) or len(received) >= len(JOINT_NAMES), 5, "zeros arrive")
    assert {message.data for message in received} == {0.0}
    node.destroy_node()
    context.try_shutdown()


def test_ros_gz_that_is_missing_is_told() -> None:
    with (
        contextmanager(client_in)("/nowhere", os.environ, "--lock-step") as client,
        pytest.raises(InteraError, match=r"install ros_gz .* or take lock_step:=false"),
    ):
        client.wait_ready()


def start_again(made: Bench) -> None:
    """What a person does about a fault."""
    for name in ("clear_fault", "start"):
        client = made.node.create_client(Trigger, f"supervisor/{name}")
        made.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        made.until(answer.done)
        assert answer.result().success, answer.result().message


@contextmanager
def system(world: SimulatedRobot, made: Bench, env: dict[str, str], **arm: object) -> Iterator[Bench]:
    """The nodes live, with the arm in a world that begins with it stretched out; from there it has driven home."""
    made.world = world  # type: ignore[attr-defined]
    made.start("arm", environment=env, driver="gazebo", **arm)
    for node in ("policy", "planner", "collector"):
        made.start(node, **({"run_dir": made.folder} if node == "collector" else {}))
    made.start("supervisor", run_dir=made.folder, duration_min=".inf", evaluate_goals=0, reset_every=1000)
    made.states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)  # type: ignore[attr-defined]
    made.episodes = made.collect(Episode, "episode", qos.EPISODE)  # type: ignore[attr-defined]
    states, episodes = made.states, made.episodes  # type: ignore[attr-defined]

    def runs() -> bool:
        return bool(states) and states[-1].source == ArmState.SOURCE_RANDOM

    def runs_or_not() -> bool:
        return runs() or (bool(episodes) and episodes[-1].state == Episode.FAULT)

    made.until(runs_or_not, 90)
    faults = []
    while not runs() and len(faults) < 3:  # six processes that start on two busy cores may hold the worker up
        faults.append(episodes[-1].reason)
        made.spin(3.0)
        start_again(made)
        made.until(lambda: episodes[-1].state != Episode.FAULT)
        made.until(runs_or_not, 90)
    assert runs(), f"one fault after the other: {faults}"
    yield made


class TestWholeSystem:
    """A world that runs by itself."""

    @pytest.fixture
    def made(
        self, start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str], tmp_path: Path
    ) -> Iterator[Bench]:
        with bench(tmp_path) as made, system(start_world(made.namespace), made, gazebo_env):
            made.spin(1.0)
            yield made

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    def test_arm_node_that_dies_or_freezes_leaves_joints_that_stand(self, made: Bench, number: signal.Signals) -> None:
        world: SimulatedRobot = made.world  # type: ignore[attr-defined]
        since_s = time.monotonic()
        made.processes["arm"].send_signal(number)
        made.spin(0.8)
        took_s = world.trace().standstill_s(since_s)
        print(f"arm {number.name}: the joints stood after {took_s:.3f} s")
        made.processes["arm"].send_signal(signal.SIGCONT)
        assert 0 < took_s < STANDSTILL_S

    def test_world_that_is_paused_is_a_fault_that_a_person_clears(self, made: Bench) -> None:
        """Its time stands still; our heartbeats and watchdogs go on."""
        world: SimulatedRobot = made.world  # type: ignore[attr-defined]
        states, episodes = made.states, made.episodes  # type: ignore[attr-defined]
        world.ask("set", "paused", True)
        made.until(lambda: episodes[-1].state == Episode.FAULT, 5)
        if "old" not in states[-1].fault:  # a busy machine stopped it a moment before
            start_again(made)
        made.until(lambda: "old" in states[-1].fault and episodes[-1].state == Episode.FAULT, 5)
        at = world.trace().q_rad[-1]
        made.spin(0.5)
        world.ask("set", "paused", False)
        made.spin(0.5)
        assert episodes[-1].state == Episode.FAULT and np.abs(world.trace().q_rad[-1] - at).max() < 0.02
        start_again(made)
        made.until(lambda: states[-1].source == ArmState.SOURCE_RANDOM, 30)


def test_system_in_lock_step_drives_home_and_its_commands_come_in_time(
    start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str], tmp_path: Path
) -> None:
    """Gazebo takes 50 ms and more for the steps of a cycle: as much time is left for messages."""
    with bench(tmp_path) as made:
        world = start_world(made.namespace, "paused")
        with system(world, made, gazebo_env, lock_step=True):
            states: list[ArmState] = made.states  # type: ignore[attr-defined]
            first = len(states)
            made.until(lambda: sum(state.answered for state in states[first:]) >= 40, 60)
            assert not any(state.fault for state in states[first:])
            assert world.ask("facts")["pending"] <= 50
