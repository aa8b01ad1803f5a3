"""The arm node over real DDS: its clock, its holds, and what it rejects."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from builtin_interfaces.msg import Time  # noqa: E402
from ros_bench import Bench  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from tdm_ros.msg import ArmState, Command, Episode  # noqa: E402

from tdm_ros.bringup.table import sections_of  # noqa: E402
from tdm_ros.control.timeline import Announcement, State  # noqa: E402
from tdm_ros.nodes import qos  # noqa: E402
from tdm_ros.nodes.arms import home_limits_of, limits_of, limits_with_tool, make_intera  # noqa: E402
from tdm_ros.nodes.convert import doubles, to_episode, to_stamp  # noqa: E402
from tdm_ros.nodes.parameters import (  # noqa: E402
    ArmParameters,
    HandBoxParameters,
    LimitParameters,
    LinkBoxParameters,
    build,
    check,
    specs_of,
)
from tdm_ros.robots.description import load_robot  # noqa: E402
from tdm_ros.robots.kinematics import forward  # noqa: E402
from tdm_ros.robots.limiter import Limits  # noqa: E402
from tdm_ros.robots.limits import REAL, REAL_LIMITS  # noqa: E402
from tdm_ros.robots.sawyer import JOINT_NAMES, SAWYER  # noqa: E402
from tdm_ros.tasks import SAWYER_REACH  # noqa: E402
from tdm_ros.tasks.pushing import push_setup  # noqa: E402

TASK = SAWYER_REACH["velocity"]


class Commander:
    """Plays supervisor and policy: announces one long episode, with the time of ``now``, and answers every state."""

    def __init__(self, made: Bench, now: Callable[[], Time] | None = None) -> None:
        self.bench = made
        self.now = now or (lambda: made.node.get_clock().now().to_msg())
        self.states: list[ArmState] = []
        self.answering = True
        self.change = lambda command: command
        self.commands = made.node.create_publisher(Command, "command", qos.COMMAND)
        self.episodes = made.node.create_publisher(Episode, "episode", qos.LATCHED)
        made.node.create_subscription(ArmState, "arm_state", self._on_state, qos.STATE)
        self.announced = Announcement(State.RUNNING, episode=1, length=10**6, goal=np.full(3, 0.4, np.float32))
        made.node.create_timer(0.2, self.announce)

    def announce(self) -> None:
        self.episodes.publish(to_episode(self.announced, TASK, self.now()))

    def _on_state(self, state: ArmState) -> None:
        self.states.append(state)
        if self.answering:
            self.commands.publish(self.change(self.answer(state)))

    def answer(self, state: ArmState) -> Command:
        values = np.full(7, 0.1 * np.sin(state.cycle / 10))
        names = list(JOINT_NAMES)
        return Command(
            header=state.header,
            run=state.run,
            cycle=state.cycle,
            episode=1,
            joint_names=names,
            values=doubles(values),
            source=1,
        )

    def moves(self) -> bool:
        return bool(self.states) and self.states[-1].source == ArmState.SOURCE_POLICY

    def speed(self) -> float:
        return float(np.abs(self.states[-1].velocity).max())


def test_arm_states_come_numbered_at_twenty_hertz_and_it_holds_within_150_ms_without_commands(
    commander: Commander,
) -> None:
    joints = commander.bench.collect(JointState, "joint_states")
    commander.bench.spin(2.0)
    cycles = [state.cycle for state in commander.states]
    assert cycles == list(range(cycles[0], cycles[-1] + 1))
    stamps = [s.header.stamp.sec + s.header.stamp.nanosec * 1e-9 for s in commander.states]
    assert np.median(np.diff(stamps)) == pytest.approx(0.05, abs=0.005)
    assert joints[-1].name == list(JOINT_NAMES)
    assert sum(s.answered for s in commander.states[5:]) >= 0.9 * len(commander.states[5:])
    commander.answering = False
    last = commander.states[-1].header.stamp
    begin_s = last.sec + last.nanosec * 1e-9
    commander.bench.until(lambda: commander.states[-1].source == ArmState.SOURCE_SAFETY, 5)
    first = commander.states[-1].header.stamp
    assert first.sec + first.nanosec * 1e-9 - begin_s < 0.1 + 0.05 + 0.05  # told by the state after the cycle
    commander.bench.spin(0.2)
    assert commander.speed() < 0.01
    assert "no command" in commander.states[-1].hold_reason
    commander.bench.until(lambda: commander.bench.values("arm").get("mode") == "HELD", 5)
    assert "mode POLICY -> HELD: no command for 0.1 s" in commander.bench.output("arm")


SLOW_PHYSICS = """
import sys, time
from tdm_ros.nodes import arm
from tdm_ros.envs.arm_sim import ArmSim
fast = ArmSim.advance
ArmSim.advance = lambda self, substeps: (time.sleep(0.0025 * substeps), fast(self, substeps))[1]
sys.exit(arm.main())
"""


def test_arm_whose_physics_is_slower_than_its_cycles_still_handles_messages(made: Bench) -> None:
    """62 ms for the physics of 50 ms: the deadline of the next cycle is past when that of the last one is done."""
    made.start("arm", program=SLOW_PHYSICS)
    player = Commander(made)
    made.until(lambda: bool(player.states) and player.states[-1].episode == 1)
    first = player.states[-1].cycle
    made.until(lambda: player.states[-1].cycle > first + 40)
    reasons = {state.hold_reason for state in player.states if state.cycle > first}
    assert not [reason for reason in reasons if "supervisor" in reason]
    player.announced = Announcement(State.PAUSED, reason="enough")
    made.until(lambda: "enough" in player.states[-1].hold_reason)


class PlayedClock:
    """Says a time of its own on /clock, a tenth slower than the wall's, until it stands still."""

    def __init__(self, made: Bench) -> None:
        self._publisher = made.node.create_publisher(Clock, "/clock", 10)
        self._s, self.stands = 1000.0, False
        made.node.create_timer(0.01, self._tick)

    def now(self) -> Time:
        return to_stamp(round(self._s * 1e9))

    def _tick(self) -> None:
        self._s += 0.0 if self.stands else 0.009
        self._publisher.publish(Clock(clock=self.now()))


