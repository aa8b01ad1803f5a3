"""Protocol between the arm process and the ROS 1 worker: length-prefixed JSON on a stream socket, and the secret.

The proof is an HMAC over the nonces of both sides. It authenticates both sides when the connection begins; the messages
after it are neither encrypted nor authenticated. Standard library only, and Python 3.8.

A frame is the length of its body as four bytes, the most significant first, and the body: one JSON object whose
`"type"` names a message below. Standard library only, and Python 3.8: the worker runs in a ROS 1 Python.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

LEAST_CHARACTERS = 32


def read_secret(path: str) -> bytes:
    """Return the secret in a file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If others than its owner may read it, or it is too short.
    """
    path = os.path.expanduser(path)
    with open(path, "rb") as file:
        mode, text = os.fstat(file.fileno()).st_mode & 0o777, file.read().strip()
    if mode & 0o077:
        raise ValueError(f"only its owner may read the secret {path}, its mode is {mode:o}: chmod 600 {path}")
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(
            f"the secret {path} must have at least {LEAST_CHARACTERS} characters, got {len(text)}: "
            f"openssl rand -hex 32 > {path}"
        )
    return text


def new_nonce() -> str:
    """Return a nonce: a random number that is used once, as text."""
    return secrets.token_hex(32)


def proof_of(secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> str:
    """Return the proof that a side, "worker" or "client", knows the secret."""
    text = f"tdm_ros {side} {worker_nonce} {client_nonce}"
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def is_proof(mac: str, secret: bytes, side: str, worker_nonce: str, client_nonce: str) -> bool:
    """Return whether a proof is that of a side that knows the secret; takes the same time for every wrong proof."""
    return hmac.compare_digest(mac.encode(), proof_of(secret, side, worker_nonce, client_nonce).encode())


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = 2
JOINTS = 7
MAX_BYTES = 16384
"""Longest body of a frame. A state has about 900."""

UP_S = 40.0
"""Longest time of a worker's start [s]; then it sends the reason and ends."""

MODES = ("velocity", "torque", "position")
HOLD_S = 0.15
"""Validity of a command when no other follows [s], and its largest value."""

ACTIONS = ("hold", "enable", "reset", "stop", "speed_ratio", "gripper", "light", "step")

_HEADER = struct.Struct(">I")


class WireError(ValueError):
    """A message that the protocol does not allow."""


