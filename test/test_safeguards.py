"""Safeguards of a real arm: a slow start, the deadman, commands that keep up, and faults that stay."""

from __future__ import annotations

import numpy as np
import pytest
from control_for_tests import VELOCITY, ControlBench

from tdm_ros.control.timeline import Announcement, Source, State
from tdm_ros.robots.sawyer import NEUTRAL_RAD


class Bench(ControlBench):
    """In an episode, with a policy that answers every cycle."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.tell(State.RUNNING, episode=1)

    def cycle(self, answer: bool = True, held: bool | None = None):  # type: ignore[no-untyped-def]
        """Let one cycle pass; returns why the command was rejected, and the report."""
        self.heartbeat()
        if held is not None:
            self.control.safeguards.set_deadman(held, self.now_s)
        problem = self.command() if answer else ""
        return problem, self.tick()


def shares(bench: Bench, cycles: int) -> list[float]:
    """Part of what was commanded that moved the arm, in each cycle."""
    full = 0.2 / VELOCITY.scale[0] * 24 / 25
    return [float(bench.cycle()[1].executed.action[0] / full) for _ in range(cycles)]


def test_safeguards_by_default_change_nothing() -> None:
    assert shares(Bench(), 3)[1:] == pytest.approx([1.0, 1.0], abs=0.05)


def test_ramp_rises_to_full_speed_after_each_start() -> None:
    bench = Bench(ramp_s=1.0)
    found = shares(bench, 22)
    assert found[0] < 0.05 and found[10] == pytest.approx(0.5, abs=0.06) and found[21] == pytest.approx(1.0, abs=0.05)
    bench.tell(State.PAUSED)
    bench.cycle(answer=False)
    bench.tell(State.RUNNING, episode=2)
    assert shares(bench, 2)[1] < 0.15, "a start after a pause is slow again"


def test_next_episode_without_a_stop_is_no_start() -> None:
    bench = Bench(ramp_s=0.2)
    shares(bench, 8)
    bench.tell(State.RUNNING, episode=2)
    assert shares(bench, 2)[1] == pytest.approx(1.0, abs=0.05)


def test_first_motion_is_slow_until_it_has_lasted_and_again_after_an_operator_stopped() -> None:
    bench = Bench(slow_start_scale=0.2, slow_start_s=0.5)
    found = shares(bench, 14)
    assert found[1:10] == pytest.approx([0.2] * 9, abs=0.02) and found[13] == pytest.approx(1.0, abs=0.05)
    bench.tell(State.PAUSED)
    bench.cycle(answer=False)
    bench.tell(State.RUNNING, episode=2)
    assert shares(bench, 2)[1] == pytest.approx(1.0, abs=0.05), "a pause is no new beginning"
    bench.tell(State.DISABLED)
    bench.cycle(answer=False)
    bench.tell(State.RUNNING, episode=3)
    assert shares(bench, 2)[1] == pytest.approx(0.2, abs=0.02)


def test_deadman_never_received_no_motion() -> None:
    bench = Bench(deadman_required=True)
    for _ in range(5):
        problem, report = bench.cycle()
        assert problem == "the deadman is not held"
    assert report.hold_reason == "the deadman is not held" and report.source == Source.SAFETY
    assert bench.speed() < 0.01


@pytest.mark.parametrize("how", ["released", "silent"])
def test_deadman_released_stops_within_a_quarter_of_a_second(how: str) -> None:
    bench = Bench(deadman_required=True)
    for _ in range(10):
        assert bench.cycle(held=True)[0] == ""
    assert bench.speed() > 0.1
    for _ in range(5):
        _, report = bench.cycle(held=False if how == "released" else None)
    assert report.source == Source.SAFETY and bench.speed() < 0.01


def test_deadman_not_held_the_drive_home_does_not_even_begin() -> None:
    bench = Bench(deadman_required=True)
    bench.arm.reset(NEUTRAL_RAD + 0.4)
    bench.tell(State.PAUSED)
    sent = len(bench.arm.driven)
    ahead = Announcement(State.RESETTING, start_cycle=bench.control.cycle + 2, reason="driving home")
    bench.control.announce(ahead, bench.now_s)
    for _ in range(4):
        _, report = bench.cycle(answer=False)
    assert report.source == Source.SAFETY and report.hold_reason == "the deadman is not held"
    assert bench.arm.driven[sent:] and not np.any(bench.arm.driven[sent:])


@pytest.mark.parametrize("lift_m", [0.0, 0.05])
def test_drive_home_begins_with_raising_the_hand(lift_m: float) -> None:
    bench = Bench(lift_m=lift_m)
    bench.arm.reset(NEUTRAL_RAD + np.array([0.5, 0.3, 0, 0, 0, 0, 0]))
    start_m = bench.arm.reading().hand_m
    bench.tell(State.PAUSED)
    bench.tell(State.RESETTING)
    way = []
    for _ in range(120):
        bench.cycle(answer=False)
        way.append(bench.arm.reading().hand_m)
    up, aside = np.array(way)[:, 2] - start_m[2], np.linalg.norm((np.array(way) - start_m)[:, :2], axis=1)
    if lift_m:
        assert aside[up < 0.04][:5].max() < 0.01, "straight up at first"
        assert up.max() > 0.045
    else:
        assert aside[:10].max() > 0.02
    assert np.abs(bench.arm.reading().q_rad - NEUTRAL_RAD).max() < 0.03


def test_drive_home_of_a_hand_that_can_not_rise_goes_on_after_a_while() -> None:
    bench = Bench(lift_m=0.5)
    bench.arm.reset(NEUTRAL_RAD + 0.2)
    bench.tell(State.PAUSED)
    bench.tell(State.RESETTING)
    for _ in range(260):
        bench.cycle(answer=False)
    assert np.abs(bench.arm.reading().q_rad - NEUTRAL_RAD).max() < 0.03


def test_deadman_released_within_a_cycle_stops_the_arm_then() -> None:
    bench = Bench(deadman_required=True)
    for _ in range(10):
        bench.cycle(held=True)
    bench.control.receive_deadman(False, bench.now_s + 0.001)
    assert bench.arm.driven[-1] == [0.0] * 7, "at once, not at the end of the cycle"


@pytest.mark.parametrize("state", [State.RUNNING, State.RESETTING])
def test_loop_that_was_held_up_sends_nothing_old_and_holds(state: State) -> None:
    bench = Bench(fault_latched=True)
    bench.arm.reset(NEUTRAL_RAD + 0.4)
    bench.tell(state, episode=1)
    for _ in range(3):
        bench.cycle(answer=state == State.RUNNING)
    sent = len(bench.arm.driven)
    bench.now_s += 0.8
    report = bench.control.tick(bench.now_s)
    assert bench.arm.driven[sent:] and not np.any(bench.arm.driven[sent:]), "zero, and nothing else"
    assert report.source == Source.SAFETY and report.hold_reason == "the arm's loop was held up for 0.75 s"
    _, report = bench.cycle(answer=state == State.RUNNING)
    assert report.fault and report.executed.action.max() == 0 and not np.any(bench.arm.driven[sent:])


def test_latch_a_command_that_is_missing_is_a_fault_until_an_operator_clears_it() -> None:
    bench = Bench(fault_latched=True)
    bench.cycle()
    for _ in range(4):
        bench.cycle(answer=False)
    for state, episode in ((State.PAUSED, 0), (State.RUNNING, 2)):
        bench.tell(state, episode)
    problem, report = bench.cycle()
    assert problem == "holding: no command for 0.1 s" == f"holding: {report.fault}"
    assert report.executed.action.max() == 0
    for state, episode in ((State.FAULT, 0), (State.DISABLED, 0), (State.RUNNING, 3)):
        bench.tell(state, episode)
    assert bench.cycle()[0] == ""


@pytest.mark.parametrize("state", [State.HOLD, State.RUNNING, State.RESETTING])
def test_latch_a_supervisor_that_was_silent_moves_nothing_until_an_operator_clears_it(state: State) -> None:
    bench = Bench(fault_latched=True, deadman_required=True)
    bench.tell(State.DISABLED)
    bench.tell(state, episode=int(state == State.RUNNING))
    for _ in range(3):
        bench.cycle(held=True)
    for _ in range(25):
        bench.control.receive_deadman(True, bench.now_s)
        bench.command()
        report = bench.tick()
    assert report.fault == "no message of the supervisor for 1 s"
    bench.tell(state, episode=int(state == State.RUNNING))  # it was frozen, and goes on
    sent = len(bench.arm.driven)
    for _ in range(10):
        bench.cycle(held=True)
    bench.tell(State.RUNNING, episode=2)
    _, report = bench.cycle(held=True)
    assert report.fault and not np.any(bench.arm.driven[sent:])
    for known, episode in ((State.FAULT, 0), (State.DISABLED, 0), (State.RUNNING, 3)):
        bench.tell(known, episode)
    assert bench.cycle(held=True)[0] == ""


@pytest.mark.parametrize("state", [State.DISABLED, State.PAUSED, State.DONE])
def test_latch_a_supervisor_that_is_silent_while_nothing_was_started_is_no_fault(state: State) -> None:
    bench = Bench(fault_latched=True)
    bench.tell(state)
    reports = [bench.tick() for _ in range(25)]
    assert not any(report.fault for report in reports)


def test_latch_a_released_deadman_is_no_fault_and_lasts_until_something_new_is_announced() -> None:
    bench = Bench(fault_latched=True, deadman_required=True)
    bench.cycle(held=True)
    bench.cycle(held=False)
    problem, report = bench.cycle(held=True)
    assert problem == "holding: the deadman is not held" and not report.fault
    bench.tell(State.PAUSED)
    bench.cycle(held=True, answer=False)
    bench.tell(State.RUNNING, episode=2)
    assert bench.cycle(held=True)[0] == ""


def test_too_few_commands_are_a_fault() -> None:
    bench = Bench(stop_hz=10.0)
    reports = [bench.cycle(answer=n % 3 == 0)[1] for n in range(60)]
    first = next(n for n, report in enumerate(reports) if report.fault)
    assert 38 <= first <= 42 and "of 20 commands per second" in reports[first].fault
    assert bench.cycle()[0].startswith("holding: only")


def test_fault_of_the_arm_stays_until_an_operator_clears_it() -> None:
    bench = Bench()
    for _ in range(5):
        bench.cycle()
    bench.arm.trouble = "the e-stop is pressed"
    problem, report = bench.cycle()
    assert problem == "holding: the e-stop is pressed" and report.fault == "the e-stop is pressed"
    bench.arm.trouble = ""
    for state, episode in ((State.PAUSED, 0), (State.RUNNING, 2), (State.FAULT, 0)):
        bench.tell(state, episode)
        assert bench.cycle()[1].fault, f"{state.name} does not clear it"
    bench.tell(State.DISABLED)
    assert not bench.cycle()[1].fault
    assert bench.speed() < 0.01, "to clear it starts nothing"
    bench.tell(State.RUNNING, episode=3)
    assert bench.cycle()[0] == ""


def test_fault_that_goes_on_can_not_be_cleared() -> None:
    bench = Bench()
    bench.arm.trouble = "a collision"
    bench.cycle()
    bench.tell(State.FAULT)
    bench.cycle()
    bench.tell(State.DISABLED)
    assert bench.cycle()[1].fault == "a collision"
