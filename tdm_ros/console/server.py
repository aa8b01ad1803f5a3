"""Web server of the page: in its own thread, behind the access control."""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import threading
import time
from functools import partial
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from nicegui import app as pages
from nicegui import ui

from tdm_ros.console.access_control import HEAD_BYTES, MESSAGE_BYTES, AccessControl, BoundedHttp, is_loopback
from tdm_ros.console.console_state import ConsoleState
from tdm_ros.console.driving import Driving
from tdm_ros.console.listening import Loop, listen
from tdm_ros.console.page import make_page

SCRIPT = Path(__file__).with_name("driving.js")
TOKEN_BYTES = 18
START_S, START_TICK_S = 20.0, 0.02
DETAIL = 120
MALFORMED = "page: malformed event"


class Server:
    """Web server of the page.

    If ``port`` is in use, it takes any other. If ``token``, which is required in the address, is empty, it takes a
    random one, or none on a loopback address. With ``tls`` it speaks nothing else. An OSError says that it cannot
    listen on ``host``.
    """

    def __init__(
        self, state: ConsoleState, host: str, port: int, token: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        self.token = token or ("" if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES))
        self._socket = listen(host, port, bounded=tls is not None)
        self.port = int(self._socket.getsockname()[1])
        self._host, self._scheme = host, "http" if tls is None else "https"
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        driving = Driving(state)

        @app.websocket("/drive")
        async def drive(page: WebSocket) -> None:
            await driving.serve(page)

        @app.get("/driving.js")
        def script() -> FileResponse:
            return FileResponse(SCRIPT, media_type="text/javascript", headers={"cache-control": "no-cache"})

        pages.on_exception(lambda error: state.reject(MALFORMED, f"{type(error).__name__}: {error}"[:DETAIL]))
        for name in ("engineio.server", "socketio.server", "asyncio"):  # a traceback for each malformed event
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [Counting(state)], False
        ui.run_with(app, root=make_page(state), title="tdm_ros", tailwind=False, show_welcome_message=False)
        config = uvicorn.Config(
            AccessControl(app, state.reject, self.token, tls is not None),
            loop=f"{Loop.__module__}:{Loop.__name__}",
            ssl_context_factory=None if tls is None else lambda *_: tls,
            http=partial(BoundedHttp, state.reject),  # type: ignore[arg-type]
            h11_max_incomplete_event_size=HEAD_BYTES,
            proxy_headers=False,  # any client could set them, and there is no proxy
            ws="websockets-sansio",
            ws_max_size=4 * MESSAGE_BYTES,
            ws_per_message_deflate=False,
            log_level="error",  # what is rejected is counted
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="page", daemon=True)
        self._thread.start()
        self._wait_until_it_serves()

    def _wait_until_it_serves(self) -> None:
        """Wait for the start: NiceGUI looks at every object of the process then, which must not change meanwhile."""
        end_s = time.monotonic() + START_S
        while not self._server.started and self.alive and time.monotonic() < end_s:
            time.sleep(START_TICK_S)

    @property
    def address(self) -> str:
        host = socket.gethostname() if self._host in ("0.0.0.0", "::", "") else self._host
        shown = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{shown}:{self.port}/" + (f"?token={quote(self.token, safe='')}" if self.token else "")

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_S)


class Counting(logging.Handler):
    """Counts log records of a library as rejections: a page could cause any number of them."""

    def __init__(self, state: ConsoleState) -> None:
        super().__init__()
        self._state = state

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record."""
        error = record.exc_info[1] if record.exc_info else None
        what = f"{type(error).__name__}: {error}" if error else record.getMessage()
        self._state.reject(MALFORMED, what[:DETAIL])
