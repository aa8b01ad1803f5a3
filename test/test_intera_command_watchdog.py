"""Which command the worker follows, and for how long; on a clock that the test sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tdm_ros.drivers.intera.command_watchdog import Caps, CommandWatchdog, Output, hand_speed_m_s
from tdm_ros.drivers.intera.wire import Command
from tdm_ros.robots.kinematics import forward, jacobian
from tdm_ros.robots.sawyer import NEUTRAL_RAD, Q_LOWER_RAD, Q_UPPER_RAD

CAPS = Caps((1.0,) * 7, (5.0,) * 7)
GO = (0.2,) + (0.0,) * 6
ZERO = Output("velocity", (0.0,) * 7)


TICK_S = 1 / 128  # exact in binary; 19 of them are within hold_s, 13 within the time of stopping
STOP = "0" * 13 + "xxx"


class Case:
    """A watchdog, ticked at 128 Hz, that sends a state at each tick."""

    def __init__(self, caps: Caps = CAPS) -> None:
        self.watchdog, self.now_s, self.seq = CommandWatchdog(caps), 50.0, 0
        self.problem, self.fresh = "", True
        self.tick()

    def tick(self, times: int = 1) -> list[Output]:
        orders = []
        for _ in range(times):
            self.now_s += TICK_S
            orders.append(self.watchdog.step(self.now_s, self.problem, self.fresh))
            self.seq += 1
            self.watchdog.state_sent(self.seq, self.now_s)
        return orders

    def offer(self, seq: int, mode: str = "velocity", values: tuple = GO, **fields: object) -> str:
        command = replace(Command(seq, self.seq, mode, values), **fields)
        return self.watchdog.offer(command, self.now_s, self.problem)


def kinds(orders: list[Output]) -> str:
    """One letter for each order: v moves, 0 stops, x leaves, . nothing."""
    return "".join("0" if o == ZERO else {"": ".", "exit": "x"}.get(o.kind, "v") for o in orders)


def test_command_is_sent_again_and_again_then_zero_then_position_mode_then_nothing():
    case = Case()
    assert case.offer(1) == ""
    assert kinds(case.tick(40)) == "v" * 19 + STOP + "....."
    assert case.watchdog.phase == "idle"


def test_expired_command_never_comes_back():
    case = Case()
    case.offer(1)
    case.tick(20)
    assert case.offer(1) == "seq must be over 1, got 1"
    assert "v" not in kinds(case.tick(50))


def test_newer_command_follows_without_a_gap():
    case = Case()
    for seq in range(1, 20):
        assert not case.offer(seq)
        assert kinds(case.tick(5)) == "vvvvv"
    assert case.watchdog.command_seq == 19


def test_keeper_that_was_held_up_drops_what_was_in_force():
    case = Case()
    case.offer(1)
    case.tick(2)
    case.now_s += 14 * TICK_S  # within hold_s, had nobody looked
    assert kinds(case.tick(20)) == STOP + "...."


def test_command_that_answers_an_old_state_is_rejected():
    case = Case()
    case.tick()
    old = case.seq
    case.tick(16)
    assert "it answers a state from 0.12 s ago" in case.offer(1, state_seq=old)
    assert "unknown or long ago" in case.offer(2, state_seq=10**6)
    assert case.watchdog.rejected == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"values": (0.0, 1.1, 0, 0, 0, 0, 0)}, r"joint 1: velocity must be in [-1, 1] rad/s, got 1.1"),
        ({"mode": "torque"}, "torque is not allowed: start the worker with --allow-torque"),
        ({"mode": "position"}, 'mode must be "velocity" or "torque", got \'position\''),
        ({"hold_s": 0.5}, "hold_s must be in (0, 0.15] s, got 0.5"),
        ({"hold_s": 0.0}, "hold_s must be in (0, 0.15] s, got 0"),
    ],
)
def test_command_that_asks_for_too_much_is_rejected_and_ends_the_one_before(fields, says):
    case = Case()
    case.offer(1)
    case.tick()
    assert says in case.offer(2, **fields)
    assert kinds(case.tick(16)) == STOP[1:] + "."
    assert case.watchdog.rejection and case.watchdog.rejected == 1


def test_torque_within_its_cap_passes_where_it_is_allowed():
    case = Case(replace(CAPS, allow_torque=True))
    assert not case.offer(1, "torque", (4.9,) * 7)
    assert "joint 0: torque must be in [-5, 5] N m" in case.offer(2, "torque", (5.1,) * 7)


def test_robot_that_can_not_be_moved_rejects_and_stops():
    case = Case()
    case.offer(1)
    case.tick()
    case.problem = "the robot reports a collision"
    assert kinds(case.tick(1)) == "0"
    assert case.offer(2) == "the robot reports a collision"
    case.problem = ""
    assert "v" not in kinds(case.tick(20))


@pytest.mark.parametrize("moving", [True, False])
def test_robot_that_could_not_be_moved_for_one_tick_rejects_everything_until_it_is_acknowledged(moving):
    case = Case()
    if moving:
        case.offer(1)
        case.tick()
    case.problem = "the robot is stopped"
    case.tick()
    case.problem = ""
    for seq in (2, 3):
        assert "the arm could not be moved meanwhile (the robot is stopped): hold" in case.offer(seq)
        assert "v" not in kinds(case.tick(30))
    case.watchdog.acknowledge()
    assert case.offer(4) == "" and kinds(case.tick()) == "v"


def test_acknowledgement_of_what_goes_on_changes_nothing():
    case = Case()
    case.problem = "the robot is stopped"
    case.tick()
    case.watchdog.acknowledge()
    case.tick()
    case.problem = ""
    assert "meanwhile" in case.offer(1)


def test_speed_of_the_hand_is_bounded_whichever_joints_make_it():
    case = Case(replace(CAPS, hand_speed_m_s=0.25))
    q_rad = tuple(NEUTRAL_RAD.tolist())

    def says(*qd_rad_s: float) -> str:
        case.seq += 1
        case.watchdog.state_sent(case.seq, case.now_s)
        return case.watchdog.offer(Command(case.seq, case.seq, "velocity", qd_rad_s), case.now_s, "", q_rad)

    rng = np.random.default_rng(0)
    for _ in range(200):
        qd = rng.uniform(-0.5, 0.5, 7)
        speed = np.linalg.norm(jacobian(NEUTRAL_RAD)[:3] @ qd)
        assert bool(says(*qd.tolist())) == (speed > 0.25), speed
    assert says(0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0).startswith("the hand's speed must be in [0, 0.25] m/s, got 0.")
    assert says(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0) == "", "turning the hand on the spot is not motion of it"


def test_speed_of_the_hand_is_that_of_our_kinematics():
    rng = np.random.default_rng(1)
    for q_rad in rng.uniform(Q_LOWER_RAD, Q_UPPER_RAD, (50, 7)):
        for qd_rad_s in (*np.eye(7), *rng.normal(size=(7, 7))):
            speed_m_s = np.linalg.norm(jacobian(q_rad)[:3] @ qd_rad_s)
            assert hand_speed_m_s(tuple(q_rad), tuple(qd_rad_s)) == pytest.approx(speed_m_s, abs=1e-5)


def test_torque_that_makes_a_joint_or_the_hand_too_fast_is_ended() -> None:
    still, fast = (0.0,) * 7, (0.0, 0.0, -1.2, 0, 0, 0, 0)
    assert CAPS.overspeed(still, fast) == "joint 2 moves at -1.20 rad/s, at most 1 is allowed"
    assert CAPS.overspeed(still, (1.0,) * 7) == ""
    caps = replace(CAPS, hand_speed_m_s=0.25)
    reach_m = float(np.hypot(*forward(NEUTRAL_RAD).position_m[:2]))  # about the first joint
    for speed, said in ((0.26, "the hand moves at 0.26 m/s, at most 0.25 is allowed"), (0.24, "")):
        assert caps.overspeed(tuple(NEUTRAL_RAD), (speed / reach_m, 0, 0, 0, 0, 0, 0)) == said


def test_without_fresh_joints_position_mode_is_left_to_the_robot():
    case = Case()
    case.offer(1)
    case.tick()
    case.problem, case.fresh = "joint states are 0.11 s old", False
    assert kinds(case.tick(20)) == "0" * 13 + "." * 7
    assert case.watchdog.phase == "idle"


def test_drop_when_idle_sends_nothing():
    case = Case()
    case.watchdog.drop(case.now_s)
    assert kinds(case.tick(5)) == "....."


def test_command_while_stopping_is_followed():
    case = Case()
    case.offer(1)
    case.tick()
    case.watchdog.drop(case.now_s)
    case.tick(3)
    assert not case.offer(2)
    assert kinds(case.tick(2)) == "vv"
