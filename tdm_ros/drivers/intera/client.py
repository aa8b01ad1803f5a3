"""Client of the worker, in the process of the node `arm`. No call blocks the 20 Hz loop."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.authentication import MessageCodes, is_proof, keys_of, proof_of

_ROS2 = ("AMENT_", "COLCON_", "RMW_", "ROS_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "ZENOH_")
_PATHS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH", "VIRTUAL_ENV")


def ros1_environment(
    environ: Mapping[str, str], master_uri: str, host_ip: str = "", python_path: Sequence[str] = ()
) -> dict[str, str]:
    """Return an environment for ROS 1, without ROS 2.

    Both have packages called std_msgs, sensor_msgs and so on: the first one on the path breaks the other.

    ``master_uri`` and ``host_ip`` are parameters `ros1.*` of the node `arm`; ``host_ip`` is empty if the robot resolves
    the host name. ``python_path`` are folders of the SDK and its messages.
    """
    if not master_uri.startswith("http://"):
        raise ValueError(f"master_uri must be like http://robot.local:11311, got {master_uri!r}")
    env = {name: value for name, value in environ.items() if not name.startswith(_ROS2) and name not in _PATHS}
    prefixes = (sys.prefix, *environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    ours = {os.path.realpath(prefix) for prefix in prefixes if prefix not in ("", sys.base_prefix)}
    words = environ.get("PATH", os.defpath).split(os.pathsep)
    env["PATH"] = os.pathsep.join(word for word in words if os.path.dirname(os.path.realpath(word)) not in ours)
    env["ROS_MASTER_URI"] = master_uri
    if host_ip:
        env["ROS_IP"] = host_ip
    if python_path:
        env["PYTHONPATH"] = os.pathsep.join(python_path)
    return env


WORKER = str(Path(__file__).with_name("worker.py"))
"""Program of the worker: `[ROS 1 Python, WORKER]` is its command."""

SILENT_S = 0.1
"""Time without a state after which a worker counts as lost [s]."""

CATCH_UP_S = 0.02
"""Age of the newest state from which `ArmClient.state` reads what has arrived [s]: the reading thread may be late."""

CATCH_UP_WAIT_S = 0.01
"""Longest wait of `ArmClient.state` for a thread that is reading just now [s]: that one may hang."""

CLOSING_S = 1.5

ALIVE_S = 1.0
"""Longest interval between two messages to a worker that sends states [s]."""


class InteraError(RuntimeError):
    """The worker did not start; the text is the worker's reason."""


class Reading(NamedTuple):
    """The newest state, or None before the first.

    `age_s` is the age of its joint positions [s], infinite without any; `problem` is the reason why the worker cannot
    be relied on, or "".
    """

    state: wire.State | None
    age_s: float
    problem: str


