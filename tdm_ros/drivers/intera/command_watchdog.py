"""Command watchdog of the worker: which command is in force, and for how long. No numpy, no ROS."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tdm_ros.drivers.intera.wire import Command

Values = tuple  # of float: one per joint, or a point

FRAMES = (
    ((0.0, 0.0, 0.08), (0.0, 0.0, 0.0)),
    ((0.081, 0.05, 0.237), (-math.pi / 2, math.pi / 2, 0.0)),
    ((0.0, -0.14, 0.1425), (math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.042, 0.26), (-math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.125, -0.1265), (math.pi / 2, 0.0, 0.0)),
    ((0.0, 0.031, 0.275), (-math.pi / 2, 0.0, 0.0)),
    ((0.0, -0.11, 0.1053), (-math.pi / 2, -0.17453, math.pi)),
)
"""Frame of each joint in the frame of the previous one: xyz [m] and rpy [rad]; it rotates about its own z."""

HAND_M = (0.0, 0.0, 0.0245)
"""Hand in the frame of the last joint. A test compares this table with `tdm_ros.robots.kinematics`."""


def hand_speed_m_s(q_rad: Values, qd_rad_s: Values) -> float:
    """Return the speed of the hand at (7,) joint positions [rad] and velocities [rad/s], from the hand to the base."""
    hand_m: Values = HAND_M
    velocity_m_s: Values = (0.0, 0.0, 0.0)
    for (xyz_m, (roll, pitch, yaw)), q, qd in zip(FRAMES[::-1], q_rad[::-1], qd_rad_s[::-1]):  # noqa: B905
        velocity_m_s = (velocity_m_s[0] - qd * hand_m[1], velocity_m_s[1] + qd * hand_m[0], velocity_m_s[2])
        for axis, angle in ((2, q), (0, roll), (1, pitch), (2, yaw)):
            hand_m, velocity_m_s = _turned(hand_m, axis, angle), _turned(velocity_m_s, axis, angle)
        hand_m = tuple(offset + along for offset, along in zip(xyz_m, hand_m))  # noqa: B905 - Python 3.8
    return math.hypot(*velocity_m_s)


def _turned(vector: Values, axis: int, angle: float) -> Values:
    turned, first, second = list(vector), (axis + 1) % 3, (axis + 2) % 3
    turned[first] = math.cos(angle) * vector[first] - math.sin(angle) * vector[second]
    turned[second] = math.sin(angle) * vector[first] + math.cos(angle) * vector[second]
    return tuple(turned)


STOPPING_S = 0.1
"""Duration of zero velocity before the return to position mode [s]."""

LEAVE_TICKS = 3
"""Number of messages for the return to position mode: a single one can be lost."""

LATE_S = 0.1
"""Interval between two ticks after which the command in force is dropped [s]."""


@dataclass(frozen=True)
class Caps:
    """Bounds of commands; ``velocity_rad_s`` and ``torque_n_m`` are the largest magnitudes per joint."""

    velocity_rad_s: Values
    torque_n_m: Values
    allow_torque: bool = False
    hand_speed_m_s: float = 0.0  # largest speed of the hand; 0: no limit
    hold_s: float = 0.15  # longest validity of one command
    answer_age_s: float = 0.1  # largest age of the state that a command answers
    hand_speed: Callable[[Values, Values], float] | None = None  # of an arm that is no Sawyer, as `hand_speed_m_s`

    def problem(self, command: Command, q_rad: Values) -> str:
        """Return why a command at these joint positions exceeds the bounds, or ""."""
        caps = {"velocity": self.velocity_rad_s, "torque": self.torque_n_m}.get(command.mode)
        if caps is None:
            return f'mode must be "velocity" or "torque", got {command.mode!r}'
        if command.mode == "torque" and not self.allow_torque:
            return "torque is not allowed: start the worker with --allow-torque"
        if not 0 < command.hold_s <= self.hold_s:
            return f"hold_s must be in (0, {self.hold_s:g}] s, got {command.hold_s:g}"
        if len(command.values) != len(caps):
            return f"a command must have {len(caps)} values, got {len(command.values)}"
        unit = "rad/s" if command.mode == "velocity" else "N m"
        for joint, (value, cap) in enumerate(zip(command.values, caps)):  # noqa: B905 - Python 3.8
            if not abs(value) <= cap + 1e-6:
                return f"joint {joint}: {command.mode} must be in [{-cap:g}, {cap:g}] {unit}, got {value:g}"
        if command.mode == "velocity" and self.hand_speed_m_s:
            speed = (self.hand_speed or hand_speed_m_s)(q_rad, command.values)
            if speed > self.hand_speed_m_s:
                return f"the hand's speed must be in [0, {self.hand_speed_m_s:g}] m/s, got {speed:.2f}"
        return ""

    def overspeed(self, q_rad: Values, qd_rad_s: Values) -> str:
        """Return which joint, or the hand, moves faster than the bounds of velocities, or "".

        For commands of torques, which do not determine a speed.
        """
        for joint, (cap, speed) in enumerate(zip(self.velocity_rad_s, qd_rad_s)):  # noqa: B905 - Python 3.8
            if abs(speed) > cap:
                return f"joint {joint} moves at {speed:.2f} rad/s, at most {cap:g} is allowed"
        hand_m_s = (self.hand_speed or hand_speed_m_s)(q_rad, qd_rad_s) if self.hand_speed_m_s else 0.0
        if hand_m_s > self.hand_speed_m_s:
            return f"the hand moves at {hand_m_s:.2f} m/s, at most {self.hand_speed_m_s:g} is allowed"
        return ""


class Output(NamedTuple):
    """Output of one tick: "velocity" or "torque" with values, "exit" to the robot's position mode, or "" (none)."""

    kind: str
    values: Values = ()


