"""Accepts clients that know the secret, and serves one at a time, each in its own process.

The process is forked before ROS is used, so that each client gets a new worker.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tdm_ros.drivers.intera import wire
from tdm_ros.drivers.intera.authentication import Keys, is_proof, keys_of, proof_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROVE_S = 3.0
"""Longest time from a connection to the proof that its client knows the secret [s]."""

PENDING = 16
"""Largest number of connections without a proof; one more closes the oldest of them."""

POLL_S = 0.1
ENDING_S = 3.0


class Listener:
    """TCP server, with a shared secret, that starts a worker per client.

    ``address`` is HOST:PORT. Raises ValueError or OSError if it is invalid or in use.
    """

    def __init__(self, address: str, key: bytes) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"--listen must be HOST:PORT, got {address!r}")
        self._key = key
        self._server = socket.create_server((host, int(port)), backlog=PENDING)
        self._server.setblocking(False)
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._server, selectors.EVENT_READ)
        self._pending: dict[socket.socket, Unproven] = {}
        self._child = self._pipe = 0
        self._over = False
        print(f"worker: listening on {host}:{self._server.getsockname()[1]}", file=sys.stderr, flush=True)

    def run(self, serve: Callable[[socket.socket, Keys], int]) -> int:
        """Serve clients until a signal.

        `serve` is called with the connection and its keys, in a process of its own, which ends with its status.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_over", True))
        while not self._over:
            for key, _ in self._ready.select(POLL_S):
                link = key.fileobj
                if link is self._server:
                    self._accept()
                elif isinstance(link, socket.socket) and link in self._pending:
                    self._receive(link, serve)
            for link, unproven in list(self._pending.items()):
                if time.monotonic() > unproven.until_s:
                    self._drop(link)
            self._reap(os.WNOHANG)
        self._end_child()
        return 0

    def _accept(self) -> None:
        try:
            link, _ = self._server.accept()
        except OSError:
            return  # the client has closed it
        if len(self._pending) >= PENDING:
            self._drop(next(iter(self._pending)))
        link.setblocking(False)
        nonce = secrets.token_hex(32)
        self._pending[link] = Unproven(nonce, wire.Frames(), time.monotonic() + PROVE_S)
        self._ready.register(link, selectors.EVENT_READ)
        try:
            link.send(wire.encode(wire.Challenge(nonce)))
        except OSError:
            self._drop(link)

    def _receive(self, link: socket.socket, serve: Callable[[socket.socket, Keys], int]) -> None:
        """Receive data of a client without proof; it may be the proof, which nothing may follow yet."""
        unproven = self._pending[link]
        try:
            data = link.recv(4096)
            message = next(unproven.frames.feed(data), None)
            if message is not None:
                unproven.frames.end()
        except (OSError, wire.WireError):
            return self._drop(link)
        if not data or (message is not None and not isinstance(message, wire.Proof)):
            return self._drop(link)
        if message is None:
            return None
        if not is_proof(message.mac, self._key, "client", unproven.nonce, message.nonce):
            return self._drop(link, "the secret of this client is not the worker's: both need the same file")
        self._reap(os.WNOHANG)
        if self._child:
            return self._drop(link, "another client has the arm: end it first")
        mac = proof_of(self._key, "worker", unproven.nonce, message.nonce)
        try:
            link.send(wire.encode(wire.Proof(unproven.nonce, mac)))
        except OSError:
            return self._drop(link)
        self._release(link)
        keys = keys_of(self._key, unproven.nonce, message.nonce)
        return self._fork(link, lambda: serve(link, keys))

    def _fork(self, link: socket.socket, serve: Callable[[], int]) -> None:
        parent_is_there, self._pipe = os.pipe()
        self._child = os.fork()
        if self._child:
            os.close(parent_is_there)
            link.close()
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._pipe)
            self._ready.close()
            for other in (self._server, *self._pending):
                other.close()
            threading.Thread(target=_end_with, args=(parent_is_there,), daemon=True).start()
            link.setblocking(True)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)  # ms; a pulled cable ends nothing
            status = serve()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _drop(self, link: socket.socket, why: str = "") -> None:
        if why:
            with suppress(OSError):
                print(f"worker: {link.getpeername()[0]} was not let in: {why}", file=sys.stderr, flush=True)
                link.send(wire.encode(wire.Failure(why)))
        self._release(link)
        link.close()

    def _release(self, link: socket.socket) -> None:
        self._ready.unregister(link)
        del self._pending[link]

    def _reap(self, flags: int) -> None:
        if self._child and os.waitpid(self._child, flags)[0]:
            self._child = 0
            os.close(self._pipe)
            print("worker: listening again", file=sys.stderr, flush=True)

    def _end_child(self) -> None:
        """Let the process of the client stop the arm and end; kill it if it does not."""
        if not self._child:
            return
        os.kill(self._child, signal.SIGTERM)
        killer = threading.Timer(ENDING_S, os.kill, (self._child, signal.SIGKILL))
        killer.daemon = True
        killer.start()
        self._reap(0)
        killer.cancel()


class Unproven(NamedTuple):
    """A connection without a proof that its client knows the secret."""

    nonce: str
    frames: wire.Frames
    until_s: float


def _end_with(pipe: int) -> None:
    """End this process when the other end of a pipe is closed: the listener has ended."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