def test_arm_in_simulated_time_stamps_with_it_and_is_held_by_the_walls(made: Bench) -> None:
    clock = PlayedClock(made)
    made.start("arm", use_sim_time=True)
    player = Commander(made, clock.now)
    made.until(lambda: bool(player.states) and player.states[-1].source == ArmState.SOURCE_POLICY)
    assert 1000 <= player.states[-1].header.stamp.sec < 1100
    clock.stands = True
    made.spin(1.0)
    assert player.states[-1].source == ArmState.SOURCE_POLICY, "a world that pauses stops no heartbeat"
    player.answering = False
    begin_s = time.monotonic()
    made.until(lambda: player.states[-1].source == ArmState.SOURCE_SAFETY, 5)
    assert time.monotonic() - begin_s < 0.25


BAD: dict[str, Callable[[Command], object]] = {
    "nan": lambda command: setattr(command, "values", doubles([np.nan] * 7)),
    "infinite": lambda command: setattr(command, "values", doubles([np.inf] * 7)),
    "sizes": lambda command: setattr(command, "values", doubles([0.1] * 9)),
    "names": lambda command: setattr(command, "joint_names", [f"left_j{i}" for i in range(7)]),
    "old": lambda command: setattr(command, "header", Header(stamp=to_stamp((command.header.stamp.sec - 10) * 10**9))),
    "mode": lambda command: setattr(command, "mode", Command.TORQUE),
}


@pytest.mark.parametrize("kind", BAD)
def test_arm_bad_commands_are_rejected_counted_said_rarely_and_it_holds(commander: Commander, kind: str) -> None:
    made = commander.bench
    commander.change = lambda command: (BAD[kind](command), command)[1]
    begin_s, before = time.monotonic(), made.output("arm").count("rejected (")
    made.spin(1.6)
    assert commander.speed() < 0.01 and commander.states[-1].source == ArmState.SOURCE_SAFETY
    made.until(lambda: sum(made.rejected("arm").values()) >= 20, 5)
    said = made.output("arm").count("rejected (") - before
    assert 1 <= said <= time.monotonic() - begin_s + 2
    commander.change = lambda command: command
    made.until(lambda: commander.states[-1].source == ArmState.SOURCE_POLICY, 5)


