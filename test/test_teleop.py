"""Teleoperation: when the operator is in control, what has priority over them, and which source a cycle has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from control_for_tests import GOOD, PERIOD_S, VELOCITY, ControlBench

from tdm_ros.control.teleop import Presses, TeleopInput, TeleopSettings, twist_problem
from tdm_ros.control.timeline import Source, State
from tdm_ros.robots.sawyer import NEUTRAL_RAD

AHEAD = np.array([0.1, 0, 0, 0, 0, 0])
SETTINGS = TeleopSettings()


class Bench(ControlBench):
    """In an episode since the cycle before, with a policy that answers every cycle, and an operator."""

    def __init__(self, actuation: str = "velocity", **settings: object) -> None:
        super().__init__(actuation, **settings)
        self.tell(State.RUNNING, episode=1)
        self.cycle()

    def cycle(self, twist=None, answer: bool = True, after_s: float = 0.001):  # type: ignore[no-untyped-def]
        """Let a cycle pass in which the operator asks for ``twist``; returns why it is not executed, and the report."""
        self.heartbeat()
        why = "" if twist is None else self.control.receive_twist(twist, self.now_s + after_s)
        if answer and self.control.timeline.newest.state == State.RUNNING:
            self.command(after_s + 0.001)
        return why, self.tick()


def test_input_is_active_while_its_messages_are_new_and_it_moves_or_is_engaged() -> None:
    device = TeleopInput(SETTINGS)
    assert not device.active(0.0)
    device.set_twist(AHEAD, 1.0)
    assert device.active(1.0) and device.active(1.149) and not device.active(1.15)
    device.set_twist(np.zeros(6), 2.0)
    assert not device.active(2.0), "a zero twist"
    device.set_engaged(True, 2.0)
    assert device.active(2.0) and device.active(2.1), "at rest, and engaged"
    device.set_twist(np.zeros(6), 2.14)
    assert not device.active(2.2), "the message that it is engaged is old"
    device.set_engaged(True, 3.0)
    assert not device.active(3.0), "engaged without a velocity"
    device.set_twist(AHEAD, 3.0)
    device.clear()
    assert not device.active(3.0)


def test_input_rotation_alone_is_active_and_too_fast_a_twist_is_scaled_down() -> None:
    device = TeleopInput(SETTINGS)
    device.set_twist([0, 0, 0, 0, 0, 0.1], 0.0)
    assert device.active(0.0)
    device.set_twist([30, 40, 0, 0, 0, 0], 0.0)
    assert device.twist[:2] == pytest.approx([0.18, 0.24])


@pytest.mark.parametrize(
    ("twist", "age_s", "words"),
    [
        (AHEAD * np.nan, 0.0, "not finite"),
        (AHEAD, 0.2, "too old"),
        (AHEAD, -0.2, "future"),
        (AHEAD, np.nan, "future"),
        (AHEAD, 0.1, ""),
    ],
)
def test_twist_that_is_rejected_has_a_reason(twist, age_s: float, words: str) -> None:  # type: ignore[no-untyped-def]
    assert words in twist_problem(twist, age_s, SETTINGS) and bool(words) == bool(twist_problem(twist, age_s, SETTINGS))


def test_operator_in_an_episode_moves_the_hand_as_requested_and_the_policy_does_not() -> None:
    bench = Bench()
    before = bench.hand()
    reports = [bench.cycle(AHEAD)[1] for _ in range(10)]
    assert {r.source for r in reports} == {Source.HUMAN} and {r.episode for r in reports} == {1}
    assert all(r.answered and not r.hold_reason for r in reports), "the policy keeps up, and nothing holds"
    np.testing.assert_allclose(bench.hand() - before, [0.05, 0, 0], atol=0.008)


@pytest.mark.parametrize("state", [State.HOLD, State.PAUSED, State.DONE, State.RESETTING])
def test_operator_moves_the_arm_in_every_other_state_of_the_supervisor(state: State) -> None:
    bench = Bench()
    bench.tell(state)
    bench.cycle()
    before = bench.hand()
    reports = [bench.cycle(AHEAD)[1] for _ in range(10)]
    assert [r.source for r in reports[1:]] == [Source.HUMAN] * 9 and {r.episode for r in reports} == {0}
    assert bench.hand()[0] - before[0] > 0.03


@pytest.mark.parametrize("state", [State.DISABLED, State.FAULT])
def test_operator_never_moves_an_arm_that_is_disabled_or_at_fault_and_must_release_afterwards(state: State) -> None:
    bench = Bench()
    bench.cycle(AHEAD)
    bench.tell(state)
    for _ in range(5):
        why, report = bench.cycle(AHEAD)
        assert state.name.lower() in why and report.executed.action.max() == 0.0
    bench.tell(State.HOLD)
    why, report = bench.cycle(AHEAD)
    assert why == "release the control first" and report.source != Source.HUMAN and bench.speed() < 0.01
    for _ in range(4):
        bench.cycle()
    assert bench.cycle(AHEAD)[1].source == Source.HUMAN


def test_operator_moves_nothing_without_messages_of_the_supervisor() -> None:
    bench = Bench()
    bench.cycle(AHEAD)
    bench.now_s += 2.0
    bench.control.tick(bench.now_s)
    assert "no message of the supervisor" in bench.control.receive_twist(AHEAD, bench.now_s + 0.01)
    assert not np.any(bench.arm.driven[-1])


def test_operator_moves_nothing_in_a_hold_whose_supervisor_is_silent() -> None:
    bench = Bench()
    bench.tell(State.DISABLED)
    bench.cycle()
    bench.tell(State.HOLD)
    assert bench.cycle(AHEAD)[0] == ""
    bench.cycle(np.zeros(6))
    for _ in range(25):
        bench.tick()
    assert "no message of the supervisor" in bench.control.receive_twist(AHEAD, bench.now_s)


@pytest.mark.parametrize("how", ["zero", "silent", "invalid"])
def test_operator_releases_and_the_arm_stands_within_150_ms(how: str) -> None:
    bench = Bench()
    bench.tell(State.PAUSED)
    for _ in range(5):
        bench.cycle(AHEAD)
    last_s = bench.now_s - PERIOD_S + 0.001
    sent = len(bench.arm.driven)
    if how == "zero":
        bench.control.receive_twist(np.zeros(6), last_s + 0.02)
    elif how == "invalid":
        bench.control.reject_teleop(last_s + 0.02)
    wake_s = bench.control.wake_s()
    assert wake_s <= last_s + 0.15 or how != "silent"
    bench.control.pass_time(last_s + 0.15)
    assert not np.any(bench.arm.driven[-1]) and len(bench.arm.driven) > sent, "zero was commanded, at the latest now"


def test_engaged_hand_that_is_stopped_stands_before_the_cycle_is_over() -> None:
    made = Bench()
    for _ in range(10):
        made.cycle(AHEAD)
        made.control.receive_engaged(True, made.now_s)
    moving = made.speed()
    assert made.control.receive_twist(np.zeros(6), made.now_s + 0.001) == ""
    made.control.pass_time(made.now_s + 0.03)
    assert made.speed() < 0.1 * moving
    _, report = made.cycle(np.zeros(6))
    assert report.source == Source.HUMAN and made.speed() < 0.01


def test_hand_back_is_slow_and_the_policy_then_goes_on() -> None:
    bench = Bench()
    for _ in range(5):
        bench.cycle(AHEAD)
    bench.control.receive_twist(np.zeros(6), bench.now_s)
    reports = [bench.cycle()[1] for _ in range(8)]
    assert [r.source for r in reports] == [Source.POLICY] * 8
    shares = [r.executed.action[0] * VELOCITY.scale[0] / 0.2 for r in reports]
    assert shares[0] < 0.05 and shares[3] == pytest.approx(0.5, abs=0.06) and shares[7] == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("how", ["silent", "engaged, then silent", "invalid"])
@pytest.mark.parametrize("latch", [False, True])
def test_operator_whose_device_is_lost_is_not_followed_by_the_policy(how: str, latch: bool) -> None:
    bench = Bench(fault_latched=latch)
    for _ in range(5):
        if how.startswith("engaged"):
            bench.control.receive_engaged(True, bench.now_s)
        bench.cycle(np.zeros(6) if how.startswith("engaged") else AHEAD)
    if how == "invalid":
        bench.control.reject_teleop(bench.now_s + 0.001)
    reports = [bench.cycle()[1] for _ in range(12)]
    held = [report for report in reports if report.source == Source.SAFETY]
    assert len(held) >= 8 and reports[-1] is held[-1] and bench.speed() < 0.01
    assert Source.POLICY not in {report.source for report in reports}
    words = "are invalid" if how == "invalid" else "ended without a release of the control"
    assert words in reports[-1].hold_reason and (words in reports[-1].fault) == latch
    for state, episode in ((State.FAULT, 0), (State.DISABLED, 0), (State.RUNNING, 2)):  # an operator clears it
        bench.tell(state, episode)
    bench.cycle()
    assert bench.cycle()[1].source == Source.POLICY


@pytest.mark.parametrize("latch", [False, True])
def test_two_devices_that_drive_stop_the_policy_too_whatever_is_announced(latch: bool) -> None:
    bench = Bench(fault_latched=latch)
    for _ in range(5):
        bench.cycle(AHEAD)

    def disputed(cycles: int) -> list[Source]:
        found = []
        for _ in range(cycles):
            bench.control.report_conflict("teleop/twist has more than one publisher", bench.now_s + 0.001)
            found.append(bench.cycle()[1].source)
        return found

    assert disputed(3)[-1] == Source.SAFETY
    for state, episode in ((State.FAULT, 0), (State.DISABLED, 0), (State.RUNNING, 2)):
        bench.tell(state, episode)
    assert set(disputed(40)[1:]) <= {Source.SAFETY, Source.NONE} and bench.speed() < 0.01
    reports = [bench.cycle()[1] for _ in range(30)]
    assert "more than one publisher" in reports[0].hold_reason
    assert reports[-1].source == (Source.SAFETY if latch else Source.POLICY), "a second after the last of them"
    bench.tell(State.DISABLED)
    bench.tell(State.RUNNING, 3)
    bench.cycle()
    assert bench.cycle()[1].source == Source.POLICY


def test_drive_home_that_the_operator_took_over_does_not_continue_after_a_hold() -> None:
    bench = Bench(deadman_required=True)
    bench.arm.reset(NEUTRAL_RAD + 0.4)
    bench.tell(State.PAUSED)
    bench.tell(State.RESETTING)
    for twist in (None, None, None, AHEAD, AHEAD, AHEAD):
        bench.control.receive_deadman(True, bench.now_s)
        report = bench.cycle(twist)[1]
    assert report.source == Source.HUMAN
    bench.control.receive_deadman(False, bench.now_s)
    sent = len(bench.arm.driven)
    for _ in range(6):
        report = bench.cycle()[1]
    assert report.source == Source.SAFETY and not np.any(bench.arm.driven[sent:]), "the old way home came back"
    assert bench.speed() < 0.01


def test_operator_whose_device_was_lost_may_take_control_again() -> None:
    bench = Bench()
    for _ in range(5):
        bench.cycle(AHEAD)
    for _ in range(6):
        bench.cycle()
    assert bench.cycle()[1].source == Source.SAFETY
    assert bench.cycle(AHEAD)[0] == ""
    assert bench.cycle(AHEAD)[1].source == Source.HUMAN
    bench.control.receive_twist(np.zeros(6), bench.now_s)
    assert bench.cycle()[1].source == Source.POLICY, "now the control is released"


def test_cycle_in_which_the_operator_takes_over_is_theirs_and_its_action_is_the_mean_of_both() -> None:
    bench = Bench()
    bench.cycle()
    sent = len(bench.arm.driven)
    given = replace(GOOD, cycle=bench.control.cycle, values=np.full(7, 0.2))
    bench.control.receive(given, bench.now_s)
    bench.control.receive_twist(AHEAD, bench.now_s + 0.02)
    policy, operator = (np.array(v) for v in bench.arm.driven[sent:])
    bench.now_s += PERIOD_S
    report = bench.control.tick(bench.now_s)
    assert report.source == Source.HUMAN
    mean = (10 * policy + 15 * operator) / 25
    np.testing.assert_allclose(report.executed.action * VELOCITY.scale, mean, rtol=1e-5)


def test_takeover_of_a_drive_home_begins_with_the_next_cycle_so_that_no_action_is_of_two_kinds() -> None:
    bench = Bench()
    bench.arm.reset(NEUTRAL_RAD + 0.3)
    bench.tell(State.RESETTING)
    bench.cycle()
    _, report = bench.cycle(AHEAD, after_s=0.02)
    assert report.source == Source.RESET
    _, report = bench.cycle(AHEAD)
    assert report.source == Source.HUMAN
    bench.control.receive_twist(np.zeros(6), bench.now_s)
    bench.cycle()
    assert bench.cycle()[1].source == Source.RESET, "and the drive home goes on"


def test_limiter_is_the_same_for_the_operator() -> None:
    bench = Bench()
    for _ in range(80):
        _, report = bench.cycle(np.array([-0.3, 0, 0, 0, 0, 0]))
    assert report.executed.limited and "box" in report.executed.layer
    assert bench.hand()[0] > 0.14


def test_torques_cannot_execute_a_twist_which_is_reported() -> None:
    bench = Bench("torque")
    bench.tell(State.PAUSED)
    bench.cycle()
    why, report = bench.cycle(AHEAD)
    assert "driven by torques: choose actuation velocity" in why and report.source == Source.NONE


def test_deadman_not_held_stops_the_operator_who_then_must_release() -> None:
    bench = Bench(deadman_required=True)
    bench.tell(State.PAUSED)
    why, report = bench.cycle(AHEAD)
    assert why == "the deadman is not held" and report.executed.action.max() == 0
    for _ in range(4):
        bench.control.receive_deadman(True, bench.now_s)
        bench.cycle()
    bench.control.receive_deadman(True, bench.now_s)
    assert bench.cycle(AHEAD)[1].source == Source.HUMAN
    bench.control.receive_deadman(False, bench.now_s + 0.001)
    assert not np.any(bench.arm.driven[-1])
    bench.control.receive_deadman(True, bench.now_s + 0.002)
    assert bench.cycle(AHEAD)[0] == "release the control first"


def test_fault_of_the_arm_stops_the_operator() -> None:
    bench = Bench()
    bench.cycle(AHEAD)
    bench.arm.trouble = "the e-stop is pressed"
    why, report = bench.cycle(AHEAD)
    assert why == report.fault == "the e-stop is pressed" and report.source == Source.SAFETY


def test_policy_that_falls_silent_meanwhile_does_not_stop_the_operator() -> None:
    bench = Bench(stop_hz=10.0)
    reports = [bench.cycle(AHEAD, answer=False)[1] for _ in range(60)]
    assert {r.source for r in reports} == {Source.HUMAN} and not any(r.fault for r in reports)
    bench.control.receive_twist(np.zeros(6), bench.now_s)
    assert [bench.cycle(answer=False)[1].source for _ in range(4)][-1] == Source.SAFETY


def test_bad_command_of_the_policy_meanwhile_is_rejected_and_does_not_move_or_stop_the_arm() -> None:
    bench = Bench(fault_latched=True)
    bench.cycle(AHEAD)
    bad = replace(GOOD, cycle=bench.control.cycle, values=np.full(7, np.nan))
    bench.control.receive_twist(AHEAD, bench.now_s)
    assert bench.control.receive(bad, bench.now_s + 0.001) == "values not finite"
    assert bench.cycle(AHEAD)[1].source == Source.HUMAN


@pytest.mark.parametrize("latch", [False, True])
def test_guided_by_hand_the_action_is_the_measured_motion_and_nothing_is_commanded(latch: bool) -> None:
    bench = Bench(fault_latched=latch)
    bench.arm.cuff = True
    bench.cycle()
    sent = len(bench.arm.driven)
    shift = np.array([0.01, 0, -0.02, 0, 0, 0, 0.3])
    bench.arm.reset(bench.arm.reading().q_rad + shift)
    _, report = bench.cycle()
    # The simulation holds meanwhile, so that all that moved is what we moved it by, as its cycle began.
    assert report.source == Source.HUMAN and not np.any(bench.arm.driven[sent:])
    before = bench.control._cycle.start_rad
    bench.arm.reset(before + shift)
    bench.now_s += PERIOD_S
    report = bench.control.tick(bench.now_s)
    wanted = np.clip(shift / PERIOD_S / VELOCITY.scale, -1, 1)
    np.testing.assert_allclose(report.executed.action, wanted, atol=0.02)
    assert report.executed.limited and report.executed.action[6] == 1.0, "clipped, and reported"
    bench.arm.cuff = False
    sources = [bench.cycle()[1].source for _ in range(3)]
    assert sources[1:] == [Source.SAFETY if latch else Source.POLICY] * 2


def test_guided_by_hand_without_the_deadman_is_still_the_operators() -> None:
    bench = Bench(deadman_required=True)
    bench.tell(State.PAUSED)
    bench.arm.cuff = True
    reports = [bench.cycle()[1] for _ in range(4)]
    assert [r.source for r in reports[1:]] == [Source.HUMAN] * 3
    bench.tell(State.RUNNING, episode=2)
    reports = [bench.cycle()[1] for _ in range(3)]
    assert [r.source for r in reports] == [Source.HUMAN] * 3, "and the operator continues in an episode"
    bench.arm.cuff = False
    assert [bench.cycle()[1].source for _ in range(2)][-1] == Source.SAFETY


def test_buttons_are_events_when_they_go_down() -> None:
    presses = Presses()
    assert presses.events({"right_button_ok": 1}) == [], "held as we came"
    assert presses.events({"right_button_ok": 0}) == []
    assert presses.events({"right_button_ok": 1, "head_button_triangle": 2, "right_wheel": 7}) == ["success", "failure"]
    assert presses.events({"right_button_ok": 3}) == []


@pytest.mark.parametrize("mode", ["policy", "operator", "guided"])
@pytest.mark.parametrize("received", [True, False])
def test_cycle_in_which_the_machine_was_suspended_is_no_experience(mode: str, received: bool) -> None:
    bench = Bench()
    bench.arm.cuff = mode == "guided"
    twist = AHEAD if mode == "operator" else None
    normal = [bench.cycle(twist)[1].source for _ in range(3)][-1]
    assert normal == (Source.POLICY if mode == "policy" else Source.HUMAN)
    if received:  # what moves the arm arrived before; otherwise nothing did in this cycle
        bench.heartbeat()
        bench.command()
        assert twist is None or not bench.control.receive_twist(twist, bench.now_s + 0.003)
    report = bench.tick(late_s=5.0)
    assert report.source == Source.SAFETY
    assert bench.speed() < 0.02 or mode == "guided", "the arm holds"
    bench.tell(State.RUNNING, episode=1)
    assert mode != "guided" or [bench.cycle()[1].source for _ in range(2)][-1] == Source.HUMAN
