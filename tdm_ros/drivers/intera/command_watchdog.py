"""Command watchdog of the worker: which command is in force, and for how long. No numpy, no ROS."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

Matrix = tuple  # of three rows of three float
Vector = tuple  # of three float

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


def hand_jacobian(q_rad: tuple) -> tuple:
    """Return the velocity of the hand per velocity of each joint, (7, 3) [m/rad], in frame base."""
    turn: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    at: Vector = (0.0, 0.0, 0.0)
    joints = []
    for (xyz_m, _), fixed, q in zip(FRAMES, _FIXED, q_rad):  # noqa: B905 - Python 3.8
        at = _sum(at, _rotated(turn, xyz_m))
        turn = _product(turn, fixed)
        joints.append((at, tuple(row[2] for row in turn)))
        turn = _product(turn, _about_z(q))
    hand = _sum(at, _rotated(turn, HAND_M))
    return tuple(_cross(axis, tuple(h - p for h, p in zip(hand, at))) for at, axis in joints)  # noqa: B905


def speed_m_s(jacobian_m: tuple, qd_rad_s: tuple) -> float:
    """Return the speed of the hand at (7,) joint velocities [rad/s]."""
    return math.sqrt(
        sum(sum(qd * lever[axis] for qd, lever in zip(qd_rad_s, jacobian_m)) ** 2 for axis in range(3))  # noqa: B905
    )


def _sum(a: Vector, b: Vector) -> Vector:
    return tuple(x + y for x, y in zip(a, b))  # noqa: B905


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _rotated(turn: Matrix, vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(row, vector)) for row in turn)  # noqa: B905


def _product(a: Matrix, b: Matrix) -> Matrix:
    return tuple(tuple(sum(row[k] * b[k][column] for k in range(3)) for column in range(3)) for row in a)


def _about_z(angle: float) -> Matrix:
    c, s = math.cos(angle), math.sin(angle)
    return ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))


def _fixed(rpy: Vector) -> Matrix:
    (r, p, y) = rpy
    about_x = ((1.0, 0.0, 0.0), (0.0, math.cos(r), -math.sin(r)), (0.0, math.sin(r), math.cos(r)))
    about_y = ((math.cos(p), 0.0, math.sin(p)), (0.0, 1.0, 0.0), (-math.sin(p), 0.0, math.cos(p)))
    return _product(_about_z(y), _product(about_y, about_x))


_FIXED = tuple(_fixed(rpy) for _, rpy in FRAMES)


if TYPE_CHECKING:
    from tdm_ros.drivers.intera.wire import Command

STOPPING_S = 0.1
"""Duration of zero velocity before the return to position mode [s]."""

LEAVE_TICKS = 3
"""Number of messages for the return to position mode: a single one can be lost."""

LATE_S = 0.1
"""Interval between two ticks after which the command in force is dropped [s]."""

Values = tuple  # of float, one per joint


@dataclass(frozen=True)
class Caps:
    """Bounds of commands, per joint.

    Parameters
    ----------
    velocity_rad_s, torque_n_m : (7,) float
        Largest magnitude.
    lower_rad, upper_rad : (7,) float
    allow_torque : bool
    hand_speed_m_s : float
        Largest speed of the hand [m/s]; 0: no limit.
    speed_ratio : float
        Largest speed ratio of position mode.
    hold_s : float
        Longest validity of one command [s].
    answer_age_s : float
        Largest age of the state that a command answers [s].
    """

    velocity_rad_s: Values
    torque_n_m: Values
    lower_rad: Values
    upper_rad: Values
    allow_torque: bool = False
    hand_speed_m_s: float = 0.0
    speed_ratio: float = 1.0
    hold_s: float = 0.15
    answer_age_s: float = 0.1

    def problem(self, command: Command, jacobian_m: tuple = ()) -> str:
        """Return why a command exceeds the bounds, or "".

        `jacobian_m` is the hand's velocity per joint velocity, see `hand_jacobian`; not needed without that limit.
        """
        if command.mode not in ("velocity", "torque", "position"):
            return f'mode must be "velocity", "torque" or "position", got {command.mode!r}'
        if command.mode == "torque" and not self.allow_torque:
            return "torque is not allowed: start the worker with --allow-torque"
        if not 0 < command.hold_s <= self.hold_s:
            return f"hold_s must be in (0, {self.hold_s:g}] s, got {command.hold_s:g}"
        upper = {"velocity": self.velocity_rad_s, "torque": self.torque_n_m, "position": self.upper_rad}[command.mode]
        if len(command.values) != len(upper):
            return f"a command must have {len(upper)} values, got {len(command.values)}"
        lower = self.lower_rad if command.mode == "position" else tuple(-cap for cap in upper)
        unit = {"velocity": "rad/s", "torque": "N m", "position": "rad"}[command.mode]
        for joint, (low, value, high) in enumerate(zip(lower, command.values, upper)):  # noqa: B905 - Python 3.8
            if not low - 1e-6 <= value <= high + 1e-6:
                return f"joint {joint}: {command.mode} must be in [{low:g}, {high:g}] {unit}, got {value:g}"
        if command.mode == "velocity" and self.hand_speed_m_s:
            speed = speed_m_s(jacobian_m, command.values)
            if speed > self.hand_speed_m_s:
                return f"the hand's speed must be in [0, {self.hand_speed_m_s:g}] m/s, got {speed:.2f}"
        return ""

    def overspeed(self, mode: str, q_rad: Values, qd_rad_s: Values) -> str:
        """Return which joint, or the hand, moves faster than the bounds of velocities, or "".

        A torque or a position does not determine a speed. In position mode the robot limits the joints' speeds itself,
        see `speed_ratio`.
        """
        if mode == "torque":
            for joint, (cap, speed) in enumerate(zip(self.velocity_rad_s, qd_rad_s)):  # noqa: B905 - Python 3.8
                if abs(speed) > cap:
                    return f"joint {joint} moves at {speed:.2f} rad/s, at most {cap:g} is allowed"
        if mode in ("torque", "position") and self.hand_speed_m_s:
            speed = speed_m_s(hand_jacobian(q_rad), qd_rad_s)
            if speed > self.hand_speed_m_s:
                return f"the hand moves at {speed:.2f} m/s, at most {self.hand_speed_m_s:g} is allowed"
        return ""


class Output(NamedTuple):
    """Output of one tick: "velocity", "torque" or "position" with values, "exit" to position mode, or "" (none)."""

    kind: str
    values: Values = ()


NO_OUTPUT = Output("")


class CommandWatchdog:
    """Follows a command while it is valid, then stops the arm and returns to position mode.

    An expired command never becomes valid again. After any interval in which the robot could not be moved, all
    commands are rejected until `acknowledge`: another program may have stopped, reset and enabled the robot, and a
    client that has not noticed it must not move the arm. Every method may be called from any thread.

    Parameters
    ----------
    caps : Caps
    """

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.phase = "idle"
        self.command_seq = 0
        self.refused = 0
        self.refusal = ""
        self.interruption = ""
        self._lock = threading.Lock()
        self._sent: deque[tuple[int, float]] = deque(maxlen=64)
        self._newest_seq = 0
        self._command: Command | None = None
        self._since_s = 0.0
        self._ticks = 0
        self._last_step_s: float | None = None
        self._jacobian: tuple[Values, tuple] = ((), ())

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

        `problem` is the reason why the robot cannot be moved now, or "". `q_rad` are the joint positions, needed where
        the speed of the hand is limited. A rejected command also ends the previous one, unless its number is merely an
        old one: the sender of an invalid command may have sent others.
        """
        with self._lock:
            if command.seq <= self._newest_seq:
                why = f"seq must be over {self._newest_seq}, got {command.seq}"
            else:
                self._newest_seq = command.seq
                why = self._too_old(command, now_s) or problem or self._interrupted() or self._too_much(command, q_rad)
                if why:
                    self._stop(now_s)
            self.refusal = why
            if why:
                self.refused += 1
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
            return NO_OUTPUT

    def _stop(self, now_s: float) -> None:
        if self._command is not None:
            self.phase, self._command, self._since_s = "stopping", None, now_s

    def _interrupted(self) -> str:
        if not self.interruption:
            return ""
        return f"the arm could not be moved meanwhile ({self.interruption}): hold, then start again"

    def _too_much(self, command: Command, q_rad: Values) -> str:
        if self.caps.hand_speed_m_s and self._jacobian[0] is not q_rad:  # once per sample of the joints
            self._jacobian = (q_rad, hand_jacobian(q_rad))
        return self.caps.problem(command, self._jacobian[1])

    def _too_old(self, command: Command, now_s: float) -> str:
        sent_s = dict(self._sent).get(command.state_seq)
        if sent_s is None:
            return f"it answers state {command.state_seq}, which is unknown or long ago"
        if now_s - sent_s > self.caps.answer_age_s:
            return f"it answers a state from {now_s - sent_s:.2f} s ago; {self.caps.answer_age_s:g} s is allowed"
        return ""
