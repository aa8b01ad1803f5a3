"""Modes of the arm and the only changes between them, as data; docs/nodes/arm.md prints the table and the diagram."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ArmMode(Enum):
    """What moves the arm, or why nothing does."""

    IDLE = "no motion is announced: the arm stands"
    POLICY = "commands of the policy are executed (RUNNING is announced)"
    HOMING = "the arm drives to its home posture (RESETTING is announced)"
    TELEOP = "twists of the operator are executed"
    GUIDED = "the operator moves the arm by its cuff; no command is executed"
    HELD = "the arm stands for a reason that is given, until that reason ends"
    FAULT = "the arm stands until an operator clears the fault"


STANDING = (ArmMode.IDLE, ArmMode.HELD, ArmMode.FAULT)
OPERATED = (ArmMode.TELEOP, ArmMode.GUIDED)
COMMANDED = (ArmMode.POLICY, ArmMode.HOMING, ArmMode.TELEOP)
"""Modes in which this package moves the arm; a released deadman ends each of them."""


class Event(Enum):
    """What can change the mode."""

    ANNOUNCED = "another state of the supervisor takes effect; in TELEOP and GUIDED: and excludes the operator"
    COMMAND_EXECUTED = "a valid command is executed"
    COMMAND_FAILED = "the next command is late or rejected"
    CONTROL_TAKEN = "the operator sends a twist or is engaged, and may move the arm"
    CONTROL_RELEASED = "the operator releases the control: a zero twist, or not engaged"
    TELEOP_FAILED = "twists end without a release, are unusable, or are rejected by the limiter"
    CUFF_HELD = "the cuff is held"
    CUFF_RELEASED = "the cuff is released"
    STOPPED = "the deadman is released, several devices command the arm, or the node is not active"
    FAULT_DETECTED = "the arm, its loop, its clock, its inputs or the rate of commands has a fault"
    FAULT_CLEARED = "DISABLED takes effect after FAULT was announced, and the arm has no problem"


RESUMED = {
    ArmMode.POLICY: "RUNNING is announced",
    ArmMode.HOMING: "RESETTING is announced",
    ArmMode.IDLE: "neither RUNNING nor RESETTING is announced",
    ArmMode.HELD: "there is a reason to hold",
}
"""Modes without operator and fault, and their conditions; exactly one of them holds, that of HELD first."""


@dataclass(frozen=True)
class Transition:
    """One change of mode: from any of ``sources``, on ``event``, to ``target``, under the guards."""

    sources: tuple[ArmMode, ...]
    event: Event
    target: ArmMode
    resumes: bool = False
    """Guard: the condition of ``target`` in `RESUMED` holds."""
    latched: bool | None = None
    """Guard: whether failed inputs are faults (parameter `fault.latched`)."""

    @property
    def condition(self) -> str:
        """The guards in words; "" without any."""
        if self.resumes:
            return RESUMED[self.target]
        return "" if self.latched is None else f"faults are {'' if self.latched else 'not '}latched"


_M, _E = ArmMode, Event
TRANSITIONS = (
    Transition((_M.IDLE, _M.HOMING, _M.GUIDED, _M.HELD), _E.ANNOUNCED, _M.POLICY, resumes=True),
    Transition((_M.IDLE, _M.POLICY, _M.GUIDED, _M.HELD), _E.ANNOUNCED, _M.HOMING, resumes=True),
    Transition((_M.POLICY, _M.HOMING, _M.TELEOP, _M.GUIDED, _M.HELD), _E.ANNOUNCED, _M.IDLE, resumes=True),
    Transition((_M.HELD,), _E.COMMAND_EXECUTED, _M.POLICY, latched=False),
    Transition((_M.POLICY,), _E.COMMAND_FAILED, _M.HELD, latched=False),
    Transition((_M.POLICY,), _E.COMMAND_FAILED, _M.FAULT, latched=True),
    Transition((_M.IDLE, _M.POLICY, _M.HOMING, _M.HELD), _E.CONTROL_TAKEN, _M.TELEOP),
    Transition((_M.TELEOP,), _E.CONTROL_RELEASED, _M.POLICY, resumes=True),
    Transition((_M.TELEOP,), _E.CONTROL_RELEASED, _M.HOMING, resumes=True),
    Transition((_M.TELEOP, _M.HELD), _E.CONTROL_RELEASED, _M.IDLE, resumes=True),
    Transition((_M.TELEOP,), _E.TELEOP_FAILED, _M.HELD, latched=False),
    Transition((_M.TELEOP,), _E.TELEOP_FAILED, _M.FAULT, latched=True),
    Transition((_M.IDLE, *COMMANDED, _M.HELD), _E.CUFF_HELD, _M.GUIDED),
    *(Transition((_M.GUIDED,), _E.CUFF_RELEASED, target, resumes=True) for target in RESUMED),
    Transition(COMMANDED, _E.STOPPED, _M.HELD),
    Transition(tuple(mode for mode in _M if mode is not _M.FAULT), _E.FAULT_DETECTED, _M.FAULT),
    Transition((_M.FAULT,), _E.FAULT_CLEARED, _M.IDLE),
)
"""Every change of mode. An event that has no row for the present mode does not change it."""


def transition(mode: ArmMode, event: Event, resumed: ArmMode, latched: bool) -> Transition | None:
    """The row that applies, given the mode of `RESUMED` whose condition holds; None: the mode stays."""
    rows = (row for row in TRANSITIONS if row.event is event and mode in row.sources)
    return next((r for r in rows if (not r.resumes or r.target is resumed) and r.latched in (None, latched)), None)


@dataclass(frozen=True)
class ModeChange:
    """One change of mode that happened, and its reason in words."""

    source: ArmMode
    event: Event
    target: ArmMode
    reason: str
