"""Access control of the page: host, origin, token, number and size of messages. Pure ASGI."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from tdm_ros.console.rate import Bucket, Buckets
from tdm_ros.console.session import Sessions

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MESSAGE_BYTES = 16_384
MESSAGES_S, MESSAGES_BURST = 80.0, 240.0
REQUESTS_S, REQUESTS_BURST = 40.0, 400.0
"""A page takes about 60 requests to load."""
SOCKETS = 32
POLICY_VIOLATION = 1008
TOO_LARGE = 1009
SOCKET_PATH = "/_nicegui_ws/"
PATHS = ("/", "/driving.js", "/drive", "/favicon.ico")
FOLDERS = ("/_nicegui/", SOCKET_PATH)
"""What there is; NiceGUI would build a page for any other path, too."""
IGNORED = b"x-forwarded-"
"""Beginning of headers that only a proxy may set, and there is none: NiceGUI would put the prefix into the page."""
SECURITY = [
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Headers of every answer: no page of another origin frames, opens or embeds this one."""
_PACKET = re.compile(r"4[0-6](?:/[^,]*,)?\d*(?P<json>[\[{].*)?", re.DOTALL)
"""Of Socket.IO, in a message of Engine.IO: type, namespace, number, data."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Stands before the whole application, its sockets included.

    Parameters
    ----------
    app : ASGI application
    refuse : callable
        Counts what is refused: why, and a detail.
    token : str
        What an address must carry; empty: none, and then only names of this machine are answered to, so that no
        page of somebody else reaches us under a name of its own.
    """

    def __init__(self, app: App, refuse: Callable[[str, str], None], token: str) -> None:
        self.app, self._refuse = app, refuse
        self._sessions = Sessions(token) if token else None
        self._sockets = 0
        self._requests = Buckets(REQUESTS_S, REQUESTS_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        heads = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, why = self._problem(scope, heads)
        if why:
            self._refuse(f"page: {why}", _address(scope))
            await _deny(scope, receive, send, status, why)
            return
        scope["headers"] = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(IGNORED)]
        if scope["type"] == "websocket":
            await self._watched(scope, receive, send)
        elif self._sessions and self._sessions.has_token(scope["query_string"]):
            await _admit(send, self._sessions.new_cookie(heads.get("host", "")))
        else:
            await self.app(scope, receive, _secured(send))

    def _problem(self, scope: Scope, heads: dict[str, str]) -> tuple[int, str]:
        """Status and reason of a refusal; "" if there is none."""
        socket = scope["type"] == "websocket"
        if not self._requests.take(_address(scope)):
            return 429, "too many requests"
        host, origin = heads.get("host", ""), heads.get("origin")
        name = _name_of(host)
        if name is None:
            return 400, "malformed host"
        if self._sessions is None and not is_loopback(name):
            return 403, "host of another name"
        if (origin is None and socket) or (origin is not None and origin not in (f"http://{host}", f"https://{host}")):
            return 403, "another origin"
        if heads.get("sec-fetch-site") == "cross-site" and heads.get("sec-fetch-mode") != "navigate":
            return 403, "another origin"
        if self._sessions and not self._knows(scope, heads, host):
            return 403, "wrong token, or none"
        if socket and self._sockets >= SOCKETS:
            return 429, "too many sockets"
        if not socket and scope["method"] not in ("GET", "HEAD"):
            return 405, "another method than GET"
        if not socket and scope["path"].startswith(SOCKET_PATH):
            return 403, "polling instead of a socket"
        if scope["path"] not in PATHS and not scope["path"].startswith(FOLDERS):
            return 404, "no such path"
        return 200, ""

    def _knows(self, scope: Scope, heads: dict[str, str], host: str) -> bool:
        assert self._sessions is not None
        cookies = heads.get("cookie", "")
        return self._sessions.has_cookie(cookies, host) or self._sessions.has_token(scope["query_string"])

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass messages on as long as they are few, small and well-formed."""
        bucket = Bucket(MESSAGES_S, MESSAGES_BURST)
        speaks = scope["path"].startswith(SOCKET_PATH)
        closed = False

        async def watched() -> MutableMapping[str, Any]:
            nonlocal closed
            message = await receive()
            why = ""
            if message["type"] == "websocket.receive":
                data = message.get("text") or message.get("bytes") or ""
                if not bucket.take():
                    why = "flood of messages"
                elif len(data) > MESSAGE_BYTES:
                    why = "message too large"
                elif speaks and not well_formed(data):
                    why = "malformed message"
            elif message["type"] == "websocket.disconnect" and message.get("code") == TOO_LARGE:
                self._refuse("page: message too large", scope["path"])
            if not why:
                return message
            self._refuse(f"page: {why}", scope["path"])
            closed = True
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

        async def until_closed(message: MutableMapping[str, Any]) -> None:
            if not closed:
                await send(message)

        self._sockets += 1
        try:
            await self.app(scope, watched, until_closed)
        finally:
            self._sockets -= 1


def well_formed(data: str | bytes) -> bool:
    """Whether a message is one that the page's own library may send: Engine.IO, and JSON in it."""
    if not isinstance(data, str):
        return False
    if data in ("1", "2", "3", "2probe", "3probe", "5", "6"):
        return True
    packet = _PACKET.fullmatch(data)
    if packet is None:
        return False
    try:
        json.loads(packet["json"] or "null")
    except (ValueError, RecursionError):
        return False
    return True


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("?",))[0])


def _name_of(host: str) -> str | None:
    """Return the name in a Host header; None if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 (it raises)
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host else None


def _secured(send: Send) -> Send:
    """Return a ``send`` that adds our headers to an answer."""

    async def secured(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *SECURITY]}
        await send(message)

    return secured


async def _admit(send: Send, cookie: str) -> None:
    """Open a session, and send the browser to the address without the token."""
    headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store"), *SECURITY]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _deny(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *SECURITY]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"Refused: {why}.\n".encode()})
