"""Access control of the page: host, origin, token, sessions, and bounds on requests and connections."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

ADDRESSES = 256


class Bucket:
    """Token bucket: passes ``rate`` items per second, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left = rate, burst, burst
        self._at_s = time.monotonic()

    def take(self) -> bool:
        self._fill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def full(self) -> bool:
        """Whether the bucket equals a new one."""
        self._fill()
        return self._left >= self._burst

    def _fill(self) -> None:
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._at_s) * self._rate, self._burst)
        self._at_s = now_s


class Buckets:
    """`Bucket` per address. With more than `ADDRESSES` busy addresses, new ones share one bucket."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._shared = Bucket(rate, burst)
        self._buckets: dict[str, Bucket] = {}

    def take(self, address: str) -> bool:
        key = network_of(address)
        if key not in self._buckets and len(self._buckets) >= ADDRESSES:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.full}
        if key not in self._buckets and len(self._buckets) >= ADDRESSES:
            return self._shared.take()
        return self._buckets.setdefault(key, Bucket(self._rate, self._burst)).take()


def network_of(address: str) -> str:
    """Network within which one host may change its address: 64 bits of IPv6, and all of loopback."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return "loopback"
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


COOKIE = "tdm_ros_console"
SESSION_S = 12 * 3600
"""Validity of a cookie [s]. An open page stays open."""


class Sessions:
    """Compares tokens (not empty), creates and checks cookies. Stateless, so that a restart ends no session.

    A browser sends a ``secure`` cookie over TLS alone.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time, secure: bool = False) -> None:
        self._token, self._clock = token.encode(), clock
        self._attributes = f"Max-Age={SESSION_S}; HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if secure else "")

    def has_token(self, query: bytes) -> bool:
        """Whether a query string contains the token."""
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("token", [])
        return any(hmac.compare_digest(text.encode(), self._token) for text in given)

    def has_cookie(self, cookies: str, host: str) -> bool:
        """Whether one of the cookies is a valid session cookie."""
        pairs = (part.partition("=") for part in cookies.split(";"))
        return any(self._valid(value.strip()) for name, _, value in pairs if name.strip() == cookie_name(host))

    def new_cookie(self, host: str) -> str:
        """Return the Set-Cookie header of a new session."""
        value = self._signed(str(int(self._clock()) + SESSION_S))
        return f"{cookie_name(host)}={value}; {self._attributes}"

    def _signed(self, end_s: str) -> str:
        return f"{end_s}.{hmac.new(self._token, end_s.encode(), hashlib.sha256).hexdigest()}"

    def _valid(self, value: str) -> bool:
        end_s = value.partition(".")[0]
        if not (end_s.isascii() and end_s.isdigit() and len(end_s) <= 12):
            return False
        left_s = int(end_s) - self._clock()
        return 0 < left_s <= SESSION_S and hmac.compare_digest(value.encode(), self._signed(end_s).encode())


def cookie_name(host: str) -> str:
    """Return the cookie's name for a Host header: browsers share cookies between the ports of a host."""
    return f"{COOKIE}_{urlsplit(f'//{host}').port or 80}"


CONNECTIONS = 100
"""Largest number of HTTP connections; sockets are counted by `AccessControl`. A further one closes the one that has
waited longest."""
REQUEST_S = 60.0
"""Largest time per request of a connection, from the end of the last one to the end of its answer [s]."""
HEAD_BYTES = 65_536
"""Largest size of request line and headers; other servers on the same host add their cookies."""


