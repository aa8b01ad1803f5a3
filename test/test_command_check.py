"""Every reason for the rejection of a command, and the behaviour of the arm."""

from dataclasses import replace

import numpy as np
import pytest
from control_for_tests import CHECK, GOOD, VELOCITY, ControlBench

from tdm_ros.control.timeline import Source, State
from tdm_ros.robots.sawyer import JOINT_NAMES, NEUTRAL_RAD

NAN = np.array([0.1, np.nan, 0, 0, 0, 0, 0])
BAD = {
    "not finite": replace(GOOD, values=NAN),
    "infinite": replace(GOOD, values=np.full(7, np.inf)),
    "too few values": replace(GOOD, values=np.zeros(6)),
    "no values": replace(GOOD, values=[]),
    "unknown joint": replace(GOOD, joint_names=("left_j0", *JOINT_NAMES[1:])),
    "duplicate joint": replace(GOOD, joint_names=(JOINT_NAMES[1], *JOINT_NAMES[1:])),
    "missing joint": replace(GOOD, joint_names=JOINT_NAMES[1:]),
    "wrong mode": replace(GOOD, mode=1),
    "unknown source": replace(GOOD, source=77),
    "source only for the arm": replace(GOOD, source=int(Source.RESET)),
    "ten seconds old": replace(GOOD, age_s=10.0),
    "from the future": replace(GOOD, age_s=-10.0),
    "age not a number": replace(GOOD, age_s=float("nan")),
    "old cycle": replace(GOOD, cycle=5),
    "future cycle": replace(GOOD, cycle=8),
}


@pytest.mark.parametrize("cycle", [6, 7])
def test_check_current_or_previous_cycle_is_accepted(cycle: int) -> None:
    values, problem = CHECK.values(replace(GOOD, cycle=cycle), cycle=7)
    assert values is not None and problem == ""


def test_check_joints_in_another_order_are_reordered() -> None:
    wanted = np.arange(7.0)
    mixed = [3, 1, 6, 0, 2, 5, 4]
    shuffled = replace(GOOD, joint_names=[JOINT_NAMES[i] for i in mixed], values=wanted[mixed])
    values, _ = CHECK.values(shuffled, cycle=7)
    assert values is not None
    np.testing.assert_array_equal(values, wanted)


class Bench(ControlBench):
    """In an episode since the cycle before."""

    def __init__(self) -> None:
        super().__init__()
        self.tell(State.RUNNING, episode=1, length=50)
        self.tick()  # the cycle in which the announcement arrived is cut


def test_control_command_in_its_own_cycle_counts_as_answered() -> None:
    bench = Bench()
    assert bench.command() == ""
    report = bench.tick()
    assert report.answered and report.expected and report.source == Source.POLICY and report.episode == 1
    assert report.executed.action[0] == pytest.approx(0.2 / VELOCITY.scale[0] * 24 / 25, rel=1e-5)


def test_control_late_command_moves_the_arm_but_is_no_answer() -> None:
    bench = Bench()
    bench.tick()
    assert bench.command(cycle=bench.control.cycle - 1) == ""
    assert not bench.tick().answered


def test_control_commands_stop_arm_holds_after_a_tenth_of_a_second() -> None:
    bench = Bench()
    bench.command()
    reports = [bench.tick() for _ in range(4)]
    assert [r.source for r in reports] == [Source.POLICY, Source.POLICY, Source.SAFETY, Source.SAFETY]
    assert "no command for 0.1 s" in reports[-1].hold_reason
    assert reports[3].executed.action.max() == 0.0
    assert bench.speed() < 0.01


@pytest.mark.parametrize("what", BAD)
def test_control_bad_command_makes_a_moving_arm_hold(what: str) -> None:
    bench = Bench()
    while bench.control.cycle < GOOD.cycle:
        bench.command()
        bench.tick()
    bench.command()
    assert bench.control.receive(BAD[what], bench.now_s + 0.01)
    report = bench.tick()
    assert report.source == Source.SAFETY and "rejected" in report.hold_reason
    bench.tick()
    assert bench.speed() < 0.01
    for _ in range(2):  # the first of them still began held
        assert bench.command() == ""
        report = bench.tick()
    assert report.source == Source.POLICY and report.hold_reason == ""


def test_control_paused_commands_are_ignored_and_not_expected() -> None:
    bench = Bench()
    bench.tell(State.PAUSED)
    assert "not running" in bench.command()
    bench.tick()
    report = bench.tick()
    assert not report.expected and report.episode == 0 and "paused" in report.hold_reason


def test_control_change_within_a_cycle_cuts_it_out_of_the_episode() -> None:
    bench = Bench()
    bench.tick()
    bench.tell(State.PAUSED)
    assert bench.tick().episode == 0


def test_control_next_episode_announced_ahead_loses_no_cycle() -> None:
    bench = Bench()
    bench.tell(State.RUNNING, episode=2, start=4)
    episodes = []
    for _ in range(4):
        bench.command(episode=1 if bench.control.cycle < 4 else 2)
        episodes.append(bench.tick().episode)
    assert episodes == [1, 1, 2, 2]


def test_control_episode_over_its_length_holds() -> None:
    bench = Bench()
    bench.tell(State.RUNNING, episode=1, start=0, length=3)
    bench.command()
    bench.tick()
    assert "not running" in bench.command()
    report = bench.tick()
    assert report.hold_reason == "hold: episode over, nothing announced" and not report.expected


def test_control_silent_supervisor_makes_the_arm_hold() -> None:
    bench = Bench()
    for _ in range(22):
        bench.command()
        report = bench.tick()
    assert "no message of the supervisor" in report.hold_reason


def test_control_resetting_drives_home_from_anywhere() -> None:
    bench = Bench()
    bench.arm.reset(NEUTRAL_RAD + 0.4)
    bench.tell(State.RESETTING)
    for _ in range(60):
        bench.tell(State.RESETTING)
        report = bench.tick()
    assert report.source == Source.RESET
    np.testing.assert_allclose(bench.arm.reading().q_rad, NEUTRAL_RAD, atol=0.03)
