"""Bounds on connections: size, duration and number of requests. Idle connections do not exclude others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 100
"""HTTP connections at once; sockets are counted by the guard. One more closes the one that has waited longest."""
REQUEST_S = 60.0
"""Time that a connection has for one request, from the end of the last one to the end of its answer [s]."""
HEAD_BYTES = 65_536
"""A request line and all headers; other servers on the same host add their cookies."""


class BoundedHttp(H11Protocol):
    """One HTTP connection of a bounded number, with a bounded time for each request.

    Parameters
    ----------
    count : callable
        Counts what is rejected: why, and a detail.
    given
        From uvicorn.
    """

    def __init__(self, count: Callable[[str, str], None], **given: Any) -> None:
        super().__init__(**given)
        self._count = count
        self._since_s = self.loop.time()
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the place of the connection that has waited longest, if there are too many."""
        super().connection_made(transport)
        self._restart()
        others = [one for one in self.connections if isinstance(one, BoundedHttp) and one is not self]
        if len(others) >= CONNECTIONS:
            min(others, key=lambda one: (one._answering, one._since_s))._drop("page: too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Stop the clock: sockets may last, and uvicorn pings them."""
        self._cancel()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Start the clock for the next request."""
        self._restart()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Count a request that is no HTTP, and answer it unless another answer is being sent."""
        if self._answering:
            self._drop("page: malformed request")
            return
        self._count("page: malformed request", self._address)
        super().send_400_response(msg)

    @property
    def _answering(self) -> bool:
        """Whether a whole request has come and its answer has not ended."""
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
