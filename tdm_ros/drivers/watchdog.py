"""Node `arm_watchdog` of a topic-driven arm, a process of its own, and its client in the node `arm`.

Commands arrive on `arm_watchdog/command`, numbered, with the state that they answer and the time for which they are
valid. The node is the only publisher of the arm's controller topics while it runs. It publishes zero velocity, or what
else holds the arm, when the sender is late, frozen, killed or shut down. A subclass of `ArmTopics` describes the topics
of one kind of arm.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import secrets
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from tdm_ros.control.validation import Rejections
from tdm_ros.drivers.intera import wire, worker
from tdm_ros.drivers.intera.client import CATCH_UP_WAIT_S, ArmClient, InteraError
from tdm_ros.drivers.intera.command_watchdog import Caps, CommandWatchdog
from tdm_ros.drivers.intera.output import never_wait
from tdm_ros.drivers.intera.sdk import STATE_SILENT_S, UNUSABLE, Received
from tdm_ros.msg import WatchdogCommand, WatchdogState

POLL_S = 0.002
"""Interval at which subscriptions are read [s]; an executor needs 20 times the processor time per message."""
FOUND_S = 10.0
"""Longest time for the two processes to discover each other's topics [s]."""

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Matches reliable and best-effort publishers; keeps only the newest message."""
STATE = QoSProfile(depth=1)
"""arm_watchdog/state: only the newest one counts. It repeats the last answers."""
COMMANDS = QoSProfile(depth=20)
"""arm_watchdog/command: reliable and in order, so that a request follows the motion before it."""
ENCLAVE = "/tdm_ros/arm_watchdog"
"""Of SROS 2, where security is enabled; what it may do: `tdm_ros.bringup.permissions`."""
ANSWERS = 16
"""Number of answers that a state repeats."""


class _NoExecutor(CallbackGroup):
    """Keeps a subscription from the executor of its node."""

    def can_execute(self, entity: Any) -> bool:
        return False


class Polled:
    """Subscriptions of one node that are read by `poll`, from any thread. An error in one never ends the others."""

    def __init__(self, node: Node) -> None:
        self._node, self._group = node, _NoExecutor()
        self._subscriptions: list[tuple[Any, type, bool, int, Callable[[Any], None]]] = []
        self._clients: list[tuple[Any, Callable[[Any], None]]] = []
        self._lock = threading.RLock()
        self.rejections = Rejections(node.get_logger().error)

    def subscribe(
        self, kind: type, topic: str, receive: Callable[[Any], None], profile: QoSProfile, raw: bool = False
    ) -> None:
        """Pass every message of a topic to `receive`; serialised, if ``raw``."""
        made = self._node.create_subscription(kind, topic, receive, profile, callback_group=self._group, raw=raw)
        self._subscriptions.append((made, kind, raw, profile.depth, receive))

    def client(self, kind: type, service: str, receive: Callable[[Any], None]) -> Any:
        """Return a client of a service whose answers are passed to `receive`; call it by `ask`."""
        made = self._node.create_client(kind, service, callback_group=self._group)
        self._clients.append((made, receive))
        return made

    def poll(self) -> None:
        """Read what has arrived. A thread that has been reading for `CATCH_UP_WAIT_S` is left to it: it may hang."""
        if not self._lock.acquire(timeout=CATCH_UP_WAIT_S):
            return
        try:
            self._read_clients()
            self._read_subscriptions()
        finally:
            self._lock.release()

    def _read_clients(self) -> None:
        for made, receive in self._clients:
            try:
                with made.handle:
                    header, answer = made.handle.take_response(made.srv_type.Response)
                if header is not None:
                    receive(answer)
            except Exception as error:
                self.rejections.failed(made.srv_name, error)

    def _read_subscriptions(self) -> None:
        for made, kind, raw, depth, receive in self._subscriptions:
            for _ in range(depth):
                try:
                    with made.handle:
                        taken = made.handle.take_message(kind, raw)
                    if taken is None:
                        break
                    receive(taken[0])
                except Exception as error:  # bytes that are no message, or an error in `receive`
                    self.rejections.failed(made.topic_name, error)


def ask(client: Any, request: Any) -> None:
    """Send a request; a client of `Polled` keeps no list of those that are not answered."""
    client.remove_pending_request(client.call_async(request))


class ArmTopics(Received, ABC):
    """Topics of one kind of arm: the interface through which the watchdog reads and drives it.

    The node has no executor: `poll` reads its subscriptions.
    """

    interface = "topics"
    prompt = False
    """Publish a command when it arrives, and not only at the watchdog's next period."""
    motors: Any
    """Has `enable`, `reset` and `stop`, which may wait and return "" or the reason of a failure."""
    missing: tuple[str, ...] = ()
    """Devices that the arm lacks, each with a reason, for the operator."""

    def __init__(self, node: Node, silent_s: float = STATE_SILENT_S) -> None:
        super().__init__(silent_s)
        self.node = node
        self.subscriptions = Polled(node)
        self.poll = self.subscriptions.poll

    def versions(self) -> tuple[str, str]:
        return "none", "unknown"

    def on_shutdown(self, call: Callable[[], None]) -> None:
        """Nothing but the watchdog ends this node."""

    def shut_down(self) -> None:
        rclpy.try_shutdown()

    @abstractmethod
    def flags(self) -> dict[str, bool]:
        """Return enabled, stopped, error, homed, estop and collided."""

    @abstractmethod
    def problem(self, now_s: float) -> str:
        """Return why the arm cannot be moved now, or ""."""

    @abstractmethod
    def send(self, kind: str, values: tuple[float, ...]) -> None:
        """Publish an output of the command watchdog: velocity, torque, exit, or "" (no command)."""


