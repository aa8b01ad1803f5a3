"""Driving from the page: it reports the held keys 20 times per second; without a report the arm is not driven."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import time
from collections import deque
from typing import NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from tdm_ros.console.console_state import ZERO, Desk, Point

TICK_S = 0.05
FRESH_S = 0.15
"""A page whose answer to a tick takes longer is too far away, or was asleep [s]."""
REMEMBERED = 20
SPEED_MAX_M_S = 0.3
MESSAGE_BYTES = 256
LOST_S = 0.15
"""Who held on and then said nothing for so long is lost [s]: the arm, which lets go by itself then, is paused."""
UNACCEPTABLE = 1007


class Answer(NamedTuple):
    """What a page says: to which tick, the velocity that is asked for [m/s], whether anything is held."""

    tick: int
    velocity_m_s: Point
    held: bool


def answer_of(text: str) -> Answer:
    """Read a page's answer.

    Raises
    ------
    ValueError
        If it is anything else than that.
    """
    if len(text) > MESSAGE_BYTES:
        raise ValueError(f"an answer has at most {MESSAGE_BYTES} characters, got {len(text)}")
    said = json.loads(text)
    if not (isinstance(said, dict) and set(said) == {"tick", "velocity", "held"}):
        raise ValueError("an answer has tick, velocity and held, and nothing else")
    tick, velocity, held = said["tick"], said["velocity"], said["held"]
    if type(tick) is not int or type(held) is not bool or not isinstance(velocity, list) or len(velocity) != 3:
        raise ValueError("tick must be a whole number, velocity a list of three, held true or false")
    if not all(type(v) in (int, float) and math.isfinite(v) for v in velocity):
        raise ValueError("velocity must be finite numbers")
    if math.hypot(*velocity) > SPEED_MAX_M_S * 1.001:
        raise ValueError(f"velocity must be at most {SPEED_MAX_M_S} m/s")
    return Answer(tick, (float(velocity[0]), float(velocity[1]), float(velocity[2])), held)


class Wheel:
    """One page drives at a time: the first that holds on, until it lets go."""

    def __init__(self) -> None:
        self._holder = 0

    def take(self, page: int) -> bool:
        """Whether ``page`` drives from now on."""
        if self._holder not in (0, page):
            return False
        self._holder = page
        return True

    def let_go(self, page: int) -> bool:
        """Free the wheel; whether it was this page's."""
        was = self._holder == page
        self._holder = 0 if was else self._holder
        return was

    def driver(self, page: int) -> str:
        """Who drives, as ``page`` sees it: you, other or none."""
        return {0: "none", page: "you"}.get(self._holder, "other")


class Driving:
    """The socket that pages drive through.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._wheel = Wheel()
        self._lost: set[int] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._numbers = itertools.count(1)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it is gone."""
        await socket.accept()
        page = next(self._numbers)
        ticks: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        ticker = asyncio.create_task(self._tick(socket, page, ticks))
        try:
            while True:
                self._take(page, answer_of(await socket.receive_text()), dict(ticks))
        except WebSocketDisconnect:
            pass
        except (ValueError, RecursionError, KeyError) as error:  # KeyError: bytes instead of text
            self._desk.refuse("driving: malformed message", str(error)[:80])
            await socket.close(UNACCEPTABLE, "malformed message")
        finally:
            ticker.cancel()
            self._lose(page)
            self._lost.discard(page)

    async def _tick(self, socket: WebSocket, page: int, ticks: deque[tuple[int, float]]) -> None:
        for tick in itertools.count(1):
            ticks.append((tick, time.monotonic()))
            try:
                driver = "lost" if page in self._lost else self._wheel.driver(page)
                await socket.send_json({"tick": tick, "driver": driver})
            except (WebSocketDisconnect, RuntimeError):  # it is gone, or being closed
                return
            await asyncio.sleep(TICK_S)

    def _take(self, page: int, answer: Answer, ticks: dict[int, float]) -> None:
        if not answer.held:
            self._lost.discard(page)
            self._leave(page, engaged=False)
            return
        if page in self._lost:
            self._desk.refuse("driving: let go first")
            return
        age_s = time.monotonic() - ticks.get(answer.tick, -math.inf)
        if not age_s <= FRESH_S:
            self._desk.refuse("driving: late answer", f"{age_s * 1e3:.0f} ms")
        elif not self._wheel.take(page):
            self._desk.refuse("driving: another page drives")
        else:
            self._desk.drive(answer.velocity_m_s, True)
            self._be_patient(page)

    def _be_patient(self, page: int | None) -> None:
        """Lose a page that drives unless it says something in time; None: nobody drives."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if page is None else asyncio.get_running_loop().call_later(LOST_S, self._lose, page)

    def _lose(self, page: int) -> None:
        """A page is closed or silent: if it drove, the hand stands, and the control is not released.

        So the arm is not handed back to the policy. A page that comes back drives on only after it has let go: what it
        holds may be long over.
        """
        if self._leave(page, engaged=True):
            self._lost.add(page)
            self._desk.ask("lost")

    def _leave(self, page: int, engaged: bool) -> bool:
        """Take a page from the wheel and let the hand stand; whether it was at it."""
        had = self._wheel.let_go(page)
        if had:
            self._be_patient(None)
            self._desk.drive(ZERO, engaged)
        return had
