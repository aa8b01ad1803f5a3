"""An arm in a Gazebo world, as the stand-in shows one, does what every arm must do, whichever way time passes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from arm_contract import CYCLE_S, STANDSTILL_S, STILL_RAD_S, ArmContract
from ros1_bench import SimulatedRobot

from tdm_ros.intera.client import InteraClient, InteraError
from tdm_ros.robot.sawyer import NEUTRAL_RAD
from tdm_ros.sim.sawyer_sim import SUBSTEPS

pytest.importorskip("rclpy")
pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]  # the messages are built first

import rclpy  # noqa: E402
from ros_bench import Bench, bench  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tdm_ros.msg import ArmState, Episode  # noqa: E402

from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.gazebo_arm import GazeboArm  # noqa: E402
from tdm_ros.nodes.gazebo_topics import JointCommands  # noqa: E402

WORKER = [sys.executable, "-m", "tdm_ros.nodes.gazebo_worker"]


class GazeboBench:
    """A world, a worker, and an arm of this process; ``real``: time passes by itself."""

    def __init__(self, world: SimulatedRobot, namespace: str, env: dict[str, str], *words: str) -> None:
        self.world, self.real = world, "--lock-step" not in words
        world.ask("place", NEUTRAL_RAD.tolist())
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._node = rclpy.create_node("arm", namespace=namespace, context=self.context)
        self.client = InteraClient.start([*WORKER, "--namespace", namespace, *words], env)
        self.client.wait_ready()
        commands = JointCommands(self._node, "--by-torque" in words)
        self.arm: Any = GazeboArm(self.client, commands, not self.real)
        end_s = time.monotonic() + 10
        while commands.unheard() and time.monotonic() < end_s:
            time.sleep(0.01)
        assert not self.arm.problem()
        self._now_s, self._due_s = 0.0, time.monotonic()

    def close(self) -> None:
        self.client.close()
        self._node.destroy_node()
        self.context.try_shutdown()

    def now_s(self) -> float:
        return time.monotonic() if self.real else self._now_s

    def cycle(self) -> None:
        self._now_s += CYCLE_S
        if self.real:
            self._due_s = max(self._due_s + CYCLE_S, time.monotonic())
            time.sleep(max(0.0, self._due_s - time.monotonic()))
        else:
            self.arm.advance(SUBSTEPS)

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        q, qd = self.world.ask("truth")
        return np.array(q), np.array(qd)


@pytest.fixture(scope="module")
def running(start_world: Callable[..., SimulatedRobot]) -> SimulatedRobot:
    return start_world("/running")


@pytest.fixture(scope="module")
def paused(start_world: Callable[..., SimulatedRobot]) -> SimulatedRobot:
    return start_world("/paused", "paused")


def opened(world: SimulatedRobot, namespace: str, env: dict[str, str], *words: str) -> Iterator[GazeboBench]:
    for flag in ("frozen", "nan"):
        world.ask("set", flag, False)
    made = GazeboBench(world, namespace, env, *words)
    yield made
    made.close()


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
        """Gazebo goes on for ever with what it was told last: the arm's process must say zero."""
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

    def test_world_that_is_set_back_in_time_stops_the_arm_until_a_person_resets_it(self, bench: GazeboBench) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        bench.world.ask("set back")
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.3)
        assert "set back in time" in bench.arm.problem()
        assert np.abs(bench.truth()[1]).max() < STILL_RAD_S
        assert not bench.client.enable().result(5).done
        assert bench.client.reset().result(5).done and bench.client.enable().result(5).done
        self.wait(bench, 0.3)
        bench.arm.problem()
        assert bench.arm.problem() == "" and np.abs(bench.truth()[1]).max() < STILL_RAD_S

    def test_stop_is_a_software_e_stop(self, bench: GazeboBench) -> None:
        self.drive(bench, [0.2, 0, 0, 0, 0, 0, 0], 0.4)
        assert bench.client.stop().result(5).done
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
        assert "old" in problem or "did not make 50 steps" in problem
        bench.world.ask("set", "frozen", False)

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
    def test_torque_moves_the_joint_and_hold_stands(
        self, start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str]
    ) -> None:
        for made in opened(start_world("/torque", "torque"), "/torque", gazebo_env, "--by-torque"):
            before = made.truth()[0]
            for _ in range(10):
                made.arm.drive("torque", np.array([8.0, 0, 0, 0, 0, 0, 0]))
                made.cycle()
            assert made.truth()[0][0] - before[0] > 0.02 and made.arm.problem() == ""
            made.arm.hold()
            ArmContract.wait(made, 0.5)  # type: ignore[arg-type]
            assert np.abs(made.truth()[1]).max() < STILL_RAD_S
            before = made.truth()[0]
            ArmContract.drive(made, [0.2, 0, 0, 0, 0, 0, 0], 1.0)  # type: ignore[arg-type]
            assert made.truth()[0][0] - before[0] > 0.1, "the way home is by velocities, in this world too"


