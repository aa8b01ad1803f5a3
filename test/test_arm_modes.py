"""Modes of the arm: every transition of the table is taken, no input changes the mode otherwise, and each mode moves
the arm as its name says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from control_for_tests import ControlBench
from test_teleop import AHEAD

from tdm_ros.control.arm_control import ANNOUNCED_MODE
from tdm_ros.control.arm_modes import COMMANDED, RESUMED, STANDING, TRANSITIONS, ArmMode, Event, ModeChange, transition
from tdm_ros.control.timeline import Announcement, Source, State

M, E = ArmMode, Event
ROWS = [(source, row) for row in TRANSITIONS for source in row.sources]
STATES = {M.POLICY: State.RUNNING, M.HOMING: State.RESETTING, M.IDLE: State.PAUSED}
"""State of the supervisor that announces a mode."""


class Bench(ControlBench):
    """It keeps the changes of mode, and compares each with the table."""

    def __init__(self, latched: bool, deadman_required: bool = True) -> None:
        self.changes: list[ModeChange] = []
        super().__init__(fault_latched=latched, deadman_required=deadman_required, stop_hz=10.0)
        self.mode, self.episode = self.control.mode, 0
        self.deadman(True)

    def changed(self, change: ModeChange) -> None:
        assert change.source is self.mode, "a change that was not reported"
        assert (change.source, change.event, change.target) in {(s, r.event, r.target) for s, r in ROWS}
        assert change.reason
        self.mode = change.target
        self.changes.append(change)

    def announce(self, state: State) -> None:
        self.episode += state == State.RUNNING
        self.tell(state, self.episode if state == State.RUNNING else 0)

    def twist(self, twist: np.ndarray) -> None:
        self.control.receive_twist(twist, self.now_s)

    def deadman(self, held: bool) -> None:
        self.control.receive_deadman(held, self.now_s)

    def cuff(self, held: bool) -> None:
        self.arm.cuff = held
        self.control.pass_time(self.now_s)

    def cycle(self, late_s: float = 0.0) -> None:
        self.heartbeat()
        self.report = self.tick(late_s)

    def reach(self, mode: ArmMode, state: State) -> None:
        """Bring the arm into a mode while the supervisor is in ``state``."""
        self.announce(state)
        if mode is M.TELEOP or (mode is M.HELD and state not in ANNOUNCED_MODE):
            self.twist(AHEAD)
        if mode is M.HELD:
            self.deadman(False)
            self.deadman(True)
        if mode is M.GUIDED:
            self.cuff(True)
        if mode is M.FAULT:
            self.control.fault("test")
        assert self.control.mode is mode, self.changes


def cause(bench: Bench, source: ArmMode, event: Event, target: ArmMode) -> None:
    """Give the input of an event."""
    if event is E.ANNOUNCED:
        if source is M.GUIDED:
            bench.deadman(False)
        bench.announce(State.DISABLED if source is M.TELEOP else STATES[target])
    elif event is E.FAULT_CLEARED:
        bench.announce(State.FAULT)
        bench.announce(State.DISABLED)
    elif event is E.CUFF_RELEASED:
        bench.cuff(False)
    else:
        inputs = {
            E.COMMAND_EXECUTED: lambda: bench.command(0.0),
            E.COMMAND_FAILED: lambda: bench.command(0.0, values=np.full(7, np.nan)),
            E.CONTROL_TAKEN: lambda: bench.twist(AHEAD),
            E.CONTROL_RELEASED: lambda: bench.twist(np.zeros(6)),
            E.TELEOP_FAILED: lambda: bench.control.reject_teleop(bench.now_s),
            E.CUFF_HELD: lambda: bench.cuff(True),
            E.STOPPED: lambda: bench.deadman(False),
            E.FAULT_DETECTED: lambda: bench.control.fault("test"),
        }
        inputs[event]()


@pytest.mark.parametrize(("source", "row"), ROWS, ids=[f"{s.name}-{r.event.name}-{r.target.name}" for s, r in ROWS])
def test_every_transition_of_the_table_is_taken_by_an_input(source, row) -> None:  # type: ignore[no-untyped-def]
    bench = Bench(latched=bool(row.latched))
    state = STATES.get(source, STATES.get(row.target, State.RUNNING) if row.resumes else State.RUNNING)
    if row.event is E.ANNOUNCED and source not in STATES:
        state = State.RESETTING if row.target is M.POLICY else State.RUNNING
    if source is M.GUIDED and row.target is M.HELD:
        bench.reach(M.HELD, state)
        bench.cuff(True)
    else:
        bench.reach(source, state)
    bench.changes.clear()
    cause(bench, source, row.event, row.target)
    assert [(c.source, c.event, c.target) for c in bench.changes] == [(source, row.event, row.target)]


def test_transitions_are_unambiguous_and_a_fault_ends_only_in_idle_by_an_operator() -> None:
    for (mode, event), resumed, latched in product(product(M, E), RESUMED, (False, True)):
        rows = [row for row in TRANSITIONS if mode in row.sources and row.event is event]
        rows = [r for r in rows if (not r.resumes or r.target is resumed) and r.latched in (None, latched)]
        assert len(rows) <= 1 and all(row.target is not mode for row in rows)
    stops = {E.STOPPED: COMMANDED, E.COMMAND_FAILED: (M.POLICY,), E.TELEOP_FAILED: (M.TELEOP,)}
    for event, resumed, latched in product(stops, RESUMED, (False, True)):
        rows = [transition(mode, event, resumed, latched) for mode in stops[event]]
        assert all(row is not None and row.target in (M.HELD, M.FAULT) for row in rows), "an input that stops the arm"
    ends = [(M.TELEOP, E.CONTROL_RELEASED, STATES), (M.GUIDED, E.CUFF_RELEASED, RESUMED)]
    ends += [(mode, E.ANNOUNCED, STATES) for mode in (*STATES, M.HELD)]
    for mode, event, resumed in [(mode, event, resumed) for mode, event, modes in ends for resumed in modes]:
        row = transition(mode, event, resumed, latched=False)
        assert (row.target if row else mode) is resumed
    assert [(r.event, r.target) for s, r in ROWS if s is M.FAULT] == [(E.FAULT_CLEARED, M.IDLE)]
    assert {s for s, r in ROWS if r.event is E.FAULT_DETECTED} == set(M) - {M.FAULT}


def test_fault_is_not_cleared_by_an_announcement_that_is_not_in_effect_yet() -> None:
    bench = Bench(latched=True)
    bench.reach(M.FAULT, State.RUNNING)
    for state in (State.FAULT, State.DISABLED):
        bench.control.announce(Announcement(state, start_cycle=bench.control.cycle + 3), bench.now_s)
    assert bench.control.mode is M.FAULT
    for _ in range(4):
        bench.cycle()
    assert bench.control.mode is M.IDLE, "the repeated announcement has taken effect"


@pytest.mark.parametrize("latched", [False, True])
def test_no_input_changes_the_mode_outside_the_table_and_each_mode_moves_the_arm_as_named(latched: bool) -> None:
    """2,000 cycles of random inputs; `Bench.changed` compares every reported change with the table."""
    bench, rng = Bench(latched, deadman_required=False), np.random.default_rng(4)
    inputs = [
        *(lambda state=state: bench.announce(state) for state in (*State, *[State.RUNNING, State.RESETTING] * 2)),
        *[lambda: bench.command(0.0)] * 8,
        lambda: bench.command(0.0, values=np.full(7, np.inf)),
        *[lambda: bench.twist(AHEAD)] * 4,
        *[lambda: bench.twist(np.zeros(6))] * 2,
        lambda: bench.control.receive_engaged(bool(rng.integers(2)), bench.now_s),
        lambda: bench.control.reject_teleop(bench.now_s),
        lambda: bench.control.report_conflict("two", bench.now_s),
        lambda: bench.cuff(not bench.arm.cuff),
        lambda: setattr(bench.arm, "trouble", str(rng.choice(["", "", "", "e-stop"]))),
        lambda: bench.announce(State.FAULT) or bench.announce(State.DISABLED) or bench.announce(State.RUNNING),
        lambda: bench.cycle(late_s=0.3),
        *[bench.cycle] * 6,
    ]
    for _ in range(8000):
        inputs[rng.integers(len(inputs))]()
        control = bench.control
        assert control.mode is bench.mode, "a change that was not reported"
        state = control._announcement.state
        if control.mode in (M.POLICY, M.HOMING, M.IDLE):
            assert control.mode is ANNOUNCED_MODE.get(state, M.IDLE)
        assert bool(control._reason) <= (control.mode in (M.HELD, M.FAULT, M.GUIDED)), "a reason, and no hold"
        if control.mode in STANDING:
            assert not np.any(bench.arm.driven[-1:]), "an arm that stands was last commanded zero"
        if control.mode is M.TELEOP:
            assert state not in (State.DISABLED, State.FAULT)
        if getattr(bench, "report", None):
            assert bench.report.source != Source.POLICY or bench.report.episode or not bench.report.expected
    assert {change.target for change in bench.changes} == set(M)
