"""A console node for tests, with requests and sockets to its page."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ros_bench import Bench, bench
from websockets.sync.client import ClientConnection, connect


class ConsolePage:
    """The page of a console node that runs on a bench, and where it is; ``tls`` trusts its certificate."""

    def __init__(self, made: Bench, tls: ssl.SSLContext | None = None, **parameters: object) -> None:
        self._tls, self._s = tls, "s" if tls else ""
        self.bench = made
        made.start("console", **parameters)
        made.until(lambda: "open http" in made.output("console"), 40)
        found = re.search(rf"open (http{self._s}://([^/\s]+)/\S*) in a browser", made.output("console"))
        assert found is not None
        self.address, self.host = found[1], found[2]
        self.token = unquote(self.address.partition("token=")[2])

    def get(self, path: str = "/", **heads: str) -> tuple[int, dict[str, str], str]:
        """Ask for a path, redirections not followed; return status, headers and text."""
        request = urllib.request.Request(f"http{self._s}://{self.host}{path}", headers=heads)
        try:
            with _opener(self._tls).open(request, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode(errors="replace")

    def socket(self, path: str = "/drive", origin: str | None = "", **heads: str) -> ClientConnection:
        """Open a socket as a page of this origin would ("": our own; None: as no browser would)."""
        host = heads.pop("Host", self.host)
        own = f"http{self._s}://{host}" if origin == "" else origin
        address = f"ws{self._s}://{self.host}{path}"
        return connect(address, origin=own, additional_headers=heads, compression=None, ssl=self._tls)

    def rejected(self, why: str) -> int:
        """Number of rejections for this reason, after the next diagnostics."""
        self.bench.spin(1.5)
        return self.bench.rejected("console").get(why, 0)

    def drive(self, socket: ClientConnection, velocity: Any, seconds: float, held: Any = True) -> None:
        """Answer the ticks of a driving socket for a while."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            tick = json.loads(socket.recv(timeout=5))["tick"]
            socket.send(json.dumps({"tick": tick, "velocity": velocity, "held": held}))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(tls: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Stay, urllib.request.HTTPSHandler(context=tls))


@contextmanager
def console_page(folder: Path, tls: ssl.SSLContext | None = None, **parameters: object) -> Iterator[ConsolePage]:
    """A console node for a test, and nothing left of it."""
    with bench(folder) as made:
        yield ConsolePage(made, tls, **parameters)


class Cable:
    """Between a browser and the page: forwards bytes until it is cut, and then nothing, while all stays open."""

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._there = (name, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._whole = threading.Event()
        self._whole.set()
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        """Have it again: what waited arrives in a burst."""
        self._whole.set()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._there)
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._whole.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
