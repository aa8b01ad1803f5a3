"""Keys of a terminal as a velocity of the hand. A terminal does not report the release of a key; a time-out does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdm_ros.control.teleop import DISCARD, FAILURE, PAUSE, RESUME, SUCCESS

DIRECTIONS = {"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1)}
"""Axis of frame base and sign: x ahead, y to the left, z up."""
EVENTS = {"y": SUCCESS, "n": FAILURE, "x": DISCARD, "p": PAUSE, "c": RESUME}
STOP, TAKE, FASTER, SLOWER, QUIT = " ", "i", "+", "-", "q"

FIRST_S = 0.5
"""A key that is held repeats itself after half a second at most; until then it counts as held."""
REPEAT_S = 0.15
"""And then at ten hertz or more: one that is silent for so long was let go."""
FACTOR, SLOWEST_M_S, FASTEST_M_S = 1.5, 0.01, 0.3

HELP = """\
w s  ahead, back      a d  left, right      r f  up, down      + -  faster, slower
i    take over and stand still, or no more  space  stop        q    leave
y    success    n  failure    x  discard    p  pause    c  go on
"""


class Keyboard:
    """What keys, one at a time and with the moment at which each came, ask for.

    Parameters
    ----------
    speed_m_s : float
        How fast a key moves the hand [m/s].
    """

    def __init__(self, speed_m_s: float) -> None:
        self.speed_m_s = speed_m_s
        self._key, self._key_s, self._repeats = "", -np.inf, False
        self.engaged = False
        """The operator is engaged, moving or not."""
        self.over = False
        """The operator wants to leave."""

    def press(self, key: str, now_s: float) -> str:
        """Take a key in; return the event that it means, or ""."""
        if key in DIRECTIONS:
            self._repeats = key == self._key and now_s - self._key_s < FIRST_S
            self._key, self._key_s = key, now_s
        elif key in (STOP, QUIT, TAKE):
            self._key = ""
            self.engaged = key == TAKE and not self.engaged
            self.over |= key == QUIT
        elif key in (FASTER, SLOWER):
            wanted_m_s = self.speed_m_s * (FACTOR if key == FASTER else 1 / FACTOR)
            self.speed_m_s = min(max(wanted_m_s, SLOWEST_M_S), FASTEST_M_S)
        return EVENTS.get(key, "")

    def velocity(self, now_s: float) -> NDArray[np.float64]:
        """Velocity of the hand, (3,) [m/s], that is asked for now."""
        velocity = np.zeros(3)
        if self._key and now_s - self._key_s < (REPEAT_S if self._repeats else FIRST_S):
            axis, sign = DIRECTIONS[self._key]
            velocity[axis] = sign * self.speed_m_s
        else:
            self._key = ""
        return velocity