class ArmClient:
    """Client of a worker process, which ``process`` is if this process started it. No call but `wait_ready` waits.

    A subclass sends and receives messages. All times are on the steady ``clock`` of this process.
    """

    def __init__(
        self, process: subprocess.Popen[bytes] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._process, self._clock = process, clock
        self._lock = threading.Lock()
        self._newest: tuple[wire.State, float] | None = None
        self._pending: dict[int, Future[wire.Answer]] = {}
        self._numbers = 0
        self._command_seq = 0
        self._lost = ""
        self._hello: wire.Hello | None = None
        self._known = threading.Event()

    def close(self) -> int | None:
        """Let the worker stop the arm and end; return its exit status if this process started it. Idempotent."""
        raise NotImplementedError

    def wait_ready(self, timeout_s: float = wire.UP_S + 5.0) -> wire.Hello:
        """Wait until the worker is connected to the robot; an InteraError if it fails, ends, or sends nothing."""
        self._known.wait(timeout_s)
        if self._hello is None or self._lost:
            raise InteraError(self._why_lost() or f"the worker sent nothing for {timeout_s:g} s")
        return self._hello

    @property
    def hello(self) -> wire.Hello:
        """First message of the worker; call `wait_ready` before."""
        assert self._hello is not None, "wait_ready comes first"
        return self._hello

    def state(self) -> Reading:
        """Return the newest state with its age. An old one is no exception: see `Reading`.

        A garbage collection or a long import stops the reading thread for 0.1 s and more; that is no silence of the
        worker.
        """
        if self._newest is None or self._clock() - self._newest[1] > CATCH_UP_S:
            self._catch_up()
        newest = self._newest
        if newest is None:
            return Reading(None, np.inf, self._why_lost() or "the worker has sent no state yet")
        state, arrived_s = newest
        silent_s = self._clock() - arrived_s
        problem = self._why_lost()
        if not problem and silent_s > SILENT_S:
            problem = f"the worker has been silent for {silent_s:.2f} s"
        return Reading(state, silent_s + state.joints_age_s, problem)

    def command(self, mode: str, values: ArrayLike, hold_s: float = wire.HOLD_S) -> str:
        """Move the joints by (7,) [rad/s or N m]; return why nothing was sent, or "".

        The worker may still reject it; see `rejection` of the state.
        """
        state, _, problem = self.state()
        if state is None or problem:
            return problem
        self._command_seq += 1
        joints = tuple(np.atleast_1d(np.asarray(values, np.float64)).tolist())
        try:
            sent = self._send(wire.Command(self._command_seq, state.seq, mode, joints, hold_s), droppable=True)
        except wire.WireError as error:
            return str(error)
        except OSError as error:
            return f"the socket to the worker broke: {error}"
        return "" if sent else "the worker does not read: the command was left out"

    def request(self, action: str, value: float = 0.0) -> Future[wire.Answer]:
        """Send a request, which `wire.Request` describes. Its future always gets an answer, also of a lost worker.

        "enable" switches the motors on, unless the robot is stopped; "reset" clears a stop, and the motors stay off;
        "stop" switches them off and applies the brakes: a software e-stop. "hold" stops, and holds the position.
        """
        future: Future[wire.Answer] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled, so that the reader may always set it
        with self._lock:
            self._numbers += 1
            number, reason = self._numbers, self._lost
            self._pending[number] = future
        try:
            if not reason and not self._send(wire.Request(number, action, float(value))):
                reason = "the worker does not read"
        except (wire.WireError, OSError) as error:
            reason = str(error)
        if reason:
            self._settle(wire.Answer(number, reason))
        return future

    def _catch_up(self) -> None:
        """Take what has arrived and was not read yet; wait for nothing but `CATCH_UP_WAIT_S`."""
        raise NotImplementedError

    def _take(self, message: wire.Message, sent_s: float | None = None) -> None:
        """Take a message; ``sent_s`` is the time at which it was sent, where it is known on our clock [s]."""
        if isinstance(message, wire.State):
            now_s = self._clock()
            self._newest = (message, now_s if sent_s is None else min(sent_s, now_s))
        elif isinstance(message, wire.Answer):
            self._settle(message)
        elif isinstance(message, wire.Failure):
            self._lose(message.reason)
        elif isinstance(message, wire.Hello) and message.version == wire.VERSION:
            self._hello = message
            self._known.set()
        else:
            raise wire.WireError(f"a worker of protocol {wire.VERSION} sends hello, states and answers, got {message}")

    def _settle(self, answer: wire.Answer) -> None:
        with self._lock:
            future = self._pending.pop(answer.number, None)
        if future is not None:
            future.set_result(answer)

    def _lose(self, why: str) -> None:
        """Keep the first reason, and answer all pending requests."""
        with self._lock:
            self._lost = self._lost or why
            pending, self._pending = self._pending, {}
        for number, future in pending.items():
            future.set_result(wire.Answer(number, self._lost))
        self._known.set()

    def _why_lost(self) -> str:
        status = self._process.poll() if self._process is not None else None
        if status is None:
            return self._lost
        ended = f"the worker ended with status {status}"
        return f"{self._lost} ({ended})" if self._lost else ended

    def _send(self, message: wire.Message, droppable: bool = False) -> bool:
        """Send a message and return whether it was sent; see `wire.Sender`."""
        raise NotImplementedError

    def _ended(self) -> int | None:
        """Wait until the worker has ended, and end it if it does not."""
        if self._process is None:
            return None
        try:
            return self._process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class InteraClient(ArmClient):
    """Client of a worker at the other end of a socket.

    ``frames`` hold what has been received already; ``codes``, if given, are those of our messages.
    """

    def __init__(
        self,
        link: socket.socket,
        process: subprocess.Popen[bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
        frames: wire.Frames | None = None,
        codes: MessageCodes | None = None,
    ) -> None:
        super().__init__(process, clock)
        self._link = link
        # A small buffer: a request must not wait behind many commands for a worker that reads slowly.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self._sender = wire.Sender(link, codes)
        self._frames = frames or wire.Frames()
        self._alive_s = clock()
        self._reading = threading.RLock()
        self._reader = threading.Thread(target=self._read, name="intera reader", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, command: Sequence[str], env: Mapping[str, str]) -> InteraClient:
        """Start a worker on this machine by its program and arguments, with its own socket and in its own session."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    [*command, "--fd", str(theirs.fileno())],
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # output of rospy
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise InteraError(f"the worker {command[0]!r} cannot be started: {error}") from None
        return cls(ours, process)

    @classmethod
    def connect(cls, host: str, port: int, secret: bytes, timeout_s: float = 3.0) -> InteraClient:
        """Connect to a worker that runs with `--listen`; an InteraError if either side rejects the other."""
        where = f"{host}:{port}"
        try:
            link = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise InteraError(f"no worker answers at {where} ({error}): start it with --listen") from None
        frames = wire.Frames()
        try:
            codes = _prove(link, frames, secret)
        except (OSError, wire.WireError, InteraError) as error:
            link.close()
            raise InteraError(f"the worker at {where} cannot be used: {str(error) or type(error).__name__}") from None
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(link, frames=frames, codes=codes)

    def close(self) -> int | None:
        self._lose("closed")
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._reader.join(CLOSING_S)
        self._link.close()
        return self._ended()

    def _send(self, message: wire.Message, droppable: bool = False) -> bool:
        return self._sender.send(message, droppable)

    def _read(self) -> None:
        try:
            with self._reading:
                self._feed(b"")  # bytes that followed the worker's proof are in the frames already
            while not self._lost and self._link.recv(1, socket.MSG_PEEK):
                self._catch_up()
        except (OSError, wire.WireError) as error:
            self._cut(error)
        self._catch_up()  # the end of the stream

    def _catch_up(self) -> None:
        if not self._reading.acquire(timeout=CATCH_UP_WAIT_S):
            return
        try:
            data = self._link.recv(65536, socket.MSG_DONTWAIT)
            self._feed(data)
            if not data:
                self._frames.end()
                self._lose("the worker closed its socket")
        except BlockingIOError:
            pass
        except (OSError, wire.WireError) as error:
            self._cut(error)
        finally:
            self._reading.release()

    def _cut(self, error: Exception) -> None:
        """End a connection whose stream cannot be read any more: the worker then stops the arm at once."""
        self._lose(f"the socket to the worker broke: {error}")
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _feed(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._take(message)
            self._keep_alive()

    def _keep_alive(self) -> None:
        if self._newest is not None and self._newest[1] - self._alive_s > ALIVE_S:
            self._alive_s = self._newest[1]
            self._sender.send(wire.Alive(), droppable=True)


def _prove(link: socket.socket, frames: wire.Frames, secret: bytes) -> MessageCodes:
    """Authenticate both sides, or raise an InteraError, OSError or WireError.

    Returns the codes of our messages; ``frames`` get those of the worker's.
    """
    challenge = _next(link, frames)
    if not isinstance(challenge, wire.Challenge):
        raise InteraError("it sends no challenge: is it a worker of this version?")
    nonce = secrets.token_hex(32)
    link.sendall(wire.encode(wire.Proof(nonce, proof_of(secret, "client", challenge.nonce, nonce))))
    answer = _next(link, frames)
    if not isinstance(answer, wire.Proof) or not is_proof(answer.mac, secret, "worker", challenge.nonce, nonce):
        raise InteraError("it does not know our secret")
    keys = keys_of(secret, challenge.nonce, nonce)
    frames.codes = MessageCodes(keys.worker)
    return MessageCodes(keys.client)


def _next(link: socket.socket, frames: wire.Frames) -> wire.Message:
    """The next message; an InteraError with its reason if it is a failure, or if the connection is closed."""
    data = b""
    while True:
        for message in frames.feed(data):
            if isinstance(message, wire.Failure):
                raise InteraError(message.reason)
            return message
        data = link.recv(4096)
        if not data:
            raise InteraError("it closed the connection")