class CommandWatchdog:
    """Follows a command while it is valid, then stops the arm and returns to position mode.

    An expired command never becomes valid again. After any interval in which the robot could not be moved, all
    commands are rejected until `acknowledge`: another program may have stopped, reset and enabled the robot, and a
    client that has not noticed it must not move the arm. Every method may be called from any thread.
    """

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.phase = "idle"
        self.command_seq = 0
        self.rejected = 0
        self.rejection = ""
        self.interruption = ""
        self._lock = threading.Lock()
        self._sent: deque[tuple[int, float]] = deque(maxlen=64)
        self._newest_seq = 0
        self._command: Command | None = None
        self._since_s = 0.0
        self._ticks = 0
        self._last_step_s: float | None = None

    @property
    def mode(self) -> str:
        """Mode of the command in force, or ""."""
        command = self._command
        return command.mode if command else ""

    def state_sent(self, seq: int, now_s: float) -> None:
        """Store when a state was sent, from which follows the age of a command that answers it."""
        with self._lock:
            self._sent.append((seq, now_s))

    def offer(self, command: Command, now_s: float, problem: str, q_rad: Values = ()) -> str:
        """Follow a command from now on, or return why it is rejected.

        `problem` is the reason why the robot cannot be moved now, or "". A rejected command also ends the previous one,
        unless its number is merely an old one: the sender of an invalid command may have sent others.
        """
        with self._lock:
            if command.seq <= self._newest_seq:
                why = f"seq must be over {self._newest_seq}, got {command.seq}"
            else:
                self._newest_seq = command.seq
                why = (
                    self._too_old(command, now_s) or problem or self._interrupted() or self.caps.problem(command, q_rad)
                )
                if why:
                    self._stop(now_s)
            self.rejection = why
            if why:
                self.rejected += 1
                return why
            self.command_seq = command.seq
            self.phase, self._command, self._since_s = "following", command, now_s
            return ""

    def drop(self, now_s: float) -> None:
        """End the command in force."""
        with self._lock:
            self._stop(now_s)

    def acknowledge(self) -> None:
        """Accept commands again after an interruption that the client knows of, or has ended itself."""
        with self._lock:
            self.interruption = ""

    def step(self, now_s: float, problem: str, fresh: bool) -> Output:
        """Return the output of this tick.

        `fresh`: the joint positions are new. Position mode is entered by sending them; old ones would drive the arm
        back, so that without new ones the robot's own time-out has to stop it.
        """
        with self._lock:
            held_up = self._last_step_s is not None and now_s - self._last_step_s > LATE_S
            self._last_step_s = now_s
            self.interruption = problem or self.interruption
            if self._command is not None:
                if held_up or problem or now_s - self._since_s > self._command.hold_s:
                    self._stop(now_s)
                else:
                    return Output(self._command.mode, self._command.values)
            if self.phase == "stopping":
                if now_s - self._since_s < STOPPING_S:
                    return Output("velocity", (0.0,) * len(self.caps.velocity_rad_s))
                self.phase, self._ticks = "leaving", LEAVE_TICKS
            if self.phase == "leaving":
                self._ticks -= 1
                if fresh and self._ticks >= 0:
                    return Output("exit")
                self.phase = "idle"
            return Output("")

    def _stop(self, now_s: float) -> None:
        if self._command is not None:
            self.phase, self._command, self._since_s = "stopping", None, now_s

    def _interrupted(self) -> str:
        if not self.interruption:
            return ""
        return f"the arm could not be moved meanwhile ({self.interruption}): hold, then start again"

    def _too_old(self, command: Command, now_s: float) -> str:
        sent_s = dict(self._sent).get(command.state_seq)
        if sent_s is None:
            return f"it answers state {command.state_seq}, which is unknown or long ago"
        if now_s - sent_s > self.caps.answer_age_s:
            return f"it answers a state from {now_s - sent_s:.2f} s ago; {self.caps.answer_age_s:g} s is allowed"
        return ""
