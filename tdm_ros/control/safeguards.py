"""Additional safeguards of a real arm: slow start, deadman, minimum rate of commands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SafeguardSettings:
    """How much care is taken; the defaults ask for none of it, as for a simulated arm.

    Parameters
    ----------
    ramp_s : float
        After each start and each hand-over the speed rises from nothing to full over this time [s].
    first_scale : float
        Largest part of the speed in the first motion after a person started the arm, in (0, 1].
    first_s : float
        How much motion counts as the first [s].
    require_deadman : bool
        Whether the arm moves only while a person holds the deadman.
    deadman_timeout_s : float
        A deadman that was last heard so long ago counts as released [s].
    latch : bool
        Whether a command that is late, missing or refused stops the arm for good (FAULT), and a deadman let go until
        something new is announced.
    raise_m : float
        The drive home begins with raising the hand by so much, straight up, as far as the limits allow [m].
    stop_hz : float
        The arm stops for good when commands of their own cycle come less often than this; 0: it never does [Hz].
    """

    ramp_s: float = 0.0
    first_scale: float = 1.0
    first_s: float = 0.0
    require_deadman: bool = False
    deadman_timeout_s: float = 0.2
    latch: bool = False
    stop_hz: float = 0.0
    raise_m: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.first_scale <= 1:
            raise ValueError(f"first_scale must be in (0, 1], got {self.first_scale}")
        for name in ("ramp_s", "first_s", "stop_hz", "raise_m"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be finite and >= 0, got {getattr(self, name)}")
        if not self.deadman_timeout_s > 0:
            raise ValueError(f"deadman_timeout_s must be positive, got {self.deadman_timeout_s}")


class Safeguards:
    """Says how fast the arm may move now, and whether it may at all. Steady times are given [s].

    Parameters
    ----------
    settings : SafeguardSettings
    rate_hz : float
        Of the control cycles [Hz].
    """

    WINDOW_S = 2.0
    """Time over which the rate of commands is taken [s]."""

    def __init__(self, settings: SafeguardSettings, rate_hz: float) -> None:
        self.settings = settings
        self._rate_hz = rate_hz
        self._began_s, self._ramp_s = -np.inf, settings.ramp_s
        self._moved_s = 0.0
        self._deadman_s = -np.inf
        self._dispute, self._dispute_until_s = "", -np.inf
        self._answers: deque[bool] = deque(maxlen=max(round(self.WINDOW_S * rate_hz), 1))

    def disarm(self) -> None:
        """A person has to start the arm again: the next motion is the first, and all is counted anew."""
        self._moved_s = 0.0
        self._answers.clear()

    def begin(self, now_s: float, least_s: float = 0.0) -> None:
        """Motion begins, or changes hands; the speed then rises for ``least_s`` [s] at least."""
        self._began_s, self._ramp_s = now_s, max(self.settings.ramp_s, least_s)

    def deadman(self, held: bool, now_s: float) -> None:
        """Take in what the deadman says."""
        self._deadman_s = now_s if held else -np.inf

    def dispute(self, why: str, until_s: float) -> None:
        """Let nobody move the arm until then: several sources command it at the same time."""
        self._dispute, self._dispute_until_s = why, until_s

    def released(self, now_s: float) -> str:
        """Why the arm may not move at the moment, or ""."""
        by = self.settings
        if now_s < self._dispute_until_s:
            return self._dispute
        if not by.require_deadman or now_s - self._deadman_s <= by.deadman_timeout_s:
            return ""
        return "the deadman is not held"

    def scale(self, now_s: float) -> float:
        """Part of the speed that is allowed now, in [0, 1]."""
        by = self.settings
        ramp = min(max((now_s - self._began_s) / self._ramp_s, 0.0), 1.0) if self._ramp_s else 1.0
        return ramp * (by.first_scale if self._moved_s < by.first_s else 1.0)

    def end_cycle(self, expected: bool, answered: bool, by_person: bool = False) -> str:
        """Count a cycle; returns why the arm has to stop for good, or ""."""
        self._moved_s += (expected or by_person) / self._rate_hz
        if not expected:
            return ""
        self._answers.append(answered)
        if len(self._answers) < (self._answers.maxlen or 0) or self.rate_hz >= self.settings.stop_hz:
            return ""
        return f"only {self.rate_hz:.1f} of {self._rate_hz:g} commands a second came in time"

    @property
    def rate_hz(self) -> float:
        """Commands of their own cycle over the last `WINDOW_S`, or since a person started the arm [Hz]."""
        return self._rate_hz * sum(self._answers) / len(self._answers) if self._answers else self._rate_hz
