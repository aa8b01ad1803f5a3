"""Who may open the page: the right host, origin and token, in messages of a bearable number and size. Pure ASGI."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "tdm_ros_console"
MESSAGE_BYTES = 16_384
MESSAGES_S, MESSAGES_BURST = 80.0, 240.0
REQUESTS_S, REQUESTS_BURST = 40.0, 400.0
"""A page takes about 60 requests to load."""
SOCKETS = 32
ADDRESSES = 256
POLICY_VIOLATION = 1008
TOO_LARGE = 1009
SOCKET_PATH = "/_nicegui_ws/"
_PACKET = re.compile(r"4[0-6](?:/[^,]*,)?\d*(?P<json>[\[{].*)?", re.DOTALL)
"""Of Socket.IO, in a message of Engine.IO: type, namespace, number, data."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Bucket:
    """Lets ``rate`` things a second pass, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left = rate, burst, burst
        self._at_s = time.monotonic()

    def take(self) -> bool:
        """Whether one more may pass now."""
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._at_s) * self._rate, self._burst)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


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
        self.app, self._refuse, self._token = app, refuse, token
        self._sockets = 0
        self._requests: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        heads = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, why = self._problem(scope, heads)
        if why:
            self._refuse(f"page: {why}", str((scope.get("client") or ("?",))[0]))
            await _deny(scope, receive, send, status, why)
        elif scope["type"] == "websocket":
            await self._watched(scope, receive, send)
        elif self._token and "token" in parse_qs(scope["query_string"].decode("latin-1")):
            await _admit(scope, send, self._token)
        else:
            await self.app(scope, receive, send)

    def _problem(self, scope: Scope, heads: dict[str, str]) -> tuple[int, str]:
        """Status and reason of a refusal; "" if there is none."""
        socket = scope["type"] == "websocket"
        if not self._bucket(str((scope.get("client") or ("?",))[0])).take():
            return 429, "too many requests"
        host = heads.get("host", "")
        if not self._token and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 403, "host of another name"
        origin = heads.get("origin")
        if (origin is None and socket) or (origin is not None and urlsplit(origin).netloc != host):
            return 403, "another origin"
        if self._token and not self._knows(scope, heads):
            return 403, "wrong token, or none"
        if socket and self._sockets >= SOCKETS:
            return 429, "too many sockets"
        if not socket and scope["path"].startswith(SOCKET_PATH):
            return 403, "polling instead of a socket"
        return 200, ""

    def _bucket(self, address: str) -> Bucket:
        bucket = self._requests.pop(address, None) or Bucket(REQUESTS_S, REQUESTS_BURST)
        self._requests[address] = bucket  # the last one used is the last to be forgotten
        if len(self._requests) > ADDRESSES:
            del self._requests[next(iter(self._requests))]
        return bucket

    def _knows(self, scope: Scope, heads: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        try:
            cookie = SimpleCookie(heads.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given += [cookie.value] if cookie else []
        return any(hmac.compare_digest(text.encode(), self._token.encode()) for text in given)

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


async def _admit(scope: Scope, send: Send, token: str) -> None:
    """Put the token into a cookie, and send the browser to the address without it."""
    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
    headers = [(b"location", scope["path"].encode()), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _deny(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"Refused: {why}.\n".encode()})