@dataclass(frozen=True)
class Hello:
    """The worker is up.

    Parameters
    ----------
    version : int
        Of this protocol.
    interface : str
        "genuine" for Rethink's intera_interface, "stand-in" for the one in our tests.
    sdk, robot : str
        Versions of intera_interface and of the software on the robot.
    joints : tuple of str, length 7
    missing : tuple of str
        Missing devices, each with a reason, for the operator.
    """

    version: int
    interface: str
    sdk: str
    robot: str
    joints: tuple[str, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The worker cannot start or go on; it ends with this exit code."""

    reason: str
    code: int


@dataclass(frozen=True)
class State:
    """State of the robot and of the worker, 100 times per second.

    Parameters
    ----------
    seq : int
    stamp_s : float
        Time of sending on the worker's steady clock [s].
    joints_age_s : float
        Time since the last new joint states of the robot [s].
    q_rad, qd_rad_s, effort_n_m : (7,) float
    p_base_hand_m : (3,) float
    quat_wxyz : (4,) float
    hand_twist : (6,) float
        Velocity [m/s], then angular velocity [rad/s], of the hand in frame base.
    enabled, stopped, error, homed, collided, cuff : bool
    estop : bool
        The e-stop button is pressed.
    buttons : dict of str to int
        Buttons of navigator and cuff, by the vendor's names: 0 off, 1 click, 2 long press, 3 double click.
    problem : str
        Reason why the arm cannot be moved now, or "".
    phase : str
        Output to the arm: "idle" none, "following" a command, "stopping" zero velocity, "leaving" velocity mode.
    command_seq : int
        Number of the last accepted command.
    refused : int
        Number of rejected commands.
    refusal : str
        Reason of the rejection of the last command; "" if it was accepted.
    interruption : str
        Reason why the arm could not be moved at some time since the last "hold" or "enable", or "". All commands are
        rejected while it is not "".
    """

    seq: int
    stamp_s: float
    joints_age_s: float
    q_rad: tuple[float, ...]
    qd_rad_s: tuple[float, ...]
    effort_n_m: tuple[float, ...]
    p_base_hand_m: tuple[float, ...]
    quat_wxyz: tuple[float, ...]
    hand_twist: tuple[float, ...]
    enabled: bool
    stopped: bool
    error: bool
    estop: bool
    homed: bool
    collided: bool
    cuff: bool
    buttons: dict[str, int]
    problem: str
    phase: str
    command_seq: int
    refused: int
    refusal: str
    interruption: str


@dataclass(frozen=True)
class Command:
    """Move the joints.

    Parameters
    ----------
    seq : int
        Larger than that of every earlier command.
    state_seq : int
        The newest state that the sender had. The worker knows when it sent that state, and so the age of the
        decision, without a comparison of two machines' clocks.
    mode : "velocity", "torque" or "position"
    values : (7,) float [rad/s, N m or rad]
    hold_s : float
        Validity when no other command follows [s].
    """

    seq: int
    state_seq: int
    mode: str
    values: tuple[float, ...]
    hold_s: float = HOLD_S


@dataclass(frozen=True)
class Request:
    """Request that is no motion; `action` is one of `ACTIONS`.

    `value` is a ratio for "speed_ratio", metres for "gripper", 0 or 1 for "light" (whose name is in `name`),
    seconds for "step", and unused otherwise.
    """

    number: int
    action: str
    value: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """Result of a request; `reason` is that of a failure."""

    number: int
    done: bool
    reason: str = ""


@dataclass(frozen=True)
class Alive:
    """Sign of life of a client without a command."""


@dataclass(frozen=True)
class Challenge:
    """First message of a worker that listens."""

    nonce: str


@dataclass(frozen=True)
class Proof:
    """Proof that the sender knows the secret: first that of the client, then that of the worker."""

    nonce: str
    mac: str


Message = Union[  # noqa: UP007 - evaluated, by Python 3.8 too
    Hello, Failure, State, Command, Request, Answer, Alive, Challenge, Proof
]
_CLASSES = (Hello, Failure, State, Command, Request, Answer, Alive, Challenge, Proof)
_TYPES = {cls.__name__.lower(): cls for cls in _CLASSES}
_LENGTHS = {"p_base_hand_m": 3, "quat_wxyz": 4, "hand_twist": 6, "joints": JOINTS, "missing": None}


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises
    ------
    WireError
        If a field has another type, a number is not finite, or the body is too long.
    """
    fields = vars(message)
    check(message)
    body = json.dumps({"type": type(message).__name__.lower(), **fields}, allow_nan=False).encode()
    if len(body) > MAX_BYTES:
        raise WireError(f"a {type(message).__name__} may have {MAX_BYTES} bytes, got {len(body)}: shorten its texts")
    return _HEADER.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Return the message in the body of a frame.

    Raises
    ------
    WireError
        If it is not JSON, not a message, or a field is missing, unknown, of another type or not finite.
    """
    try:
        fields = json.loads(body.decode())
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError(f"a frame must hold a JSON object, got {body[:40]!r}: {error}") from None
    kind = fields.pop("type", None) if isinstance(fields, dict) else None
    cls = _TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise WireError(f"a message's type must be one of {', '.join(_TYPES)}, got {kind!r}: use one version")
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    _check(cls, fields)
    return cls(**fields)


class Frames:
    """Splits a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now.

        Raises
        ------
        WireError
            If a frame is too long or not a message. The rest of the stream cannot be read: close it.
        """
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._rest)
            if size > MAX_BYTES:
                raise WireError(f"a frame may have {MAX_BYTES} bytes, got {size}: is the other side our worker?")
            end = _HEADER.size + size
            if len(self._rest) < end:
                return
            body, self._rest = self._rest[_HEADER.size : end], self._rest[end:]
            yield decode(body)

    def end(self) -> None:
        """Mark the end of the stream.

        Raises
        ------
        WireError
            If it is in the middle of a frame.
        """
        if self._rest:
            raise WireError(f"the stream ended within a frame, {len(self._rest)} bytes into it")


class Sender:
    """Writes whole frames to a socket and never waits; any thread may call it.

    Parameters
    ----------
    link : socket
    limit_bytes : int
        Size of the queue for a peer that does not read.
    """

    def __init__(self, link: socket.socket, limit_bytes: int = 4 * MAX_BYTES) -> None:
        self._link, self._limit_bytes = link, limit_bytes
        self._rest = b""
        self._lock = threading.Lock()

    def send(self, message: Message, droppable: bool = False) -> bool:
        """Send or queue a message; return False if it was dropped.

        A droppable message is dropped while others wait, since a newer one follows.

        Raises
        ------
        WireError
            See `encode`.
        OSError
            If the connection is closed.
        """
        frame = encode(message)
        with self._lock:
            self._flush()
            if self._rest and (droppable or len(self._rest) + len(frame) > self._limit_bytes):
                return False
            self._rest += frame
            self._flush()
            return True

    def _flush(self) -> None:
        while self._rest:
            try:
                sent = self._link.send(self._rest, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            self._rest = self._rest[sent:]


def check(message: Message) -> None:
    """Check the fields of a message.

    Raises
    ------
    WireError
        If one has another type, or a number is not finite.
    """
    _check(type(message), vars(message))


def _check(cls: type, fields: dict[str, Any]) -> None:
    wanted = {field.name: field for field in dataclasses.fields(cls)}
    unknown = set(fields) - set(wanted)
    optional = {name for name, field in wanted.items() if field.default is not dataclasses.MISSING}
    absent = set(wanted) - set(fields) - optional
    if unknown or absent:
        raise WireError(f"{cls.__name__}: missing fields {sorted(absent)}, unknown fields {sorted(unknown)}")
    for name, value in fields.items():
        if not _FITS[str(wanted[name].type)](name, value):
            raise WireError(f"{cls.__name__}.{name} must be {_wanted(name, str(wanted[name].type))}, got {value!r}")


def _wanted(name: str, kind: str) -> str:
    if "float, ..." in kind:
        return f"{_LENGTHS.get(name, JOINTS)} finite numbers"
    return {"float": "a finite number", "int": "a whole number"}.get(kind, kind)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _fixed(name: str, value: object, fits: Callable[[object], bool]) -> bool:
    length = _LENGTHS.get(name, JOINTS)
    return isinstance(value, tuple) and len(value) == (length or len(value)) and all(map(fits, value))


_FITS: dict[str, Callable[[str, Any], bool]] = {
    "int": lambda name, value: _whole(value),
    "float": lambda name, value: _number(value),
    "bool": lambda name, value: isinstance(value, bool),
    "str": lambda name, value: isinstance(value, str),
    "tuple[float, ...]": lambda name, value: _fixed(name, value, _number),
    "tuple[str, ...]": lambda name, value: _fixed(name, value, lambda item: isinstance(item, str)),
    "dict[str, int]": lambda name, value: isinstance(value, dict) and all(map(_whole, value.values())),
}
