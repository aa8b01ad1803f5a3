"""Teleoperation: whether the operator is in control, with which twist, and the keys of a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.validation import check_vector

LEVER_M = 0.3
"""Length by which a rotation of the hand is compared with a translation: 1 rad/s counts as 0.3 m/s [m]."""

SUCCESS, FAILURE, DISCARD, PAUSE, RESUME = "success", "failure", "discard", "pause", "resume"
EVENTS = (SUCCESS, FAILURE, DISCARD, PAUSE, RESUME)
"""Verdicts of the operator on an episode, and requests for the run."""

BUTTONS = {"button_ok": SUCCESS, "button_triangle": FAILURE, "button_back": DISCARD, "button_show": PAUSE}
"""Sawyer's navigator: OK, the X, the arrow back and the Rethink button, on the arm and on the head alike."""


@dataclass(frozen=True)
class TeleopSettings:
    """Parameters `teleop.*` of `arm`, whose ranges the node checks (docs/nodes/arm.md)."""

    timeout_s: float = 0.15
    threshold_m_s: float = 0.005
    speed_m_s: float = 0.3
    hand_back_s: float = 0.3


def twist_problem(twist: ArrayLike, age_s: float, settings: TeleopSettings) -> str:
    """Why a velocity of the hand, (6,), with a stamp of that age [s] is rejected, or ""."""
    if problem := check_vector(twist, 6):
        return problem
    if not abs(age_s) <= settings.timeout_s:
        return "stamp too old" if age_s > 0 else "stamp in the future"
    return ""


class TeleopInput:
    """Newest messages of the teleoperation device, with their times on the receiver's steady clock."""

    def __init__(self, settings: TeleopSettings) -> None:
        self.settings = settings
        self.twist: NDArray[np.float64] = np.zeros(6)
        """Requested velocity of the hand, (6,) [m/s and rad/s]."""
        self._twist_s = self._engaged_s = -np.inf

    def set_twist(self, twist: ArrayLike, now_s: float) -> None:
        """Store a velocity of the hand, (6,) [m/s and rad/s]; one above the maximum speed is scaled down."""
        wanted = np.array(twist, np.float64)
        self.twist = wanted * min(1.0, self.settings.speed_m_s / max(_speed(wanted), 1e-9))
        self._twist_s = now_s

    def set_engaged(self, engaged: bool, now_s: float) -> None:
        self._engaged_s = now_s if engaged else -np.inf

    def clear(self) -> None:
        """Discard all messages."""
        self._twist_s = self._engaged_s = -np.inf

    @property
    def moves(self) -> bool:
        """Whether the twist is above the threshold."""
        return _speed(self.twist) > self.settings.threshold_m_s

    @property
    def expiry_s(self) -> float:
        """Time at which the operator's control expires without another message [s]; -inf without control."""
        engaged_s = np.inf if self.moves else self._engaged_s
        return float(min(self._twist_s, engaged_s)) + self.settings.timeout_s

    def active(self, now_s: float) -> bool:
        """Whether the operator sends twists, or is engaged."""
        return now_s < self.expiry_s


class Presses:
    """Converts states of Sawyer's buttons to events when they go down."""

    def __init__(self) -> None:
        self._before: dict[str, int] | None = None

    def events(self, buttons: dict[str, int]) -> list[str]:
        """Events of buttons that are down now and were up before; the first call returns none."""
        before, self._before = self._before, dict(buttons)
        if before is None:
            return []
        pressed = [name for name, value in buttons.items() if value and not before.get(name, 0)]
        return [event for name in pressed for end, event in BUTTONS.items() if name.endswith(end)]


def _speed(twist: NDArray[np.float64]) -> float:
    return float(np.hypot(np.linalg.norm(twist[:3]), LEVER_M * np.linalg.norm(twist[3:])))


DIRECTIONS = {"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1)}
"""Axis of frame base and sign: x forward, y to the left, z up."""
KEY_EVENTS = {"y": SUCCESS, "n": FAILURE, "x": DISCARD, "p": PAUSE, "c": RESUME}
STOP, TAKE, FASTER, SLOWER, QUIT = " ", "i", "+", "-", "q"

FIRST_S = 0.5
"""Maximum delay of the first repetition of a pressed key; until then it counts as held [s]."""
REPEAT_S = 0.15
"""Maximum interval of the following repetitions; after it the key counts as released [s]."""
FACTOR, SLOWEST_M_S, FASTEST_M_S = 1.5, 0.01, 0.3

HELP = """\
w s  forward, back    a d  left, right      r f  up, down      + -  faster, slower
i    take control and stand, or release it  space  stop        q    leave
y    success    n  failure    x  discard    p  pause    c  continue
"""


class Keyboard:
    """Converts pressed keys, with their times, to a velocity of the hand, at ``speed_m_s``, and to events."""

    def __init__(self, speed_m_s: float) -> None:
        self.speed_m_s = speed_m_s
        self._key, self._key_s, self._repeats = "", -np.inf, False
        self.engaged = False
        """Whether the operator is engaged, moving or not."""
        self.over = False
        """Whether the operator wants to leave."""

    def press(self, key: str, now_s: float) -> str:
        """Handle a key; return its event, or ""."""
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
        return KEY_EVENTS.get(key, "")

    def velocity(self, now_s: float) -> NDArray[np.float64]:
        """Requested velocity of the hand now, (3,) [m/s]."""
        velocity = np.zeros(3)
        if self._key and now_s - self._key_s < (REPEAT_S if self._repeats else FIRST_S):
            axis, sign = DIRECTIONS[self._key]
            velocity[axis] = sign * self.speed_m_s
        else:
            self._key = ""
        return velocity
