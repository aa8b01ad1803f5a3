"""Control of the arm for the node `arm`: which input moves it in each cycle, and why it holds. Time is injected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import CommandCheck, ReceivedCommand
from tdm_ros.control.arm_modes import COMMANDED, OPERATED, ArmMode, Event, ModeChange, transition
from tdm_ros.control.safeguards import Safeguards, SafeguardSettings
from tdm_ros.control.teleop import TeleopInput, TeleopSettings
from tdm_ros.control.timeline import COMMANDED as EXPERIENCE
from tdm_ros.control.timeline import Announcement, Source, State, Timeline
from tdm_ros.robots.arm_cycle import ArmCycle, CycleResult, home_velocity
from tdm_ros.robots.kinematics import joint_velocity
from tdm_ros.robots.limiter import ArmReading


@dataclass(frozen=True)
class ArmTiming:
    """Period and physics steps of a cycle, and silence of commands and of the supervisor after which the arm holds."""

    period_s: float = 0.05
    substeps: int = 25
    command_timeout_s: float = 0.1
    supervisor_timeout_s: float = 1.0


@dataclass(frozen=True)
class CycleReport:
    """Result of one cycle."""

    executed: CycleResult
    episode: int
    """0 for none, and for a cycle in which the announcement changed."""
    source: Source
    answered: bool
    """A valid command for this cycle arrived within it."""
    expected: bool
    hold_reason: str
    """Empty while the arm moves."""
    fault: str
    """Empty without one. Only an operator clears it."""


SUPERVISOR_SILENT = "no message of the supervisor"
SILENCE = Announcement(State.HOLD, start_cycle=-1, reason=SUPERVISOR_SILENT)
"""In effect while the supervisor is silent; no supervisor announces this start, so that its key is that of no other."""
STARTED = (State.HOLD, State.RUNNING, State.RESETTING)
"""States of the supervisor after which the arm moves without a further start."""
CONFLICT_S = 1.0
"""Time without messages of several devices at once after which the arm no longer holds for that reason [s]."""
NO_OPERATOR = (State.DISABLED, State.FAULT)
"""States of the supervisor in which the operator cannot move the arm either."""
ANNOUNCED_MODE = {State.RUNNING: ArmMode.POLICY, State.RESETTING: ArmMode.HOMING}
"""Mode by the state of the supervisor; IDLE in all others."""


class _Homing:
    """Velocities of the drive home: first the hand straight up by ``lift_m`` [m], then straight in joint space."""

    LIFT_M_S = 0.1
    LIFT_CYCLES = 100
    """Cycles after which the first part ends if the limits do not allow the whole height."""

    def __init__(self, drive: ArmCycle, home_rad: NDArray[np.float64], lift_m: float) -> None:
        self._drive, self._home_rad, self._lift_m = drive, home_rad, lift_m
        self._target_m, self._lift_cycles = 0.0, 0

    def start(self) -> None:
        self._target_m = float(self._drive.reading().hand_m[2]) + self._lift_m
        self._lift_cycles = self.LIFT_CYCLES if self._lift_m else 0

    def velocity(self) -> NDArray[np.float64]:
        """Joint velocities for the next cycle, (J,) [rad/s]."""
        reading = self._drive.reading()
        if self._lift_cycles > 0 and reading.hand_m[2] < self._target_m:
            self._lift_cycles -= 1
            return joint_velocity(reading.q_rad, [0, 0, self.LIFT_M_S, 0, 0, 0], robot=self._drive.limiter.robot)
        self._lift_cycles = 0
        return home_velocity(reading.q_rad, self._home_rad, self._drive.limiter.robot)


@dataclass
class _Cycle:
    """Record of the running cycle, whose ``drive`` executes; its executed action is reported."""

    start_s: float
    start_rad: NDArray[np.float64]
    drive: ArmCycle
    source: Source = Source.NONE
    guided: bool = False
    """The arm was guided by hand in a part of the cycle."""
    substeps: int = 0
    cut: bool = False
    """Another announcement took effect within the cycle."""
    answered: bool = False
    mixed: bool = False
    """Both drives executed in the cycle."""


class ArmControl:
    """State machine of the arm: modes and transitions are those of `arm_modes`; every other input changes no mode.

    Priority: fault, guided by hand, released deadman, operator, drive home, policy. The operator may move the arm in
    all states of the supervisor but DISABLED and FAULT, while its messages arrive. A zero twist, or `engaged` false,
    releases the control, and the policy continues. If messages end without a release, the device may be lost, and the
    arm holds. An operator who was stopped, or who sent twists while that was not allowed, must release the control
    first. The source of a cycle is the operator if they moved the arm in any part of it.

    ``drives`` are for commands of the policy and of the operator, and for the drive home (joint velocities) to
    ``home_rad`` (J,); both of the same arm. Cycle 1 starts at the steady time ``now_s``.
    """

    def __init__(
        self,
        drives: tuple[ArmCycle, ArmCycle],
        check: CommandCheck,
        timing: ArmTiming,
        home_rad: NDArray[np.float64],
        now_s: float,
        safeguards: Safeguards | None = None,
        teleop: TeleopSettings | None = None,
        on_change: Callable[[ModeChange], None] = lambda change: None,
    ) -> None:
        self._drive, self._home_drive = drives
        self._check, self._timing, self._on_change = check, timing, on_change
        self.safeguards = safeguards or Safeguards(SafeguardSettings(), 1.0 / timing.period_s)
        self.teleop = TeleopInput(teleop or TeleopSettings())
        self.cycle = 1
        self.timeline = Timeline()
        self.mode = ArmMode.IDLE
        self._reason = ""
        """Of HELD and FAULT. One of HELD remains while the arm is guided by hand."""
        self._device_lost = self._fault_announced = self._release_first = False
        self._announced_s = self._command_s = -np.inf
        self._command_source = Source.NONE
        self._announcement = self._in_effect(now_s)
        self._homing = _Homing(self._home_drive, home_rad, self.safeguards.settings.lift_m)
        self._start_cycle(now_s)

    # Inputs.

    def announce(self, announcement: Announcement, now_s: float) -> None:
        """Receive an announcement of the supervisor; one that takes effect at once cuts the running cycle."""
        self._announced_s = now_s
        self._fault_announced |= self.mode is ArmMode.FAULT and announcement.state == State.FAULT
        takes_effect = announcement.start_cycle <= self.cycle
        if self._fault_announced and announcement.state == State.DISABLED and takes_effect:
            self._clear_fault()
        if announcement.state in NO_OPERATOR:
            self.safeguards.reset()
        self.timeline.announce(announcement, self.cycle)
        in_effect = self._in_effect(now_s)
        if in_effect.key() != self._announcement.key():
            self.pass_time(now_s)
            self._cycle.cut = True
            self._enter(in_effect, now_s)

    def receive(self, command: ReceivedCommand, now_s: float) -> str:
        """Execute a command from now on, or return why not. An invalid one during an episode makes the arm hold."""
        if self._announcement.state != State.RUNNING:
            return f"not running ({self._announcement.state.name.lower()})"
        if command.episode != self._announcement.episode:
            return "another episode"
        self.pass_time(now_s)
        lasting = self.mode is ArmMode.FAULT or self.safeguards.settings.fault_latched or self._device_lost
        if self._reason and lasting:
            return f"holding: {self._reason}"
        values, problem = self._check.values(command, self.cycle)
        if self.mode in OPERATED:  # the command only counts as answered
            self._cycle.answered |= values is not None and command.cycle == self.cycle
            return problem
        if why := self.safeguards.stop_reason(now_s):
            self._stop(Event.STOPPED, why)
            return why
        if values is None:
            self._stop(Event.COMMAND_FAILED, f"command rejected: {problem}")
            return problem
        if self.mode is ArmMode.HELD:
            self.safeguards.start_ramp(now_s)
        limited = self._drive.command(self.safeguards.speed_scale(now_s) * np.asarray(values))
        if limited.rejected:
            self._stop(Event.COMMAND_FAILED, f"command rejected by the limiter: {limited.layer}")
            return limited.layer
        self._reason = ""
        self._fire(Event.COMMAND_EXECUTED)
        self._command_s, self._command_source = now_s, Source(command.source)
        if self._cycle.source not in (Source.SAFETY, Source.HUMAN):
            self._cycle.source = self._command_source
        self._cycle.answered |= command.cycle == self.cycle
        return ""

    def receive_twist(self, twist: ArrayLike, now_s: float) -> str:
        """Receive the velocity of the hand, (6,) [m/s, rad/s], of the operator; return "" or why it is not executed.

        The first and the last twist act at once; a twist in between counts from the next cycle on.
        """
        self.pass_time(now_s)
        self.teleop.set_twist(twist, now_s)
        if self.mode is ArmMode.TELEOP and not self.teleop.moves:
            self._stand()
        return self._update_operator(now_s)

    def receive_engaged(self, engaged: bool, now_s: float) -> str:
        """Receive whether the operator is engaged, moving or not; return "" or why they may not move the arm."""
        self.pass_time(now_s)
        self.teleop.set_engaged(engaged, now_s)
        return self._update_operator(now_s)

    def reject_teleop(self, now_s: float, why: str = "the messages of the teleoperation device are invalid") -> None:
        """Receive an unusable message of the operator's device: it moves nothing, and does not release the control."""
        self.pass_time(now_s)
        self.teleop.clear()
        if self.mode is ArmMode.TELEOP:
            self._lose_device(why)
        self._update_operator(now_s)

    def report_conflict(self, why: str, now_s: float) -> None:
        """Several devices command the arm at the same time: while that lasts neither they nor the policy move it."""
        self.reject_teleop(now_s, why)
        self.safeguards.block(why, now_s + CONFLICT_S)
        self.pass_time(now_s)

    def receive_deadman(self, held: bool, now_s: float) -> None:
        """Receive the state of the deadman; a release stops the arm at once."""
        self.safeguards.set_deadman(held, now_s)
        self.pass_time(now_s)

    def fault(self, why: str) -> None:
        """Stop until an operator clears the fault."""
        self._fault_announced = False
        self._stop(Event.FAULT_DETECTED, why)

    # Time.

    def wake_s(self) -> float:
        """Steady time at which the last command or twist becomes too old [s]; infinite if none is executed."""
        if self.mode is ArmMode.TELEOP:
            return self.teleop.expiry_s
        return self._command_s + self._timing.command_timeout_s if self.mode is ArmMode.POLICY else np.inf

    def pass_time(self, now_s: float) -> None:
        """Let the arm move up to now; it holds from the moment at which the last command is too old."""
        problem = self._drive.problem()  # read in FAULT, too: a problem that is reported once must not outlast it
        if problem and self.mode is not ArmMode.FAULT:
            self.fault(problem)
        self._update_cuff(now_s)
        expiry_s = self.wake_s()
        if expiry_s <= now_s:
            if now_s - expiry_s <= self._timing.period_s:  # else the loop was late: the time of the cycle is over
                self._advance(expiry_s)
            if self.mode is ArmMode.TELEOP:
                self._lose_device("the messages of the operator ended without a release of the control")
            else:
                self._stop(Event.COMMAND_FAILED, f"no command for {self._timing.command_timeout_s:g} s")
        self._check_safeguards(now_s)
        self._advance(now_s)

    def tick(self, now_s: float) -> CycleReport:
        """End the cycle and start the next one."""
        self._check_lateness(now_s)
        held_up = self._late_s(now_s) > self._timing.command_timeout_s
        self.pass_time(now_s)
        self._advance(np.inf)
        announcement, cycle = self._announcement, self._cycle
        expected = announcement.state == State.RUNNING and not cycle.cut
        by_operator = cycle.source == Source.HUMAN
        if slow := self.safeguards.end_cycle(expected and not by_operator, cycle.answered, by_operator):
            self.fault(slow)
        executed = {drive: drive.finish() for drive in (self._drive, self._home_drive)}[cycle.drive]
        report = CycleReport(
            executed=self._guided_motion(now_s) if cycle.guided else executed,
            episode=0 if cycle.cut else announcement.episode,
            # Nobody commanded all of a cycle in which the machine was suspended, and it is no step of the task.
            source=Source.SAFETY if held_up and cycle.source in EXPERIENCE else cycle.source,
            answered=cycle.answered,
            expected=expected,
            hold_reason=self._hold_reason(),
            fault=self._reason if self.mode is ArmMode.FAULT else "",
        )
        self.cycle += 1
        in_effect = self._in_effect(now_s)
        if in_effect.key() != announcement.key():
            self._enter(in_effect, now_s)
        self._start_cycle(now_s)
        return report

    def reading(self) -> ArmReading:
        """Present reading of the arm."""
        return self._drive.reading()

    def _late_s(self, now_s: float) -> float:
        return now_s - self._cycle.start_s - self._timing.period_s

    def _check_lateness(self, now_s: float) -> None:
        """A loop that is late while the arm moves is a fault of a real arm."""
        late_s = self._late_s(now_s)
        moving = self._announced_mode is not ArmMode.IDLE or self.mode is ArmMode.TELEOP
        if self.safeguards.settings.fault_latched and moving and late_s > self._timing.command_timeout_s:
            self.fault(f"the arm's loop was held up for {late_s:.2f} s")

    def _start_cycle(self, now_s: float) -> None:
        self._cycle = _Cycle(now_s, self._drive.reading().q_rad, self._drive)
        self._check_safeguards(now_s)
        cycle, operated = self._cycle, self.mode in OPERATED
        cycle.source = Source.SAFETY if self._reason else Source.NONE if operated else self._command_source
        if self._announcement.state == State.RESETTING and not operated:
            cycle.drive = self._home_drive
        cycle.guided = self.mode is ArmMode.GUIDED
        self._update_operator(now_s)
        if self.mode is ArmMode.TELEOP:
            self._execute_twist(now_s)
        elif self.mode is ArmMode.HOMING:
            cycle.source = Source.RESET
            self._home_drive.command(self.safeguards.speed_scale(now_s) * self._homing.velocity())

    def _advance(self, until_s: float) -> None:
        cycle = self._cycle
        elapsed = min(max((until_s - cycle.start_s) / self._timing.period_s, 0.0), 1.0)
        substeps = int(elapsed * self._timing.substeps)
        if substeps > cycle.substeps:
            if self.mode in OPERATED:
                cycle.source = Source.HUMAN
            cycle.drive.advance(substeps - cycle.substeps)
            cycle.substeps = substeps

    def _guided_motion(self, now_s: float) -> CycleResult:
        """The measured motion of a guided arm as an action."""
        cycle, actuation, q_rad = self._cycle, self._drive.actuation, self._drive.reading().q_rad
        action = actuation.to_action((q_rad - cycle.start_rad) / max(now_s - cycle.start_s, 1e-3))
        clipped = np.clip(action, -1.0, 1.0)
        return CycleResult(clipped, bool((clipped != action).any()), "guided by hand")

    # Changes of mode.

    @property
    def _announced_mode(self) -> ArmMode:
        return ANNOUNCED_MODE.get(self._announcement.state, ArmMode.IDLE)

    def _fire(self, event: Event, reason: str = "") -> None:
        """Make the transition of the table for ``event``, if there is one: the only place that changes the mode."""
        resumed = ArmMode.HELD if self._reason else self._announced_mode
        row = transition(self.mode, event, resumed, self.safeguards.settings.fault_latched)
        if row is not None:
            source, self.mode = self.mode, row.target
            self._on_change(ModeChange(source, event, row.target, reason or event.value))

    def _stop(self, event: Event, why: str) -> None:
        """Stand, and remain so until the reason ends."""
        self._stand()
        self._release_first |= self.mode is ArmMode.TELEOP
        self._reason, self._command_source = why, Source.NONE
        if self._cycle.source != Source.HUMAN:
            self._cycle.source = Source.SAFETY
        self._fire(event, why)

    def _stand(self) -> None:
        """Discard what was commanded, through either drive."""
        self._drive.hold()
        self._home_drive.hold()

    def _check_safeguards(self, now_s: float) -> None:
        """Hold if the safeguards require it; a guided arm needs no hold."""
        by_operator = self.mode is ArmMode.TELEOP
        if self.mode in COMMANDED and (why := self.safeguards.stop_reason(now_s, by_operator)):
            self._stop(Event.STOPPED, why)

    def _clear_fault(self) -> None:
        """End a fault, unless the arm has a problem: FAULT_CLEARED of the table."""
        if problem := self._drive.problem():
            self.fault(problem)
            return
        self._reason, self._fault_announced = "", False
        self._fire(Event.FAULT_CLEARED)

    def _in_effect(self, now_s: float) -> Announcement:
        if now_s - self._announced_s > self._timing.supervisor_timeout_s:
            return SILENCE
        return self.timeline.at(self.cycle)

    def _enter(self, announcement: Announcement, now_s: float) -> None:
        """Put an announcement into effect."""
        before, self._announcement = self._announcement, announcement
        latched = self.safeguards.settings.fault_latched and self.mode is not ArmMode.FAULT
        if latched and announcement is SILENCE and before.state in STARTED:
            self.fault(f"{SUPERVISOR_SILENT} for {self._timing.supervisor_timeout_s:g} s")
        if before.state == announcement.state == State.RUNNING:
            return
        if self.mode is not ArmMode.FAULT:
            self._reason = ""
        self._device_lost, self._command_s = False, now_s
        if announcement.state == State.RESETTING and before.state != State.RESETTING:
            self._homing.start()
        if self.mode in OPERATED and not self._operator_problem(now_s):
            return
        self._release_first |= self.mode is ArmMode.TELEOP
        self._fire(Event.ANNOUNCED, f"{announcement.state.name} {announcement.reason}".strip())
        self._stand()
        drive = self._home_drive if announcement.state == State.RESETTING else self._drive
        self._cycle.mixed |= self._cycle.substeps > 0 and drive is not self._cycle.drive
        self._cycle.drive, self._command_source = drive, Source.NONE
        self.safeguards.start_ramp(now_s)

    def _hold_reason(self) -> str:
        if self._reason or self.mode is not ArmMode.IDLE:
            return self._reason
        return f"{self._announcement.state.name.lower()}: {self._announcement.reason}"

    # The operator.

    def _update_operator(self, now_s: float) -> str:
        """Give the control to an operator who sends twists and may; return why one who sends them may not."""
        if not self.teleop.active(now_s):
            self._release_control(now_s)
            return ""
        if why := self._operator_problem(now_s):
            self._release_first = True
            return why
        cycle = self._cycle
        other_drive = cycle.drive is self._home_drive or cycle.mixed
        if self.mode in OPERATED or (other_drive and cycle.substeps):  # the latter: from the next cycle on
            return ""
        cycle.drive = self._drive
        self._reason, self._device_lost, self._command_source = "", False, Source.NONE
        self._fire(Event.CONTROL_TAKEN)
        if not cycle.substeps:
            cycle.source = Source.NONE
        self.safeguards.start_ramp(now_s)
        self._execute_twist(now_s)
        return ""

    def _release_control(self, now_s: float) -> None:
        self._release_first = False
        if self.mode is ArmMode.TELEOP:
            self._end_operation(Event.CONTROL_RELEASED, now_s)
        elif self.mode is not ArmMode.FAULT and not self._device_lost and self._announced_mode is ArmMode.IDLE:
            self._reason = ""
            self._fire(Event.CONTROL_RELEASED)

    def _operator_problem(self, now_s: float) -> str:
        """Why the operator may not move the arm, or ""."""
        announcement = self._announcement
        if self.mode is ArmMode.FAULT:
            return self._reason
        if why := self.safeguards.stop_reason(now_s, by_operator=True):
            return why
        if announcement.state in NO_OPERATOR or announcement is SILENCE:
            return f"{announcement.state.name.lower()}: {announcement.reason}"
        if self._drive.actuation.mode != "velocity":
            return "teleoperation needs velocities, this arm is driven by torques: choose actuation velocity"
        if self._reason and self.safeguards.settings.fault_latched:
            return f"holding: {self._reason}"
        return "release the control first" if self._release_first else ""

    def _execute_twist(self, now_s: float) -> None:
        velocity = joint_velocity(self._drive.reading().q_rad, self.teleop.twist, robot=self._drive.limiter.robot)
        limited = self._drive.command(self.safeguards.speed_scale(now_s) * velocity)
        if limited.rejected:
            self._stop(Event.TELEOP_FAILED, f"the operator's command rejected by the limiter: {limited.layer}")

    def _lose_device(self, why: str) -> None:
        """Hold until a new announcement takes effect, or the operator sends twists again."""
        self._stop(Event.TELEOP_FAILED, why)
        self._device_lost = True

    def _end_operation(self, event: Event, now_s: float) -> None:
        """Stand; what moves the arm next begins slowly."""
        self._stand()
        self._command_source, self._command_s = Source.NONE, now_s
        self.safeguards.start_ramp(now_s, self.teleop.settings.hand_back_s)
        self._fire(event)

    def _update_cuff(self, now_s: float) -> None:
        """Command nothing while the arm is guided by hand; with latched faults it holds afterwards."""
        if self.mode is ArmMode.FAULT or self._announcement.state in NO_OPERATOR:
            return
        guided = self._drive.guided()
        if guided and self._drive.actuation.mode != "velocity":
            self.fault("the cuff is held, and guiding by hand cannot be expressed in torques")
        elif guided and self.mode is not ArmMode.GUIDED:
            self._stand()
            self._release_first |= self.mode is ArmMode.TELEOP
            self._command_source, self._cycle.guided = Source.NONE, True
            self._fire(Event.CUFF_HELD)
        elif not guided and self.mode is ArmMode.GUIDED:
            resumes = self._announced_mode is not ArmMode.IDLE
            if self.safeguards.settings.fault_latched and resumes and not self._reason:
                self._reason = "the arm was guided by hand"
                if self._cycle.source != Source.HUMAN:
                    self._cycle.source = Source.SAFETY
            self._end_operation(Event.CUFF_RELEASED, now_s)
