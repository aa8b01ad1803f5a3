"""Messages to and from a worker that listens: what is changed on the way ends the connection, and the arm holds."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.authentication import MessageCodes, keys_of, proof_of
from tdm_ros.drivers.intera.client import InteraClient
from tdm_ros.drivers.intera.command_watchdog import Caps, CommandWatchdog
from tdm_ros.drivers.intera.sdk import Joints
from tdm_ros.drivers.intera.worker import BROKEN_LINK, Worker

SECRET = b"0123456789abcdef" * 4
KEYS = keys_of(SECRET, "a" * 64, "b" * 64)
GO = (0.1,) * 7
FORGED = wire.encode(wire.Command(10**6, 1, "velocity", GO)) + bytes(MessageCodes.SIZE)

ATTACKS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "changed": lambda first, second: first[:20] + bytes([first[20] ^ 1]) + first[21:] + second,
    "repeated": lambda first, second: first + first + second,
    "left out": lambda first, second: second,
    "swapped": lambda first, second: second + first,
    "inserted": lambda first, second: FORGED + first + second,
}
"""What arrives of two messages of one direction."""


def sealed(key: bytes, messages: list[Any]) -> list[bytes]:
    codes = MessageCodes(key)
    return [frame + codes.next(frame) for frame in map(wire.encode, messages)]


def read(data: bytes, key: bytes) -> list[Any]:
    """The messages before the first that is rejected; nothing may be taken after it."""
    frames, seen = wire.Frames(MessageCodes(key)), []
    with pytest.raises(wire.WireError, match="changed, repeated, left out or inserted"):
        for message in frames.feed(data):
            seen.append(message)
    with pytest.raises(wire.WireError, match="changed, repeated, left out or inserted"):
        assert not list(frames.feed(b"".join(sealed(key, [wire.Answer(n) for n in range(9)]))))
    return seen


@pytest.mark.parametrize("attack", ATTACKS)
def test_message_that_is_not_the_next_of_its_sender_is_rejected_and_all_after_it(attack: str) -> None:
    sent = [wire.Answer(n) for n in range(4)]
    frames = sealed(KEYS.client, sent)
    seen = read(frames[0] + ATTACKS[attack](frames[1], frames[2]) + frames[3], KEYS.client)
    assert seen == sent[: 2 if attack == "repeated" else 1]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_flip_of_any_bit_of_a_message_or_its_code_is_found(data: st.DataObject) -> None:
    (frame,) = sealed(KEYS.worker, [wire.Answer(7, "the robot is stopped")])
    at = data.draw(st.integers(4, len(frame) - 1))
    spoilt = frame[:at] + bytes([frame[at] ^ 1 << data.draw(st.integers(0, 7))]) + frame[at + 1 :]
    assert read(spoilt, KEYS.worker) == []


def test_keys_are_of_one_side_one_secret_and_these_nonces_and_no_proof() -> None:
    others = [keys_of(SECRET[::-1], "a" * 64, "b" * 64), keys_of(SECRET, "c", "b" * 64), keys_of(SECRET, "a" * 64, "c")]
    proofs = [bytes.fromhex(proof_of(SECRET, side, "a" * 64, "b" * 64)) for side in ("worker", "client")]
    assert len({*KEYS, *(key for keys in others for key in keys), *proofs}) == 10
    assert read(sealed(KEYS.worker, [wire.Alive()])[0], KEYS.client) == [], "a message that is sent back to its sender"


class Middle:
    """Carries whole frames both ways between a client and a worker; spoils two of one direction when asked to."""

    def __init__(self) -> None:
        self.client, client_end = socket.socketpair()
        self.worker, worker_end = socket.socketpair()
        self._ends = client_end, worker_end
        self.attack: dict[str, str] = {}
        for side, a, b in (("client", client_end, worker_end), ("worker", worker_end, client_end)):
            threading.Thread(target=self._carry, args=(side, a, b), daemon=True).start()

    def _carry(self, side: str, a: socket.socket, b: socket.socket) -> None:
        try:
            while True:
                frame = _frame(a)
                if side in self.attack:
                    frame = ATTACKS[self.attack.pop(side)](frame, _frame(a))
                b.sendall(frame)
        except (OSError, struct.error):
            b.close()
            a.close()


def _frame(link: socket.socket) -> bytes:
    head = link.recv(4, socket.MSG_WAITALL)
    return head + link.recv(struct.unpack(">I", head)[0] + MessageCodes.SIZE, socket.MSG_WAITALL)


class StandIn:
    """Robot and devices of a worker, at rest; keeps what is sent to the joints."""

    interface, missing, cuff, buttons = "stand-in", (), False, {}
    motors = SimpleNamespace(stop=lambda: "", enable=lambda: "", reset=lambda: "")

    def __init__(self) -> None:
        self.sent: list[str] = []

    def versions(self) -> tuple[str, str]:
        return "1", "1"

    def on_shutdown(self, call: Any) -> None:
        pass

    def shut_down(self) -> None:
        pass

    def joints(self) -> Joints:
        return Joints(0.0, *((0.0,) * 7,) * 3)

    def joints_age_s(self, now_s: float) -> float:
        return 0.0

    def hand(self) -> tuple[Any, Any]:
        return (0.5, 0.0, 0.3), (1.0, 0.0, 0.0, 0.0)

    def flags(self) -> dict[str, bool]:
        no = dict.fromkeys(("stopped", "error", "estop", "collided"), False)
        return {**no, "enabled": True, "homed": True}

    def problem(self, now_s: float) -> str:
        return ""

    def send(self, kind: str, values: tuple[float, ...]) -> None:
        self.sent.append(kind)


@pytest.fixture
def middle() -> Iterator[tuple[Middle, InteraClient, StandIn, threading.Thread, Worker]]:
    """A client and the real worker with codes, and who sits between them."""
    middle, robot = Middle(), StandIn()
    caps = Caps((1.0,) * 7, (1.0,) * 7, allow_torque=False, hand_speed_m_s=0.0)
    worker = Worker(wire.Sender(middle.worker, MessageCodes(KEYS.worker)), CommandWatchdog(caps))
    worker._robot = robot  # type: ignore[assignment]
    worker.read_from(middle.worker, MessageCodes(KEYS.client))
    serving = threading.Thread(target=worker.serve, args=(robot, robot), daemon=True)
    serving.start()
    client = InteraClient(middle.client, frames=wire.Frames(MessageCodes(KEYS.worker)), codes=MessageCodes(KEYS.client))
    yield middle, client, robot, serving, worker
    client.close()
    serving.join(5)
    gc.unfreeze()


def until(condition: Callable[[], object], client: InteraClient, seconds: float = 5.0) -> None:
    """Command at 50 Hz, as a client does that notices nothing, until a condition is met."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s
        client.command("velocity", GO)
        time.sleep(0.02)


@pytest.mark.real_time
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("side", ["client", "worker"])
def test_message_spoilt_on_the_way_ends_the_connection_and_the_arm_holds(middle, side: str, attack: str) -> None:
    between, client, robot, serving, worker = middle
    client.wait_ready(5)
    until(lambda: robot.sent.count("velocity") > 5, client)
    assert client.state().problem == ""

    between.attack[side] = attack
    until(lambda: not serving.is_alive(), client)
    assert client.state().problem != "" and client.command("velocity", GO) != ""
    assert worker._code == (BROKEN_LINK if side == "client" else 0)
    assert list(filter(None, robot.sent))[-1] == "exit", "the arm is in position mode, and holds"
    assert worker._watchdog.command_seq < 10**6, "the forged command was not followed"
    if side == "worker":
        assert "was changed, repeated, left out or inserted" in client.state().problem
