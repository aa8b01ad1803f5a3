"""Additional safeguards of a real arm: slow start, deadman, minimum rate of commands."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SafeguardSettings:
    """Parameters of `arm`, whose ranges the node checks (docs/nodes/arm.md); by default all safeguards are off."""

    ramp_s: float = 0.0
    slow_start_scale: float = 1.0
    slow_start_s: float = 0.0
    deadman_required: bool = False
    deadman_timeout_s: float = 0.2
    fault_latched: bool = False
    """A hold for a released deadman then lasts until another announcement takes effect, too."""
    stop_hz: float = 0.0
    lift_m: float = 0.0


class Safeguards:
    """Fraction of the speed that is allowed, and reasons to stop; of cycles at ``rate_hz``. Times are steady [s]."""

    WINDOW_S = 2.0
    """Time over which the rate of commands is averaged [s]."""

    def __init__(self, settings: SafeguardSettings, rate_hz: float) -> None:
        self.settings = settings
        self._rate_hz = rate_hz
        self.suspended = ""
        """Reason for which nothing may move the arm until it is cleared; "" without one."""
        self.unattended = ""
        """The same for policy and drive home; the operator may move the arm."""
        self._start_s, self._ramp_s = -np.inf, settings.ramp_s
        self._moved_s = 0.0
        self._deadman_s = -np.inf
        self._blocked, self._blocked_until_s = "", -np.inf
        self._answers: deque[bool] = deque(maxlen=max(round(self.WINDOW_S * rate_hz), 1))

    def reset(self) -> None:
        """An operator must start the arm again: the next motion is the first, and the rate is counted anew."""
        self._moved_s = 0.0
        self._answers.clear()

    def start_ramp(self, now_s: float, least_s: float = 0.0) -> None:
        """Begin the speed ramp, which lasts ``least_s`` [s] at least."""
        self._start_s, self._ramp_s = now_s, max(self.settings.ramp_s, least_s)

    def set_deadman(self, held: bool, now_s: float) -> None:
        self._deadman_s = now_s if held else -np.inf

    def block(self, why: str, until_s: float) -> None:
        """Allow no motion until then: several devices command the arm at the same time."""
        self._blocked, self._blocked_until_s = why, until_s

    def stop_reason(self, now_s: float, by_operator: bool = False) -> str:
        """Why the arm may not move now, or ""."""
        if self.suspended or (self.unattended and not by_operator):
            return self.suspended or self.unattended
        if now_s < self._blocked_until_s:
            return self._blocked
        if not self.settings.deadman_required or now_s - self._deadman_s <= self.settings.deadman_timeout_s:
            return ""
        return "the deadman is not held"

    def speed_scale(self, now_s: float) -> float:
        """Fraction of the speed that is allowed now, in [0, 1]."""
        ramp = min(max((now_s - self._start_s) / self._ramp_s, 0.0), 1.0) if self._ramp_s else 1.0
        return ramp * (self.settings.slow_start_scale if self._moved_s < self.settings.slow_start_s else 1.0)

    def end_cycle(self, expected: bool, answered: bool, by_operator: bool = False) -> str:
        """Count a cycle; return the reason of a fault, or ""."""
        self._moved_s += (expected or by_operator) / self._rate_hz
        if not expected:
            return ""
        self._answers.append(answered)
        if len(self._answers) < (self._answers.maxlen or 0) or self.rate_hz >= self.settings.stop_hz:
            return ""
        return f"only {self.rate_hz:.1f} of {self._rate_hz:g} commands per second arrived in time"

    @property
    def rate_hz(self) -> float:
        """Rate of commands that arrived within their own cycle, over `WINDOW_S` or since the start [Hz]."""
        return self._rate_hz * sum(self._answers) / len(self._answers) if self._answers else self._rate_hz
