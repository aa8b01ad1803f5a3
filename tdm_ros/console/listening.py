"""Socket of the page: address, TLS, and bounds on connections whose TLS handshake is not complete."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import weakref
from typing import Any

HANDSHAKE_S = 5.0
"""Largest time for the TLS handshake of a connection [s]."""

TLS_CONNECTIONS = 256
"""Largest number of TCP connections with TLS, whether their handshake is complete or not; a further one is closed."""


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """Return the TLS settings of PEM files, or None if neither is given (""); a ValueError says what is wrong."""
    if not certificate and not key:
        return None
    if not (certificate and key):
        raise ValueError(
            f"tls.certificate_file and tls.key_file belong together, got {certificate!r} and {key!r}: give both or none"
        )
    certificate, key = os.path.expanduser(certificate), os.path.expanduser(key)
    for name, path in (("certificate_file", certificate), ("key_file", key)):
        if not os.path.isfile(path):
            raise ValueError(f"tls.{name} must be a PEM file, got {path}, which does not exist")
    if os.stat(key).st_mode & 0o007:
        raise ValueError(f"only its owner and group may have access to tls.key_file {key}: chmod 600 {key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(
            f"tls.certificate_file and tls.key_file must be a PEM certificate and its key, without a password, "
            f"got {certificate} and {key}: {error}"
        ) from None
    return context


def _no_password() -> str:
    raise OSError("the key has a password")  # without this, OpenSSL would wait for one on the terminal


def listen(host: str, port: int, bounded: bool) -> socket.socket:
    """Bind to a port, or to a free one if it is in use; ``bounded`` as in `BoundedSocket`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in (port, 0):
        made = (BoundedSocket if bounded else socket.socket)(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host.strip("[]"), number))
            made.listen(64)
            return made
        except OSError as error:
            made.close()
            if number == 0 or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("unreachable")


class BoundedSocket(socket.socket):
    """Listening socket that closes a new connection while `TLS_CONNECTIONS` are open.

    `BoundedHttp` counts connections after their handshake alone.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; a ConnectionAbortedError, which the event loop ignores, if it was closed at once."""
        made, address = super().accept()
        if sum(one.fileno() >= 0 for one in self._accepted) >= TLS_CONNECTIONS:
            made.close()
            raise ConnectionAbortedError("too many connections")
        self._accepted.add(made)
        return made, address


class Loop(asyncio.SelectorEventLoop):
    """Event loop whose servers bound the time of a TLS handshake."""

    async def create_server(self, *given: Any, **options: Any) -> asyncio.Server:
        """Create a server as asyncio does."""
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", HANDSHAKE_S)
        return await super().create_server(*given, **options)