def test_gazebo_that_is_not_there_is_told(gazebo_env: dict[str, str]) -> None:
    client = InteraClient.start([*WORKER, "--namespace", "/nowhere"], gazebo_env)
    with pytest.raises(InteraError, match=r"gz/joint_states said nothing .*ros2 launch tdm_ros gazebo\.launch\.py"):
        client.wait_ready()
    client.close()


def test_ros_gz_that_is_missing_is_told() -> None:
    client = InteraClient.start([*WORKER, "--lock-step"], os.environ)
    with pytest.raises(InteraError, match=r"install ros_gz .* or take lock_step:=false"):
        client.wait_ready()
    client.close()


def start_again(made: Bench) -> None:
    """What a person does about a fault."""
    for name in ("clear_fault", "start"):
        client = made.node.create_client(Trigger, f"supervisor/{name}")
        made.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        made.until(answer.done)
        assert answer.result().success, answer.result().message


class TestWholeSystem:
    """The nodes live, with the arm in a world that begins with it stretched out; from there it drives home."""

    @pytest.fixture
    def made(
        self, start_world: Callable[..., SimulatedRobot], gazebo_env: dict[str, str], tmp_path: Any
    ) -> Iterator[Any]:
        with bench(tmp_path) as made:
            made.world = start_world(made.namespace)
            made.start("arm", environment=gazebo_env, sim="gazebo")
            for node in ("policy", "planner", "collector"):
                made.start(node, **({"run_dir": tmp_path} if node == "collector" else {}))
            made.start("supervisor", run_dir=tmp_path, duration_min=0, evaluate_goals=0, reset_every=1000)
            made.states = made.collect(ArmState, "arm_state", qos.STATE_HISTORY)
            made.told = made.collect(Episode, "episode", qos.EPISODE)

            def runs() -> bool:
                return bool(made.states) and made.states[-1].source == ArmState.SOURCE_RANDOM

            def runs_or_not() -> bool:
                return runs() or (bool(made.told) and made.told[-1].state == Episode.FAULT)

            made.until(runs_or_not, 60)
            if not runs():  # six processes that start on two busy cores may hold the worker up, which is a fault
                made.spin(3.0)
                start_again(made)
                made.until(runs_or_not, 60)
            assert runs(), f"a fault again: {made.told[-1].reason}"
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
        states, told = made.states, made.told  # type: ignore[attr-defined]
        world.ask("set", "paused", True)
        made.until(lambda: "old" in states[-1].fault, 5)
        made.until(lambda: told[-1].state == Episode.FAULT, 5)
        at = world.trace().q_rad[-1]
        made.spin(0.5)
        world.ask("set", "paused", False)
        made.spin(0.5)
        assert told[-1].state == Episode.FAULT and np.abs(world.trace().q_rad[-1] - at).max() < 0.02
        start_again(made)
        made.until(lambda: states[-1].source == ArmState.SOURCE_RANDOM, 30)
