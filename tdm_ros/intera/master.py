"""Checks whether the ROS master on the robot's controller is still alive: existing connections survive its end."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import xmlrpc.client

ASK_EVERY_S = 0.04
SILENT_S = 0.12
"""A master that has not answered for this long is gone, or frozen [s]."""


class _Patience(xmlrpc.client.Transport):
    def make_connection(self, host: object) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection = super().make_connection(host)  # type: ignore[arg-type]
        connection.timeout = 1.0
        return connection


class MasterWatch:
    """Asks the master for its process id, again and again, on a thread of its own.

    Parameters
    ----------
    uri : str
        Like "http://robot.local:11311".
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._heard_s = time.monotonic()
        self._refused = ""
        threading.Thread(target=self._ask, name="master", daemon=True).start()

    def problem(self, now_s: float) -> str:
        """Return what is wrong with the master, or ""."""
        silent_s = now_s - self._heard_s
        if self._refused:
            return f"the ROS master is gone: {self._refused}"
        return f"the ROS master has not answered for {silent_s:.2f} s" if silent_s > SILENT_S else ""

    def _ask(self) -> None:
        while True:
            master = xmlrpc.client.ServerProxy(self._uri, transport=_Patience())
            try:
                while True:
                    master.getPid("/tdm_sawyer_worker")
                    self._heard_s, self._refused = time.monotonic(), ""
                    time.sleep(ASK_EVERY_S)
            except Exception as error:  # of the network, of HTTP or of XML-RPC; a frozen master is merely silent
                if not isinstance(error, socket.timeout):
                    self._refused = str(error) or type(error).__name__
            time.sleep(ASK_EVERY_S)