class _Link:
    """The watchdog's end: messages of the worker to topics, and back."""

    def __init__(self, node: Node, session: int) -> None:
        self._session = session
        self._states = node.create_publisher(WatchdogState, "arm_watchdog/state", STATE)
        self._state = WatchdogState(session=session)
        self._answers: deque[tuple[int, str]] = deque(maxlen=ANSWERS)
        self._lock = threading.Lock()
        self.worker: worker.Worker
        self.commands = Polled(node)
        self.commands.subscribe(WatchdogCommand, "arm_watchdog/command", self._receive, COMMANDS)

    def send(self, message: wire.Message, droppable: bool = False) -> bool:
        """Publish; the start and the failure of this process are lines of its standard output."""
        if isinstance(message, wire.State | wire.Answer):
            with self._lock:
                if isinstance(message, wire.State):
                    values = {name: getattr(message, name) for name in _STATE_FIELDS}
                    self._state = WatchdogState(session=self._session, **values)
                else:
                    self._answers.append((message.number, message.reason))
                self._state.answered = [number for number, _ in self._answers]
                self._state.reasons = [reason for _, reason in self._answers]
                self._states.publish(self._state)
        elif isinstance(message, wire.Hello):
            print(f"up {message.interface}: {'; '.join(message.missing)}", flush=True)
        elif isinstance(message, wire.Failure):
            print(" ".join(message.reason.split()), flush=True)
        return True

    def _receive(self, message: WatchdogCommand) -> None:
        if message.session != self._session:
            return
        values, seq = tuple(message.values), int(message.seq)
        if message.action in ("velocity", "torque"):
            command = wire.Command(seq, int(message.state_seq), message.action, values, message.valid_s)
            self.worker.receive(command)
        else:
            self.worker.receive(wire.Request(seq, message.action, values[0] if values else 0.0))


_STATE_FIELDS = [field.name for field in fields(wire.State) if field.name in WatchdogState.get_fields_and_field_types()]


