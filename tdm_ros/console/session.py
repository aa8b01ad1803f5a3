"""Token and sessions: an address with the token opens a session, a signed cookie that expires."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

COOKIE = "tdm_ros_console"
SESSION_S = 12 * 3600
"""How long a cookie is valid [s]. A page that is open stays open."""


class Sessions:
    """Compares tokens, and makes and checks cookies; no state is kept, so that a restart ends no session.

    Parameters
    ----------
    token : str
        Not empty.
    clock : callable
        Wall clock [s].
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token, self._clock = token.encode(), clock

    def has_token(self, query: bytes) -> bool:
        """Whether the query of an address carries the token."""
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("token", [])
        return any(hmac.compare_digest(text.encode(), self._token) for text in given)

    def has_cookie(self, cookies: str, host: str) -> bool:
        """Whether one of the cookies is ours, valid and not expired."""
        pairs = (part.partition("=") for part in cookies.split(";"))
        return any(self._valid(value.strip()) for name, _, value in pairs if name.strip() == cookie_name(host))

    def new_cookie(self, host: str) -> str:
        """Return the Set-Cookie header of a new session."""
        value = self._signed(str(int(self._clock()) + SESSION_S))
        return f"{cookie_name(host)}={value}; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict; Path=/"

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