@pytest.mark.parametrize("field", ["task", "goal", "stamp", "state"])
def test_arm_foreign_or_broken_episode_is_rejected_and_it_holds(commander: Commander, field: str) -> None:
    made = commander.bench

    def announce() -> None:
        message = to_episode(commander.announced, TASK, made.node.get_clock().now().to_msg())
        if field == "task":
            message.task = "another task"
        elif field == "goal":
            message.goal.append(1.0)
        elif field == "stamp":
            message.header.stamp.sec -= 10
        else:
            message.state = 200
        commander.episodes.publish(message)

    commander.announce = announce  # type: ignore[method-assign]
    for timer in list(made.node.timers):
        made.node.destroy_timer(timer)
    made.node.create_timer(0.2, announce)
    made.until(lambda: "no message of the supervisor" in commander.states[-1].hold_reason, 5)
    made.until(lambda: any(why.startswith("episode") for why in made.rejected("arm")), 5)
    assert commander.speed() < 0.01


def test_limits_of_any_real_arm_are_those_of_the_check_and_a_tool_is_kept_off_the_table() -> None:
    values = dict(sections_of(Path(__file__).parents[1] / "config" / "arm_real.yaml"))["/**/arm"]
    for name in ("ur5e", "so101"):
        robot = load_robot(name)
        limits = limits_of(build(ArmParameters, values).limits, robot)
        assert {key: getattr(limits, key) for key in REAL} == REAL
        assert (limits.box_low_m, limits.box_high_m) == robot.hand_box_m and limits.clearance_m == 0.02
        setup = push_setup(robot)
        lowest = limits_with_tool(limits, setup).box_low_m[2]
        assert lowest - setup.tool_length_m > setup.tool_radius_m
        assert lowest < setup.tool_length_m + setup.half_height_m < forward(robot.home_rad, robot).position_m[2]


def real_parameters() -> ArmParameters:
    path = Path(__file__).parent.parent / "config" / "sawyer_real.yaml"
    specs, values = specs_of(ArmParameters), dict(sections_of(path))["/**/arm"]
    return build(ArmParameters, {name: check("arm", name, specs[name], value) for name, value in values.items()})


def test_limits_are_the_limiters_own_by_default_and_those_of_the_real_arm_in_its_file() -> None:
    assert limits_of(LimitParameters(), SAWYER) == Limits()
    assert limits_of(real_parameters().limits, SAWYER) == REAL_LIMITS


def test_home_limits_are_those_that_were_tested_and_keep_height_speed_and_clearance_of_a_real_arm() -> None:
    assert home_limits_of(Limits(), SAWYER) == Limits((0.15, -1.0, 0.02), (1.1, 1.0, 1.2))
    home = home_limits_of(limits_of(real_parameters().limits, SAWYER), SAWYER)
    assert home.box_low_m[2] == REAL_LIMITS.box_low_m[2]
    for name in ("links_low_m", "hand_speed_m_s", "clearance_m", "velocity_scale", "acceleration_scale", "delay_s"):
        assert getattr(home, name) == getattr(REAL_LIMITS, name)
    assert home.singular_m is None


def test_limits_of_a_delay_without_look_ahead_or_of_a_box_inside_out_are_rejected() -> None:
    with pytest.raises(ValueError, match="look_ahead_s"):
        limits_of(LimitParameters(command_delay_s=0.2), SAWYER)
    with pytest.raises(ValueError, match="must be below"):
        limits_of(LimitParameters(hand_box=HandBoxParameters(high_m=(0.1, 0.0, 0.1))), SAWYER)
    with pytest.raises(ValueError, match=r"link_box\.low_m and link_box"):
        limits_of(LimitParameters(link_box=LinkBoxParameters(enabled=True)), SAWYER)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"worker.address": "somewhere"}, "worker.address must be HOST:PORT, got 'somewhere'"),
        ({"worker.address": "127.0.0.1:1"}, "worker.secret_file must name the file"),
        ({"worker.address": "127.0.0.1:1", "worker.secret_file": "SECRET"}, "no worker answers at 127.0.0.1:1"),
        ({"worker.command": "/nowhere/python3"}, "the worker '/nowhere/python3' cannot be started"),
        ({"ros1.master_uri": "robot.local"}, "master_uri must be like http://robot.local:11311"),
    ],
)
def test_robot_that_is_not_to_be_had_is_said_in_a_sentence(tmp_path: Path, given: dict[str, str], words: str) -> None:
    if "worker.secret_file" in given:
        secret = tmp_path / "secret"
        secret.touch(0o600)
        secret.write_text("0" * 32)
        given = {**given, "worker.secret_file": str(secret)}
    with pytest.raises(ValueError, match=f"driver intera: {re.escape(words)}"):
        make_intera(build(ArmParameters, {"driver": "intera", **given}))
