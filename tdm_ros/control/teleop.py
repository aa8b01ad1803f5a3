"""Teleoperation: whether the operator is in control, with which twist, and the keys of a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.control.validation import check_vector

LEVER_M = 0.3
"""A turn of the hand by 1 rad/s counts as much as a motion of this many m/s."""

SUCCESS, FAILURE, DISCARD, PAUSE, RESUME = "success", "failure", "discard", "pause", "resume"
EVENTS = (SUCCESS, FAILURE, DISCARD, PAUSE, RESUME)
"""What a person may say of an episode, or want of the run."""

BUTTONS = {"button_ok": SUCCESS, "button_triangle": FAILURE, "button_back": DISCARD, "button_show": PAUSE}
"""Sawyer's navigator: OK, the X, the arrow back and the Rethink button, on the arm and on the head alike."""


@dataclass(frozen=True)
class TeleopSettings:
    """What counts as a person who drives.

    Parameters
    ----------
    timeout_s : float
        A message that came longer ago says nothing any more [s].
    threshold_m_s : float
        Who moves the stick faster than this drives, engaged or not [m/s].
    speed_m_s : float
        Faster velocities of the hand are scaled down to this, turns counted in [m/s].
    hand_back_s : float
        After it was let go the speed of what moves the arm next rises from nothing over this time [s].
    """

    timeout_s: float = 0.15
    threshold_m_s: float = 0.005
    speed_m_s: float = 0.3
    hand_back_s: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 0.15:
            raise ValueError(f"TeleopSettings.timeout_s must be in (0, 0.15] s, got {self.timeout_s}")
        if not 0 < self.threshold_m_s < self.speed_m_s <= 1.0:
            got = f"{self.threshold_m_s} and {self.speed_m_s}"
            raise ValueError(f"TeleopSettings must have 0 < threshold_m_s < speed_m_s <= 1 m/s, got {got}")
        if not 0 <= self.hand_back_s <= 10:
            raise ValueError(f"TeleopSettings.hand_back_s must be in [0, 10] s, got {self.hand_back_s}")


def twist_problem(twist: ArrayLike, age_s: float, settings: TeleopSettings) -> str:
    """Why a velocity of the hand, (6,), with a stamp of that age [s] cannot be followed, or ""."""
    if problem := check_vector(twist, 6):
        return problem
    if not abs(age_s) <= settings.timeout_s:
        return "stamp too old" if age_s > 0 else "stamp in the future"
    return ""


class Stick:
    """What the newest messages say, on the receiver's steady clock.

    Parameters
    ----------
    settings : TeleopSettings
    """

    def __init__(self, settings: TeleopSettings) -> None:
        self.settings = settings
        self._twist: NDArray[np.float64] = np.zeros(6)
        self._twist_s = self._engaged_s = -np.inf

    def push(self, twist: ArrayLike, now_s: float) -> None:
        """Take in a velocity of the hand, (6,) [m/s and rad/s]; one that is faster than allowed is scaled down."""
        wanted = np.array(twist, np.float64)
        self._twist = wanted * min(1.0, self.settings.speed_m_s / max(_speed(wanted), 1e-9))
        self._twist_s = now_s

    def engage(self, held: bool, now_s: float) -> None:
        """Take in whether the operator is engaged."""
        self._engaged_s = now_s if held else -np.inf

    def let_go(self) -> None:
        """Forget everything: what came last cannot be trusted."""
        self._twist_s = self._engaged_s = -np.inf

    @property
    def twist(self) -> NDArray[np.float64]:
        """Velocity of the hand that is asked for, (6,)."""
        return self._twist

    @property
    def moves(self) -> bool:
        """Whether the hand is to move at all."""
        return _speed(self._twist) > self.settings.threshold_m_s

    @property
    def until_s(self) -> float:
        """Until when somebody drives if nothing more comes [s]; -inf if nobody does."""
        held_s = np.inf if self.moves else self._engaged_s
        return float(min(self._twist_s, held_s)) + self.settings.timeout_s

    def driven(self, now_s: float) -> bool:
        """Whether a person drives."""
        return now_s < self.until_s


class Presses:
    """Turns buttons that are pressed, by their vendor's names, into events."""

    def __init__(self) -> None:
        self._before: dict[str, int] | None = None

    def events(self, buttons: dict[str, int]) -> list[str]:
        """Events of buttons that are down now and were not before. What is down at first does not count."""
        before, self._before = self._before, dict(buttons)
        if before is None:
            return []
        pressed = [name for name, value in buttons.items() if value and not before.get(name, 0)]
        return [event for name in pressed for end, event in BUTTONS.items() if name.endswith(end)]


def _speed(twist: NDArray[np.float64]) -> float:
    return float(np.hypot(np.linalg.norm(twist[:3]), LEVER_M * np.linalg.norm(twist[3:])))


DIRECTIONS = {"w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1)}
"""Axis of frame base and sign: x ahead, y to the left, z up."""
KEY_EVENTS = {"y": SUCCESS, "n": FAILURE, "x": DISCARD, "p": PAUSE, "c": RESUME}
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
        return KEY_EVENTS.get(key, "")

    def velocity(self, now_s: float) -> NDArray[np.float64]:
        """Velocity of the hand, (3,) [m/s], that is asked for now."""
        velocity = np.zeros(3)
        if self._key and now_s - self._key_s < (REPEAT_S if self._repeats else FIRST_S):
            axis, sign = DIRECTIONS[self._key]
            velocity[axis] = sign * self.speed_m_s
        else:
            self._key = ""
        return velocity
