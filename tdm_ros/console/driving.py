"""Driving from the page: it reports the held keys 20 times per second; without reports the arm is not driven."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import time
from collections import deque
from typing import NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from tdm_ros.console.console_state import ZERO, ConsoleState, Point

TICK_S = 0.05
FRESH_S = 0.15  # largest age of a tick that a message may answer [s]
REMEMBERED = 20
SPEED_MAX_M_S = 0.3
MESSAGE_BYTES = 256
LOST_S = 0.15
"""Silence after which a driving page counts as lost [s]: the arm, which stops by itself then, is paused."""
UNACCEPTABLE = 1007


class DriveMessage(NamedTuple):
    """Message of a page: number of the answered tick, requested velocity [m/s], whether any control is held."""

    tick: int
    velocity_m_s: Point
    held: bool


def parse_message(text: str) -> DriveMessage:
    """Parse a message of a page; a ValueError says that it is malformed or out of range."""
    if len(text) > MESSAGE_BYTES:
        raise ValueError(f"a message must have at most {MESSAGE_BYTES} characters, got {len(text)}")
    fields = json.loads(text)
    if not (isinstance(fields, dict) and set(fields) == {"tick", "velocity", "held"}):
        raise ValueError("a message must have the fields tick, velocity and held, and no others")
    tick, velocity, held = fields["tick"], fields["velocity"], fields["held"]
    if type(tick) is not int or type(held) is not bool or not isinstance(velocity, list) or len(velocity) != 3:
        raise ValueError("tick must be an integer, velocity a list of three, held true or false")
    if not all(type(v) in (int, float) and math.isfinite(v) for v in velocity):
        raise ValueError("velocity must be finite numbers")
    if math.hypot(*velocity) > SPEED_MAX_M_S * 1.001:
        raise ValueError(f"velocity must be at most {SPEED_MAX_M_S} m/s")
    return DriveMessage(tick, (float(velocity[0]), float(velocity[1]), float(velocity[2])), held)


class Driving:
    """Socket through which pages drive, one at a time, until it releases the control."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state
        self._driver = 0  # number of the page that drives; 0: none
        self._lost: set[int] = set()
        self._timeout: asyncio.TimerHandle | None = None
        self._numbers = itertools.count(1)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it disconnects."""
        await socket.accept()
        page = next(self._numbers)
        ticks: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        ticker = asyncio.create_task(self._tick(socket, page, ticks))
        try:
            while True:
                self._handle(page, parse_message(await socket.receive_text()), dict(ticks))
        except WebSocketDisconnect:
            pass
        except (ValueError, RecursionError, KeyError) as error:  # KeyError: bytes instead of text
            self._state.reject("driving: malformed message", str(error)[:80])
            await socket.close(UNACCEPTABLE, "malformed message")
        finally:
            ticker.cancel()
            self._lose(page)
            self._lost.discard(page)

    async def _tick(self, socket: WebSocket, page: int, ticks: deque[tuple[int, float]]) -> None:
        for tick in itertools.count(1):
            ticks.append((tick, time.monotonic()))
            try:
                driver = "lost" if page in self._lost else {0: "none", page: "you"}.get(self._driver, "other")
                await socket.send_json({"tick": tick, "driver": driver})
            except (WebSocketDisconnect, RuntimeError):  # disconnected or closing
                return
            await asyncio.sleep(TICK_S)

    def _handle(self, page: int, message: DriveMessage, ticks: dict[int, float]) -> None:
        if not message.held:
            self._lost.discard(page)
            self._release(page, engaged=False)
            return
        if page in self._lost:
            self._state.reject("driving: release the control first")
            return
        age_s = time.monotonic() - ticks.get(message.tick, -math.inf)
        if not age_s <= FRESH_S:
            self._state.reject("driving: late answer", f"{age_s * 1e3:.0f} ms")
        elif self._driver not in (0, page):
            self._state.reject("driving: another page drives")
        else:
            self._driver = page
            self._state.drive(message.velocity_m_s, True)
            self._restart_timeout(page)

    def _restart_timeout(self, page: int | None) -> None:
        """Expect the next message of a driving page within `LOST_S`; None: no page drives."""
        if self._timeout is not None:
            self._timeout.cancel()
        self._timeout = None if page is None else asyncio.get_running_loop().call_later(LOST_S, self._lose, page)

    def _lose(self, page: int) -> None:
        """Handle the loss of a page: if it drove, stop the hand without a release of the control.

        Thus the policy does not continue. A page that reconnects must release its keys before it may drive: what it
        reports as held may be old.
        """
        if self._release(page, engaged=True):
            self._lost.add(page)
            self._state.request("lost")

    def _release(self, page: int, engaged: bool) -> bool:
        """End the driving of a page and stop the hand; return whether the page drove."""
        if self._driver != page:
            return False
        self._driver = 0
        self._restart_timeout(None)
        self._state.drive(ZERO, engaged)
        return True
