"""Protocol between the arm process and the ROS 1 worker: length-prefixed JSON on a stream socket.

A frame is the length of its body as four bytes, the most significant first, and the body: one JSON object whose
`"type"` names a message below. On a connection over the network both sides prove first that they know the secret, and
each frame after the proofs ends with a code of `MessageCodes`. Nothing is encrypted. Standard library only, and
Python 3.8: the worker runs in a ROS 1 Python.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, get_args

from tdm_ros.drivers.intera.authentication import MessageCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = 4
JOINTS = 7
MAX_BYTES = 16384
"""Longest body of a frame. A state has about 900."""

UP_S = 40.0
"""Longest time of a worker's start [s]; then it sends the reason and ends."""

HOLD_S = 0.15
"""Validity of a command when no other follows [s], and its largest value."""

_HEADER = struct.Struct(">I")


class WireError(ValueError):
    """A message that the protocol does not allow."""


@dataclass(frozen=True)
class Hello:
    """The worker is up.

    `interface` is "genuine" for Rethink's intera_interface, "stand-in" for the one in our tests; `sdk` and `robot` are
    versions; `missing` names missing devices, each with a reason, for the operator.
    """

    version: int
    interface: str
    sdk: str
    robot: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Reason why the worker cannot start or go on; it ends."""

    reason: str


@dataclass(frozen=True)
class State:
    """State of the robot and of the worker, 100 times per second; `WatchdogState.msg` describes each field.

    `cuff` is whether the cuff is held; `buttons` are those of navigator and cuff, by the vendor's names: 0 off, 1
    click, 2 long press, 3 double click.
    """

    seq: int
    stamp_s: float
    joints_age_s: float
    q_rad: tuple[float, ...]
    qd_rad_s: tuple[float, ...]
    effort_n_m: tuple[float, ...]
    p_base_hand_m: tuple[float, ...]
    quat_wxyz: tuple[float, ...]
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
    rejected: int
    rejection: str
    interruption: str


@dataclass(frozen=True)
class Command:
    """Move the joints with ``values``, (7,) [rad/s or N m], by ``mode``, "velocity" or "torque".

    `seq` is larger than that of every earlier command. `state_seq` is the newest state that the sender had: the worker
    knows when it sent that state, and so the age of the decision, without a comparison of two machines' clocks.
    `hold_s` is the validity when no other command follows [s].
    """

    seq: int
    state_seq: int
    mode: str
    values: tuple[float, ...]
    hold_s: float = HOLD_S


@dataclass(frozen=True)
class Request:
    """Request that is no motion: hold, enable, reset, stop, or step by ``value`` [s]."""

    number: int
    action: str
    value: float = 0.0


@dataclass(frozen=True)
class Answer:
    """Result of a request: the reason why it was not carried out, or ""."""

    number: int
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether the request was carried out."""
        return not self.reason


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
_TYPES = {cls.__name__.lower(): cls for cls in get_args(Message)}
_LENGTHS = {"p_base_hand_m": 3, "quat_wxyz": 4, "missing": None}
"""Lengths of arrays that are not one value per joint; None: any."""


def encode(message: Message) -> bytes:
    """Return the frame of a message; a WireError as in `check`, or if the body is too long."""
    check(message)
    body = json.dumps({"type": type(message).__name__.lower(), **vars(message)}, allow_nan=False).encode()
    if len(body) > MAX_BYTES:
        raise WireError(f"a {type(message).__name__} may have {MAX_BYTES} bytes, got {len(body)}: shorten its texts")
    return _HEADER.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Return the message in the body of a frame.

    Raises WireError if it is not JSON, not a message, or a field is missing or unknown; see `check`, too.
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
    try:
        message: Message = cls(**fields)
    except TypeError as error:
        raise WireError(f"{cls.__name__}: {error}") from None
    check(message)
    return message


class Frames:
    """Splits a stream into messages; with ``codes``, each has to carry the next one of them."""

    def __init__(self, codes: MessageCodes | None = None) -> None:
        self.codes = codes
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now.

        Raises WireError if a frame is too long, not a message, or has another code. The rest of the stream cannot be
        read: close it.
        """
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._rest)
            if size > MAX_BYTES:
                raise WireError(f"a frame may have {MAX_BYTES} bytes, got {size}: is the other side our worker?")
            end = _HEADER.size + size
            all_of_it = end + (MessageCodes.SIZE if self.codes else 0)
            if len(self._rest) < all_of_it:
                return
            frame, code, self._rest = self._rest[:end], self._rest[end:all_of_it], self._rest[all_of_it:]
            if self.codes and not self.codes.fits(code, frame):
                raise WireError(
                    "a message was changed, repeated, left out or inserted on the way, or is of another version: "
                    "use one version on both sides, and a network that is yours"
                )
            yield decode(frame[_HEADER.size :])

    def end(self) -> None:
        """Mark the end of the stream; a WireError if it is in the middle of a frame."""
        if self._rest:
            raise WireError(f"the stream ended within a frame, {len(self._rest)} bytes into it")


class Sender:
    """Writes whole frames, with ``codes`` if given, to a socket and never waits; any thread may call it."""

    LIMIT_BYTES = 4 * MAX_BYTES
    """Size of the queue for a peer that does not read."""

    def __init__(self, link: socket.socket, codes: MessageCodes | None = None) -> None:
        self._link, self._codes = link, codes
        self._rest = b""
        self._lock = threading.Lock()

    def send(self, message: Message, droppable: bool = False) -> bool:
        """Send or queue a message; return False if it was dropped. An OSError if the connection is closed.

        A droppable message is dropped while others wait, since a newer one follows.
        """
        frame = encode(message)
        with self._lock:
            self._flush()
            if self._rest and (droppable or len(self._rest) + len(frame) > self.LIMIT_BYTES):
                return False
            self._rest += frame + (self._codes.next(frame) if self._codes else b"")
            self._flush()
            return True

    def _flush(self) -> None:
        while self._rest:
            try:
                sent = self._link.send(self._rest, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            self._rest = self._rest[sent:]


def check(message: Message, joints: int = JOINTS) -> None:
    """Raise a WireError if a field of a message has another type or length, or a number is not finite."""
    for field in dataclasses.fields(message):
        name, kind, value = field.name, str(field.type), getattr(message, field.name)
        if not _fits(name, kind, value, joints):
            wanted = {"float": "a finite number", "int": "a whole number"}.get(kind, kind)
            if kind == "tuple[float, ...]":
                wanted = f"{_LENGTHS.get(name, joints)} finite numbers"
            raise WireError(f"{type(message).__name__}.{name} must be {wanted}, got {value!r}")


def _fits(name: str, kind: str, value: Any, joints: int) -> bool:
    if kind in _FITS:
        return _FITS[kind](value)
    if kind == "dict[str, int]":
        return isinstance(value, dict) and all(map(_FITS["int"], value.values())) and all(map(_FITS["str"], value))
    length = _LENGTHS.get(name, joints)
    sized = isinstance(value, tuple) and len(value) == (length or len(value))
    return sized and all(map(_FITS["float" if kind == "tuple[float, ...]" else "str"], value))


_FITS: dict[str, Callable[[Any], bool]] = {
    "int": lambda value: type(value) is int and abs(value) < 2**53,
    "float": lambda value: type(value) in (int, float) and abs(value) < 1e15,
    "bool": lambda value: type(value) is bool,
    "str": lambda value: (
        type(value) is str and (value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value))
    ),
}
