"""Source of the commands and reasons for a hold, decided for the node `arm`. Time is injected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.arm_io import CommandCheck, ReceivedCommand
from tdm_ros.control.safeguards import Safeguards, SafeguardSettings
from tdm_ros.control.teleop import Stick, TeleopSettings
from tdm_ros.control.timeline import Announcement, Source, State, Timeline
from tdm_ros.robots.arm import Actuation
from tdm_ros.robots.arm_cycle import CycleResult as Motion
from tdm_ros.robots.arm_cycle import home_velocity
from tdm_ros.robots.kinematics import joint_velocity
from tdm_ros.robots.limiter import ArmReading, Limited


class Executed(Protocol):
    """What moved the arm during a cycle."""

    @property
    def action(self) -> NDArray[np.float32]: ...
    @property
    def limited(self) -> bool: ...
    @property
    def layer(self) -> str: ...


class Drive(Protocol):
    """Turns commands of one unit into motion; `robot.ArmCycle` is one."""

    @property
    def actuation(self) -> Actuation: ...
    def command(self, values: ArrayLike) -> Limited: ...
    def hold(self) -> None: ...
    def advance(self, substeps: int) -> None: ...
    def finish(self) -> Executed: ...
    def reading(self) -> ArmReading: ...
    def problem(self) -> str: ...
    def guided(self) -> bool: ...


class By(Enum):
    """How a person moves the arm."""

    STICK = "stick"
    """Velocities of the hand, which go through the limiter."""
    CUFF = "cuff"
    """The operator guides the arm by hand, which follows no command meanwhile."""


@dataclass(frozen=True)
class ArmTiming:
    """Times of the arm's loop.

    Parameters
    ----------
    period_s : float
        One control cycle [s].
    substeps : int
        Steps of physics in a cycle.
    command_timeout_s : float
        The arm holds when the last command is older than this [s].
    supervisor_timeout_s : float
        The arm holds when the supervisor was last heard this long ago [s].
    """

    period_s: float = 0.05
    substeps: int = 25
    command_timeout_s: float = 0.1
    supervisor_timeout_s: float = 1.0


@dataclass(frozen=True)
class CycleReport:
    """How one cycle went."""

    executed: Executed
    episode: int
    source: Source
    answered: bool
    expected: bool
    hold_reason: str
    fault: str = ""
    """Why the arm stopped for good; only a person clears it."""


UNHEARD = "supervisor not heard"
DISPUTE_S = 1.0
"""The arm holds until several devices have not been heard for so long [s]."""
RAISE_M_S = 0.1
RAISE_CYCLES = 100
"""A hand that the limits let rise no further goes home from where it is after so long."""
STILL = (State.DISABLED, State.FAULT)
"""Nobody moves the arm in these states, not even a person."""


class ArmControl:
    """Follows a person, commands while an episode runs, drives home when told, and holds in every other case.

    The operator has priority over the drive home and the policy, but not over a fault or a released deadman. They may
    drive in all states but DISABLED and FAULT, while the supervisor is heard. A zero twist, or
    engaged false, releases the control, and the policy continues. If messages stop without that, the device may be
    lost, and the arm holds. An operator who was stopped, or who held the control while driving was not allowed, must
    release it first. A cycle counts as the operator's if they moved the arm in any part of it.

    What the drive has a problem with is a fault: the arm stays put until the supervisor has announced FAULT, which it
    does on hearing of it, and then DISABLED, which it does when the operator clears the fault.

    Parameters
    ----------
    drive, home : Drive
        For commands of the policy, and for the drive home (joint velocities). Both move the same arm.
    check : CommandCheck
    timing : ArmTiming
    home_rad : (J,) float64 [rad]
        Home posture.
    now_s : float
        Present steady time [s]; cycle 1 starts now.
    safeguards : Safeguards, optional
        What a real arm asks for; left out, nothing.
    teleop : TeleopSettings, optional
    """

    def __init__(
        self,
        drives: tuple[Drive, Drive],
        check: CommandCheck,
        timing: ArmTiming,
        home_rad: NDArray[np.float64],
        now_s: float,
        safeguards: Safeguards | None = None,
        teleop: TeleopSettings | None = None,
    ) -> None:
        self._drive, self._home = drives
        self._check, self._timing, self._home_rad = check, timing, home_rad
        self.safeguards = safeguards or Safeguards(SafeguardSettings(), 1.0 / timing.period_s)
        self.stick = Stick(teleop or TeleopSettings())
        self.cycle = 1
        self.timeline = Timeline()
        self._heard_s = -np.inf
        self._told = self._governing(now_s)
        self._command_s = -np.inf
        self._in_force = Source.NONE
        self._held = ""
        self._fault, self._fault_told = "", False
        self._cycle_source = Source.NONE
        self._by: By | None = None
        self._let_go_first = self._forsaken = False
        self._raise_to_m, self._raise_cycles = 0.0, 0
        self._at_wheel = self._drive
        self._begin(now_s)

    def hear(self, told: Announcement, now_s: float) -> None:
        """Take in what the supervisor says; what starts at once cuts the running cycle."""
        self._heard_s = now_s
        self._fault_told |= bool(self._fault) and told.state == State.FAULT
        if self._fault_told and told.state == State.DISABLED:  # what clear_fault leads to, and nothing else
            self._fault, self._fault_told = self._drive.problem(), False
        if told.state in (State.DISABLED, State.FAULT):
            self.safeguards.disarm()
        self.timeline.announce(told, self.cycle)
        governing = self._governing(now_s)
        if governing.key() != self._told.key():
            self.pass_time(now_s)
            self._cut = True
            self._enter(governing, now_s)

    def receive(self, command: ReceivedCommand, now_s: float) -> str:
        """Follow a command from now on, or return why not. A bad one during an episode makes the arm hold."""
        if self._told.state != State.RUNNING:
            return f"not running ({self._told.state.name.lower()})"
        if command.episode != self._told.episode:
            return "another episode"
        self.pass_time(now_s)
        if self._fault or (self._held and (self.safeguards.settings.latch or self._forsaken)):
            return f"holding: {self._fault or self._held}"
        values, problem = self._check.values(command, self.cycle)
        if self._by:  # a person drives: all there is to say is whether the policy keeps up
            self._answered |= values is not None and command.cycle == self.cycle
            return problem
        if released := self.safeguards.released(now_s):
            self._hold(released)
            return released
        if values is None:
            self._fail(f"command refused: {problem}")
            return problem
        if self._held:
            self.safeguards.begin(now_s)
        limited = self._drive.command(self.safeguards.scale(now_s) * np.asarray(values))
        if limited.rejected:
            self._fail(f"command refused by the limiter: {limited.layer}")
            return limited.layer
        self._held = ""
        self._command_s = now_s
        self._in_force = Source(command.source)
        if self._cycle_source not in (Source.SAFETY, Source.HUMAN):
            self._cycle_source = self._in_force
        self._answered |= command.cycle == self.cycle
        return ""

    def steer(self, twist: ArrayLike, now_s: float) -> str:
        """Take in the velocity of the hand, (6,) [m/s, rad/s], of the operator; return "" or why it is not executed.

        The first and the last twist act at once; a twist in between counts from the next cycle on.
        """
        self.pass_time(now_s)
        self.stick.push(twist, now_s)
        if self._by is By.STICK and not self.stick.moves:
            self._stand()
        return self._consult(now_s)

    def engage(self, held: bool, now_s: float) -> str:
        """Take in whether the operator is engaged, moving or not; return "" or why they may not drive."""
        self.pass_time(now_s)
        self.stick.engage(held, now_s)
        return self._consult(now_s)

    def distrust(self, now_s: float, why: str = "what came from the device of the operator makes no sense") -> None:
        """What came from the operator's device cannot be used: nobody drives, and the control is not released."""
        self.pass_time(now_s)
        self.stick.let_go()
        if self._by is By.STICK:
            self._forsake(why)
        self._consult(now_s)

    def dispute(self, why: str, now_s: float) -> None:
        """Several devices drive at the same time: neither they nor the policy move the arm while that lasts."""
        self.distrust(now_s, why)
        self.safeguards.dispute(why, now_s + DISPUTE_S)
        self.pass_time(now_s)

    def wake_s(self) -> float:
        """Steady time at which the last command becomes too old [s]; infinite when none can."""
        if self._by:
            return self.stick.until_s if self._by is By.STICK else np.inf
        waiting = self._told.state == State.RUNNING and not (self._held or self._fault)
        return self._command_s + self._timing.command_timeout_s if waiting else np.inf

    def pass_time(self, now_s: float) -> None:
        """Let the arm move up to now; it holds from the moment when the last command is too old."""
        problem = self._drive.problem()  # asked in a fault, too: what the arm reports once must not outlast the fault
        if problem and not self._fault:
            self.fault(problem)
        self._watch_cuff(now_s)
        expiry_s = self.wake_s()
        if expiry_s <= now_s:
            if now_s - expiry_s <= self._timing.period_s:  # else the loop was held up: it is long over
                self._advance(expiry_s)
            if self._by:
                self._forsake("the person who drove fell silent without letting go")
            else:
                self._fail(f"no command for {self._timing.command_timeout_s:g} s")
        self._hold_if(self.safeguards.released(now_s))
        self._advance(now_s)

    def deadman(self, held: bool, now_s: float) -> None:
        """Take in what the deadman says; let go, it stops the arm at once."""
        self.safeguards.deadman(held, now_s)
        self.pass_time(now_s)

    def fault(self, why: str) -> None:
        """Stop for good."""
        self._hold(why)
        self._fault, self._fault_told = why, False

    def tick(self, now_s: float) -> CycleReport:
        """End the cycle and start the next one."""
        late_s = now_s - self._start_s - self._timing.period_s
        moving = self._told.state in (State.RUNNING, State.RESETTING) or self._by is By.STICK
        if self.safeguards.settings.latch and moving and late_s > self._timing.command_timeout_s:
            self.fault(f"the arm's loop was held up for {late_s:.2f} s")
        self.pass_time(now_s)
        self._advance(np.inf)
        told = self._told
        running = told.state == State.RUNNING
        expected = running and not self._cut
        by_person = self._cycle_source == Source.HUMAN
        if slow := self.safeguards.end_cycle(expected and not by_person, self._answered, by_person):
            self.fault(slow)
        by_policy, by_home = self._drive.finish(), self._home.finish()
        report = CycleReport(
            executed=self._by_hand(now_s) or (by_home if self._at_wheel is self._home else by_policy),
            episode=0 if self._cut else told.episode,
            source=self._cycle_source,
            answered=self._answered,
            expected=expected,
            hold_reason=self._hold_reason(),
            fault=self._fault,
        )
        self.cycle += 1
        governing = self._governing(now_s)
        if governing.key() != told.key():
            self._enter(governing, now_s)
        self._begin(now_s)
        return report

    def reading(self) -> ArmReading:
        """What the arm reports now."""
        return self._drive.reading()

    def _begin(self, now_s: float) -> None:
        self._start_s, self._done = now_s, 0
        self._cut = self._answered = self._mixed = False
        self._hold_if(self.safeguards.released(now_s))
        self._cycle_source = Source.SAFETY if self._held or self._fault else Source.NONE if self._by else self._in_force
        resetting = self._told.state == State.RESETTING
        self._at_wheel = self._home if resetting and not self._by else self._drive
        self._guided, self._q_rad = self._by is By.CUFF, self._drive.reading().q_rad
        self._consult(now_s)
        if self._by is By.STICK:
            self._follow(now_s)
        elif resetting and not (self._by or self._held or self._fault):
            self._cycle_source = Source.RESET
            self._home.command(self.safeguards.scale(now_s) * self._way_home())

    def _way_home(self) -> NDArray[np.float64]:
        """Joint velocities, (7,) [rad/s]: the hand up first, off whatever it is at, then straight home."""
        reading = self._home.reading()
        if self._raise_cycles > 0 and reading.hand_m[2] < self._raise_to_m:
            self._raise_cycles -= 1
            return joint_velocity(reading.q_rad, [0, 0, RAISE_M_S, 0, 0, 0])
        self._raise_cycles = 0
        return home_velocity(reading.q_rad, self._home_rad)

    def _governing(self, now_s: float) -> Announcement:
        if now_s - self._heard_s > self._timing.supervisor_timeout_s:
            return Announcement(State.HOLD, reason=UNHEARD)
        return self.timeline.at(self.cycle)

    def _enter(self, told: Announcement, now_s: float) -> None:
        goes_on = told.state == State.RUNNING == self._told.state
        leaves_home = self._told.state == State.RESETTING
        self._told = told
        if goes_on:
            return
        self._held, self._command_s, self._forsaken = "", now_s, False
        if told.state == State.RESETTING and not leaves_home:
            raise_m = self.safeguards.settings.raise_m
            self._raise_to_m = float(self._home.reading().hand_m[2]) + raise_m
            self._raise_cycles = RAISE_CYCLES if raise_m else 0
        if self._by and not self._bar(now_s):
            return  # the operator continues
        self._let_go_first |= self._by is By.STICK
        self._by = None
        self._stand()
        before = self._at_wheel
        self._at_wheel = self._home if told.state == State.RESETTING else self._drive
        self._mixed |= self._done > 0 and self._at_wheel is not before
        self._in_force = Source.NONE
        self.safeguards.begin(now_s)

    def _hold_if(self, why: str) -> None:
        """Hold if there is a reason and the arm may be driven; an arm that is guided by hand needs no hold."""
        driven = self._told.state in (State.RUNNING, State.RESETTING) or self._by
        if why and not self._held and driven and self._by is not By.CUFF:
            self._hold(why)

    def _hold(self, why: str) -> None:
        self._stand()
        self._let_go_first |= self._by is By.STICK
        self._by, self._held, self._in_force = None, why, Source.NONE
        if self._cycle_source != Source.HUMAN:
            self._cycle_source = Source.SAFETY

    def _stand(self) -> None:
        """Nothing that was commanded, on either way to the arm, is followed any more."""
        self._drive.hold()
        self._home.hold()

    def _fail(self, why: str) -> None:
        """A command was not as it must be: hold, and where the safeguards say so, for good."""
        if self.safeguards.settings.latch:
            self.fault(why)
        else:
            self._hold(why)

    def _forsake(self, why: str) -> None:
        """The sender was lost while driving: hold until something new is announced, or the sender is back."""
        self._fail(why)
        self._forsaken = True

    def _hold_reason(self) -> str:
        if why := self._fault or self._held:
            return why
        if self._by:
            return ""
        if self._told.state in (State.RUNNING, State.RESETTING):
            return ""
        return f"{self._told.state.name.lower()}: {self._told.reason}"

    def _advance(self, until_s: float) -> None:
        share = min(max((until_s - self._start_s) / self._timing.period_s, 0.0), 1.0)
        wanted = int(share * self._timing.substeps)
        if wanted > self._done:
            if self._by:
                self._cycle_source = Source.HUMAN
            self._at_wheel.advance(wanted - self._done)
            self._done = wanted

    # A person's part.

    def _consult(self, now_s: float) -> str:
        """Let a person drive who wants to and may; return why one who wants to may not."""
        if not self.stick.driven(now_s):
            self._let_go_first = False
            if self._told.state not in (State.RUNNING, State.RESETTING) and not self._forsaken:
                self._held = ""
            if self._by is By.STICK:
                self._hand_back(now_s)
            return ""
        if why := self._bar(now_s):
            self._let_go_first = True
            return why
        foreign = self._at_wheel is not self._drive or self._mixed
        if self._by or (foreign and self._done):  # the operator's from the next cycle on
            return ""
        self._at_wheel, self._by, self._held, self._in_force = self._drive, By.STICK, "", Source.HUMAN
        self._forsaken = False
        if not self._done:
            self._cycle_source = Source.NONE
        self.safeguards.begin(now_s)
        self._follow(now_s)
        return ""

    def _bar(self, now_s: float) -> str:
        """Why a person may not drive, or ""."""
        told = self._told
        if why := self._fault or self.safeguards.released(now_s):
            return why
        if told.state in STILL or told.reason == UNHEARD:
            return f"{told.state.name.lower()}: {told.reason}"
        if self._drive.actuation.mode != "velocity":
            return "a person drives by velocities, this arm is driven by torques: choose actuation velocity"
        if self._held and self.safeguards.settings.latch:
            return f"holding: {self._held}"
        return "let go of the stick first" if self._let_go_first else ""

    def _follow(self, now_s: float) -> None:
        wanted = joint_velocity(self._drive.reading().q_rad, self.stick.twist)
        limited = self._drive.command(self.safeguards.scale(now_s) * wanted)
        if limited.rejected:
            self._fail(f"a person's command refused by the limiter: {limited.layer}")

    def _hand_back(self, now_s: float) -> None:
        """Stop; who moves the arm next begins slowly."""
        self._stand()
        self._by, self._in_force, self._command_s = None, Source.NONE, now_s
        self.safeguards.begin(now_s, self.stick.settings.hand_back_s)

    def _watch_cuff(self, now_s: float) -> None:
        """Give way while the arm is guided by hand; where the safeguards latch, a person has to start it again."""
        guided = self._drive.guided() and not (self._fault or self._told.state in STILL)
        if guided and self._drive.actuation.mode != "velocity":
            self.fault("the cuff is held, and guiding by hand cannot be expressed in torques")
        elif guided and self._by is not By.CUFF:
            self._stand()
            self._let_go_first |= self._by is By.STICK
            self._by, self._in_force, self._guided = By.CUFF, Source.HUMAN, True
        elif not guided and self._by is By.CUFF:
            self._hand_back(now_s)
            if self.safeguards.settings.latch:
                self._hold_if("the arm was guided by hand")

    def _by_hand(self, now_s: float) -> Motion | None:
        """What the motion of a guided arm amounted to as an action."""
        if not self._guided:
            return None
        actuation, q_rad = self._drive.actuation, self._drive.reading().q_rad
        action = actuation.to_action((q_rad - self._q_rad) / max(now_s - self._start_s, 1e-3))
        clipped = np.clip(action, -1.0, 1.0)
        return Motion(clipped, bool((clipped != action).any()), "guided by hand")