def serve(
    argv: Sequence[str],
    connect: Callable[[Node, argparse.Namespace], ArmTopics],
    own: Any = None,
    caps_of: Callable[[argparse.Namespace], Caps] = worker.caps_of,
) -> int:
    """Run the node until the client ends; return the exit status.

    `connect` makes the arm's topics, or raises `ComingUpError`; ``own`` parses more arguments; ``caps_of`` returns the
    bounds of commands, or raises a ValueError.
    """
    never_wait()
    words = argparse.ArgumentParser(parents=[worker.bounds_parser(), *([own] if own else [])])
    words.add_argument("--namespace", default="/", help="of the node")
    words.add_argument("--session", type=int, default=0, help="number in every message of the client")
    given = words.parse_args(argv)
    try:
        caps = caps_of(given)
    except ValueError as error:
        print(error, flush=True)
        return UNUSABLE
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # the worker has its own
    node = rclpy.create_node(
        "arm_watchdog", namespace=given.namespace, enable_rosout=False, start_parameter_services=False
    )
    link = _Link(node, given.session)
    found: list[ArmTopics] = []

    def wait(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while True:
            for topics in found:
                topics.poll()
            link.commands.poll()
            if (rest_s := until_s - time.monotonic()) <= 0:
                return
            time.sleep(min(POLL_S, rest_s))

    def connected() -> tuple[ArmTopics, SimpleNamespace]:
        found.append(connect(node, given))
        return found[0], SimpleNamespace(cuff=False, buttons={}, missing=found[0].missing, problem=lambda now_s: "")

    link.worker = worker.Worker(link, CommandWatchdog(caps), wait=wait)
    threading.Thread(target=_end_with_parent, args=(link.worker,), daemon=True).start()
    return link.worker.run(connected)


def _end_with_parent(served: worker.Worker) -> None:
    """Stop the arm at once when the client's process has ended: it holds the other end of our standard input."""
    while os.read(0, 1):
        pass
    served.end()


class WatchdogClient(ArmClient):
    """Client of a watchdog node, which it starts by its program and arguments; an InteraError if it cannot.

    The executor of ``node`` is not needed. ``joints`` is the number of the arm's joints.
    """

    def __init__(
        self, node: Node, command: Sequence[str], env: Mapping[str, str] | None = None, joints: int = wire.JOINTS
    ) -> None:
        self._session, self._joints = secrets.randbits(31), joints
        words = [*command, "--namespace", node.get_namespace(), "--session", str(self._session)]
        pipe = subprocess.PIPE
        env = dict(os.environ if env is None else env)
        if env.get("ROS_SECURITY_ENABLE") == "true":
            env.setdefault("ROS_SECURITY_ENCLAVE_OVERRIDE", ENCLAVE)
        try:  # a session of its own: a signal to our process group must not end both
            process = subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe, start_new_session=True)
        except OSError as error:
            raise InteraError(f"the worker {command[0]!r} cannot be started: {error}") from None
        super().__init__(process)
        self._commands = node.create_publisher(WatchdogCommand, "arm_watchdog/command", COMMANDS)
        self._received = Polled(node)
        self._received.subscribe(WatchdogState, "arm_watchdog/state", self._on_state, STATE)
        self._closing = threading.Event()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_topics, self._read_output)]
        for reader in self._readers:
            reader.start()

    def wait_ready(self, timeout_s: float = wire.UP_S + 5.0) -> wire.Hello:
        """Wait until the watchdog drives the arm, and both processes have discovered each other's topics."""
        hello = super().wait_ready(timeout_s)
        until_s = time.monotonic() + FOUND_S
        while time.monotonic() < until_s and not self._why_lost():
            answer = self.request("hold")  # the first ones may be lost
            with suppress(concurrent.futures.TimeoutError):
                if answer.result(0.2).done and self.state().state is not None:
                    return hello
        raise InteraError(self._why_lost() or f"topics of the worker were not discovered for {FOUND_S:g} s")

    def close(self) -> int | None:
        self._lose("closed")
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        self._closing.set()
        for reader in self._readers:
            reader.join(0.2)
        return self._ended()

    def _send(self, message: wire.Message, droppable: bool = False) -> bool:
        wire.check(message, self._joints)
        if isinstance(message, wire.Command):
            given = {"action": message.mode, "values": message.values, "valid_s": message.hold_s}
            given |= {"seq": message.seq, "state_seq": message.state_seq}
        else:
            assert isinstance(message, wire.Request)
            given = {"action": message.action, "values": [message.value], "seq": message.number}
        self._commands.publish(WatchdogCommand(session=self._session, **given))
        return True

    def _catch_up(self) -> None:
        if not self._closing.is_set():
            self._received.poll()

    def _read_topics(self) -> None:
        while not self._closing.wait(POLL_S):
            self._received.poll()

    def _read_output(self) -> None:
        """Take the lines of the watchdog: that it is up, or why it cannot go on."""
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            state, _, missing = line.decode(errors="replace").strip().partition(": ")
            if state.startswith("up "):
                devices = tuple(filter(None, missing.split("; ")))
                self._take(wire.Hello(wire.VERSION, state[3:], "none", "unknown", devices))
            elif state:
                self._lose(f"{state}: {missing}" if missing else state)
        self._lose("the worker closed its output")

    def _on_state(self, message: WatchdogState) -> None:
        if message.session != self._session:
            return
        for number, reason in zip(message.answered, message.reasons, strict=True):
            self._take(wire.Answer(int(number), reason))
        if self._newest is not None and message.seq <= self._newest[0].seq:
            return  # sent again for an answer
        values = {name: getattr(message, name) for name in _STATE_FIELDS}
        values = {name: tuple(value) if isinstance(value, array) else value for name, value in values.items()}
        state = wire.State(**values, cuff=False, buttons={})
        wire.check(state, self._joints)
        self._take(state, sent_s=message.stamp_s)  # a process of this machine: its steady clock is ours
