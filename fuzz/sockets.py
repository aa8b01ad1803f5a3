"""Targets that read sockets: the protocol of the worker, and what the page's server gets before any page exists."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fuzz.target import Target, parts_of
from tdm_ros.console.access_control import AccessControl, well_formed
from tdm_ros.console.console_state import ConsoleState
from tdm_ros.console.driving import SPEED_MAX_M_S, Driving, parse_message
from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.authentication import is_proof

SECRET = b"0123456789abcdef0123456789abcdef"
TOKEN = "a-token"


def handle_wire(data: bytes) -> None:
    """Split a stream, in portions, into messages; each of them is encoded to a frame that is decoded to the same."""
    step, frames = 1 + (data[0] if data else 0), wire.Frames()
    stream = data[1:]
    for at in range(0, len(stream), step):
        for message in frames.feed(stream[at : at + step]):
            again = wire.encode(message)
            assert wire.decode(again[4:]) == message
            if isinstance(message, wire.Proof):
                assert not is_proof(message.mac, SECRET, "client", message.nonce, message.nonce)
    frames.end()


def handle_body(data: bytes) -> None:
    """Decode the body of a frame, as `handle_wire` does a stream."""
    message = wire.decode(data)
    assert wire.decode(wire.encode(message)[4:]) == message
    if isinstance(message, wire.Proof):
        assert not is_proof(message.mac, SECRET, "client", "1", message.nonce)


def handle_drive(data: bytes) -> None:
    """Follow a message of a driving page; a velocity that is followed is not faster than a page may ask for."""
    message = parse_message(data.decode(errors="surrogateescape"))
    assert sum(v * v for v in message.velocity_m_s) ** 0.5 <= SPEED_MAX_M_S * 1.01
    state = ConsoleState((0, 0, 0), (1, 1, 1))
    Driving(state)._handle(1, message._replace(held=False), {message.tick: 0.0})


def handle_page(data: bytes) -> None:
    """Check a message of NiceGUI's socket; one that is passed on is small, and JSON after its head."""
    text = data.decode(errors="surrogateescape")
    if well_formed(text):
        start = min((text.find(one) for one in "[{" if one in text), default=-1)
        assert start < 0 or json.loads(text[start:]) is not None
    assert not well_formed(data)


def handle_goal(data: bytes) -> None:
    """Take a goal that a page asks for; whatever is taken is in the box of goals."""
    try:
        values = [float(value) for value in json.loads(data)]
    except (ValueError, TypeError, RecursionError, OverflowError):
        return
    state = ConsoleState((0, 0, 0), (1, 1, 1))
    if len(values) == 3:
        state.request_goal(*values)
        assert state.requested_goal_m is not None and all(0 <= value <= 1 for value in state.requested_goal_m)


def handle_request(data: bytes) -> None:
    """Send a request through the access control: none without the token reaches the pages."""
    method, path, rest = parts_of(data, 3)
    query, *heads = rest.split(b"\n")
    headers = [tuple(line.partition(b":")[::2]) for line in heads]
    kind = "websocket" if method[:1] == b"w" else "http"
    passed: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    scope = {
        "type": kind,
        "method": method.decode("latin-1"),
        "path": path.decode(errors="replace"),
        "query_string": query,
        "headers": headers,
        "client": ("10.0.0.1", 1),
    }
    control = AccessControl(app, lambda why, detail: None, TOKEN)
    asyncio.run(control(scope, receive, send))
    assert passed or sent
    assert not passed or TOKEN.encode() in query or b"tdm_ros_console" in data, "passed without token or cookie"


def _state() -> wire.State:
    seven, three = (0.0,) * 7, (0.0,) * 3
    flags = (True, False, False, False, True, False, False)
    return wire.State(1, 2.0, 0.01, seven, seven, seven, three, (1.0, *three), *flags, {"x": 1}, "", "up", 1, 0, "", "")


def _messages() -> list[wire.Message]:
    command = wire.Command(1, 1, "velocity", (0.1,) * 7)
    return [
        _state(),
        command,
        wire.Request(1, "hold"),
        wire.Answer(1),
        wire.Proof("n", "m"),
        wire.Hello(3, "a", "b", "c", ("d",)),
    ]


def _wire_seeds() -> list[bytes]:
    frames = list(map(wire.encode, _messages()))
    return [b"\x07" + frames[1] + frames[2], b"\xff" + frames[0], b"\0" + frames[4] + frames[3][:9]]


def _body_seeds() -> list[bytes]:
    return [wire.encode(message)[4:] for message in _messages()]


def _drive_seeds() -> list[bytes]:
    return [
        b'{"tick": 3, "velocity": [0.1, 0, -0.1], "held": true}',
        b'{"tick": 1, "velocity": [0, 0, 0], "held": false}',
    ]


def _page_seeds() -> list[bytes]:
    return [b"2probe", b'42["event",{"id":1}]', b"40/_nicegui_ws/,{}", b'42/a,7["b"]']


def _request_seeds() -> list[bytes]:
    heads = b"host:localhost:8765\norigin:http://localhost:8765\ncookie:tdm_ros_console_8765=17.ab; x=1"
    get = b"\3\0GET\1\0/"
    return [
        get + b"token=a-token\n" + heads,
        b"\1\0w\6\0/drive" + b"\n" + heads,
        get + b"a=b\nhost:[::1]\nsec-fetch-site:cross-site",
    ]


TARGETS = [
    Target("wire", handle_wire, (wire.WireError,), seeds=_wire_seeds),
    Target("wire_body", handle_body, (wire.WireError,), seeds=_body_seeds, max_len=2048),
    Target("page_drive", handle_drive, (ValueError, RecursionError), seeds=_drive_seeds, max_len=512),
    Target("page_socket", handle_page, seeds=_page_seeds, max_len=512),
    Target("page_goal", handle_goal, (ValueError,), seeds=lambda: [b"[0.5, 1e3, -7]", b'["nan", 1, 2]'], max_len=128),
    Target("page_request", handle_request, seeds=_request_seeds, max_len=512),
]