class BoundedHttp(H11Protocol):
    """HTTP connection with a bounded time per request, and a bounded number of connections.

    ``count`` counts a rejection (reason, detail); the other arguments are from uvicorn.
    """

    def __init__(self, count: Callable[[str, str], None], **given: Any) -> None:
        super().__init__(**given)
        self._count = count
        self._since_s = self.loop.time()
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close the connection that has waited longest if there are too many."""
        super().connection_made(transport)
        self._restart()
        others = [one for one in self.connections if isinstance(one, BoundedHttp) and one is not self]
        if len(others) >= CONNECTIONS:
            min(others, key=lambda one: (one._answering, one._since_s))._drop("page: too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Stop the timer: sockets may last, and uvicorn pings them."""
        self._cancel()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Start the timer of the next request."""
        self._restart()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Count a malformed request, and answer it unless another answer is being sent."""
        if self._answering:
            self._drop("page: malformed request")
            return
        self._count("page: malformed request", self._address)
        super().send_400_response(msg)

    @property
    def _answering(self) -> bool:
        """Whether a request is complete and its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else "?"

    def _drop(self, why: str) -> None:
        self._count(why, self._address)
        self._cancel()
        self.connections.discard(self)
        self.transport.abort()

    def _restart(self) -> None:
        self._cancel()
        self._since_s = self.loop.time()
        self._expiry = self.loop.call_later(REQUEST_S, self._drop, "page: request took too long")

    def _cancel(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None


MESSAGE_BYTES = 16_384
MESSAGES_S, MESSAGES_BURST = 80.0, 240.0
REQUESTS_S, REQUESTS_BURST = 40.0, 400.0  # A page takes about 60 requests to load
SOCKETS = 32
POLICY_VIOLATION = 1008
TOO_LARGE = 1009
SOCKET_PATH = "/_nicegui_ws/"
PATHS = ("/", "/driving.js", "/drive", "/favicon.ico")
FOLDERS = ("/_nicegui/", SOCKET_PATH)  # existing paths; NiceGUI would build a page for any other path, too
IGNORED = b"x-forwarded-"
"""Prefix of headers that only a proxy may set, and there is none: NiceGUI would put the prefix into the page."""
SECURITY = [
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Headers of every answer: pages of other origins cannot frame, open or embed this one."""
_PACKET = re.compile(r"4[0-6](?:/[^,]*,)?\d*(?P<json>[\[{].*)?", re.DOTALL)
"""Socket.IO packet in an Engine.IO message: type, namespace, number, data."""


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class AccessControl:
    """ASGI middleware that checks every request and socket of the application ``app``.

    ``reject`` counts a rejection (reason, detail). Without a ``token``, which is required in the address, only host
    names of this machine are accepted, against DNS rebinding. With ``tls``, pages of http are another origin, and
    cookies are secure.
    """

    def __init__(self, app: ASGIApp, reject: Callable[[str, str], None], token: str, tls: bool = False) -> None:
        self.app, self._reject = app, reject
        self._schemes = ("https",) if tls else ("http", "https")  # https: a proxy on this machine
        self._sessions = Sessions(token, secure=tls) if token else None
        self._sockets = 0
        self._requests = Buckets(REQUESTS_S, REQUESTS_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        heads = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, why = self._problem(scope, heads)
        if why:
            self._reject(f"page: {why}", _address(scope))
            await _deny(scope, receive, send, status, why)
            return
        scope["headers"] = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(IGNORED)]
        if scope["type"] == "websocket":
            await self._watched(scope, receive, send)
        elif self._sessions and self._sessions.has_token(scope["query_string"]):
            headers = {"set-cookie": self._sessions.new_cookie(heads.get("host", "")), "cache-control": "no-store"}
            await RedirectResponse("/", 303, headers)(scope, receive, _secured(send))
        else:
            await self.app(scope, receive, _secured(send))

    def _problem(self, scope: Scope, heads: dict[str, str]) -> tuple[int, str]:
        """HTTP status and reason of a rejection; reason "" if accepted.

        Other origins come first: their pages, in the operator's browser, must not use up the requests of its address.
        """
        socket = scope["type"] == "websocket"
        host, origin = heads.get("host", ""), heads.get("origin")
        name = _name_of(host)
        if name is None:
            return 400, "malformed host"
        if self._sessions is None and not is_loopback(name):
            return 403, "host of another name"
        own = [f"{scheme}://{host}" for scheme in self._schemes]
        if (origin is None and socket) or (origin is not None and origin not in own):
            return 403, "another origin"
        if heads.get("sec-fetch-site") == "cross-site" and not _opens(heads):
            return 403, "another origin"
        if not self._requests.take(_address(scope)):
            return 429, "too many requests"
        if (sessions := self._sessions) and not (
            sessions.has_cookie(heads.get("cookie", ""), host) or sessions.has_token(scope["query_string"])
        ):
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

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward messages that are small, well-formed and not too frequent."""
        bucket = Bucket(MESSAGES_S, MESSAGES_BURST)
        checked = scope["path"].startswith(SOCKET_PATH)
        closed = False

        async def watched() -> Message:
            nonlocal closed
            message = await receive()
            why = ""
            if message["type"] == "websocket.receive":
                data = message.get("text") or message.get("bytes") or ""
                if not bucket.take():
                    why = "flood of messages"
                elif len(data) > MESSAGE_BYTES:
                    why = "message too large"
                elif checked and not well_formed(data):
                    why = "malformed message"
            elif message["type"] == "websocket.disconnect" and message.get("code") == TOO_LARGE:
                self._reject("page: message too large", scope["path"])
            if not why:
                return message
            self._reject(f"page: {why}", scope["path"])
            closed = True
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

        async def until_closed(message: Message) -> None:
            if not closed:
                await send(message)

        self._sockets += 1
        try:
            await self.app(scope, watched, until_closed)
        finally:
            self._sockets -= 1


def well_formed(data: str | bytes) -> bool:
    """Whether a message is Engine.IO with JSON, as the page's library sends it."""
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


def _opens(heads: dict[str, str]) -> bool:
    """Whether a request of a browser is for a page of its own, by a link or the address line, not within another."""
    return heads.get("sec-fetch-mode") == "navigate" and heads.get("sec-fetch-dest", "document") == "document"


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("?",))[0])


def _name_of(host: str) -> str | None:
    """Name in a Host header; None if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 (it raises)
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host else None


def _secured(send: Send) -> Send:
    """``send`` that adds the security headers."""

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *SECURITY]}
        await send(message)

    return secured


async def _deny(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": why})
        return
    answer = PlainTextResponse(f"Rejected: {why}.\n", status, {"connection": "close"})
    await answer(scope, receive, _secured(send))
