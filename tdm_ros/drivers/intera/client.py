"""Client of the worker, in the process of the node `arm`. No call blocks the 20 Hz loop."""

from __future__ import annotations

import os
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
from tdm_ros.drivers.intera.wire import is_proof, new_nonce, proof_of

_ROS2 = ("AMENT_", "COLCON_", "RMW_", "ROS_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "ZENOH_")
_PATHS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH", "VIRTUAL_ENV")


def ros1_environment(
    environ: Mapping[str, str], master_uri: str, host_ip: str = "", python_path: Sequence[str] = ()
) -> dict[str, str]:
    """Return an environment for ROS 1, without ROS 2.

    Both have packages called std_msgs, sensor_msgs and so on: the first one on the path breaks the other.

    Parameters
    ----------
    environ : mapping of str to str
        Environment of the ROS 2 process.
    master_uri : str
        Like "http://robot.local:11311".
    host_ip : str
        This machine's address on the robot's network, to which the robot connects back. Empty if the robot resolves
        the host name.
    python_path : sequence of str
        Folders of the SDK and its messages, then those of stubs for its missing dependencies.

    Raises
    ------
    ValueError
        If `master_uri` is not an http address.
    """
    if not master_uri.startswith("http://"):
        raise ValueError(f"master_uri must be like http://robot.local:11311, got {master_uri!r}")
    env = {name: value for name, value in environ.items() if not name.startswith(_ROS2) and name not in _PATHS}
    ours = {os.path.realpath(prefix) for prefix in (sys.prefix, *_prefixes(environ)) if prefix != sys.base_prefix}
    words = environ.get("PATH", os.defpath).split(os.pathsep)
    env["PATH"] = os.pathsep.join(word for word in words if os.path.dirname(os.path.realpath(word)) not in ours)
    env["ROS_MASTER_URI"] = master_uri
    if host_ip:
        env["ROS_IP"] = host_ip
    if python_path:
        env["PYTHONPATH"] = os.pathsep.join(python_path)
    return env


def _prefixes(environ: Mapping[str, str]) -> list[str]:
    return [prefix for prefix in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]


WORKER = str(Path(__file__).with_name("worker.py"))
"""Program of the worker: `[ROS 1 Python, WORKER]` is its command."""

SILENT_S = 0.1
"""Time without a state after which a worker counts as lost [s]."""

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
    """Client of a worker process. A subclass sends and receives its messages. No call but `wait_ready` waits.

    Parameters
    ----------
    process : subprocess.Popen, optional
        The worker, if this process started it.
    clock : callable returning float [s]
        Steady; all times are of this process.
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
        """Wait until the worker is connected to the robot. A robot that is absent may be reported after 30 s.

        Raises
        ------
        InteraError
            If it fails, ends, or sends nothing for that long.
        """
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
        """Return the newest state with its age. An old one is no exception: see `Reading`."""
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
        """Move the joints by (7,) [rad/s, N m or rad]; return why nothing was sent, or "".

        The worker may still reject it; see `refusal` of the state.
        """
        state, _, problem = self.state()
        if state is None or problem:
            return problem
        array = np.asarray(values, np.float64)
        if array.shape != (wire.JOINTS,) or not np.isfinite(array).all():
            return f"a command must be {wire.JOINTS} finite values, got {array}"
        self._command_seq += 1
        try:
            command = wire.Command(self._command_seq, state.seq, mode, tuple(array.tolist()), float(hold_s))
            sent = self._send(command, droppable=True)
        except wire.WireError as error:
            return str(error)
        except OSError as error:
            return f"the socket to the worker broke: {error}"
        return "" if sent else "the worker does not read: the command was left out"

    def hold(self) -> Future[wire.Answer]:
        """Stop, and hold the position."""
        return self._ask("hold")

    def enable(self) -> Future[wire.Answer]:
        """Switch the motors on, unless the robot is stopped."""
        return self._ask("enable")

    def reset(self) -> Future[wire.Answer]:
        """Clear a stop; the motors stay off."""
        return self._ask("reset")

    def stop(self) -> Future[wire.Answer]:
        """Switch the motors off and apply the brakes: a software e-stop."""
        return self._ask("stop")

    def speed_ratio(self, ratio: float) -> Future[wire.Answer]:
        """Set the speed of position mode, in (0, 1] of the joints' limits."""
        return self._ask("speed_ratio", ratio)

    def gripper(self, position_m: float) -> Future[wire.Answer]:
        """Open or close the gripper to a width [m]."""
        return self._ask("gripper", position_m)

    def light(self, name: str, on: bool) -> Future[wire.Answer]:
        """Switch a light on or off."""
        return self._ask("light", float(on), name)

    def step(self, seconds: float) -> Future[wire.Answer]:
        """Let time pass in a simulated world that waits for it [s]."""
        return self._ask("step", seconds)

    def _ask(self, action: str, value: float = 0.0, name: str = "") -> Future[wire.Answer]:
        """Send a request. Its future always gets an answer, also when the worker is lost."""
        future: Future[wire.Answer] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled, so that the reader may always set it
        with self._lock:
            self._numbers += 1
            number, lost = self._numbers, self._lost
            if not lost:
                self._pending[number] = future
        if lost:
            future.set_result(wire.Answer(number, False, lost))
            return future
        reason = "the worker does not read"
        try:
            sent = self._send(wire.Request(number, action, float(value), name))
        except (wire.WireError, OSError) as error:
            sent, reason = False, str(error)
        if not sent:
            self._settle(wire.Answer(number, False, reason))
        return future

    def _take(self, message: wire.Message) -> None:
        if isinstance(message, wire.State):
            self._newest = (message, self._clock())
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
            future.set_result(wire.Answer(number, False, self._lost))
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

    Parameters
    ----------
    link : socket
        Connected to a worker.
    process : subprocess.Popen, optional
        The worker, if this process started it.
    clock : callable returning float [s]
        Steady.
    frames : wire.Frames, optional
        Parser that holds what has been received already.
    """

    def __init__(
        self,
        link: socket.socket,
        process: subprocess.Popen[bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
        frames: wire.Frames | None = None,
    ) -> None:
        super().__init__(process, clock)
        self._link = link
        # A small buffer: a request must not wait behind many commands for a worker that reads slowly.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self._sender = wire.Sender(link)
        self._frames = frames or wire.Frames()
        self._alive_s = clock()
        self._reader = threading.Thread(target=self._read, name="intera reader", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, command: Sequence[str], env: Mapping[str, str]) -> InteraClient:
        """Start a worker on this machine, with its own socket and in its own session.

        Parameters
        ----------
        command : sequence of str
            Program and arguments; `--fd` and the socket's number follow them.
        env : mapping of str to str
            The whole environment, see `ros1_environment`.

        Raises
        ------
        InteraError
            If the program cannot be started.
        """
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
        """Connect to a worker that runs with `--listen`, elsewhere or in a container.

        Raises
        ------
        InteraError
            If no worker answers there, it rejects the connection, or does not know the secret.
        """
        where = f"{host}:{port}"
        try:
            link = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise InteraError(f"no worker answers at {where} ({error}): start it with --listen") from None
        frames = wire.Frames()
        try:
            _prove(link, frames, secret)
        except (OSError, wire.WireError, InteraError) as error:
            link.close()
            raise InteraError(f"the worker at {where} cannot be used: {str(error) or type(error).__name__}") from None
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(link, frames=frames)

    def close(self) -> int | None:
        """Let the worker stop the arm and end; return its exit status if this process started it. Idempotent."""
        self._lose("closed")
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._reader.join(CLOSING_S)
        self._link.close()
        return self._ended()

    def _send(self, message: wire.Message, droppable: bool = False) -> bool:
        return self._sender.send(message, droppable)

    def _read(self) -> None:
        data = b""  # bytes that followed the worker's proof are in the frames already
        try:
            while True:
                for message in self._frames.feed(data):
                    self._take(message)
                    self._keep_alive()
                data = self._link.recv(65536)
                if not data:
                    break
            self._frames.end()
            self._lose("the worker closed its socket")
        except (OSError, wire.WireError) as error:
            self._lose(f"the socket to the worker broke: {error}")

    def _keep_alive(self) -> None:
        if self._newest is not None and self._newest[1] - self._alive_s > ALIVE_S:
            self._alive_s = self._newest[1]
            self._sender.send(wire.Alive(), droppable=True)


def _prove(link: socket.socket, frames: wire.Frames, secret: bytes) -> None:
    """Authenticate both sides.

    Raises
    ------
    InteraError, OSError, WireError
        If the worker does not know the secret, or rejects the connection.
    """
    challenge = _next(link, frames)
    if not isinstance(challenge, wire.Challenge):
        raise InteraError(_refusal(challenge, "it sends no challenge: is it a worker of this version?"))
    nonce = new_nonce()
    link.sendall(wire.encode(wire.Proof(nonce, proof_of(secret, "client", challenge.nonce, nonce))))
    answer = _next(link, frames)
    if not isinstance(answer, wire.Proof) or not is_proof(answer.mac, secret, "worker", challenge.nonce, nonce):
        raise InteraError(_refusal(answer, "it does not know our secret"))


def _next(link: socket.socket, frames: wire.Frames) -> wire.Message:
    data = b""
    while True:
        for message in frames.feed(data):
            return message
        data = link.recv(4096)
        if not data:
            raise InteraError("it closed the connection")


def _refusal(message: wire.Message, otherwise: str) -> str:
    return message.reason if isinstance(message, wire.Failure) else otherwise
