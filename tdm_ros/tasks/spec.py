"""Description of a task: names, units, scales and bounds of all numbers at its interfaces."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]

RANGES, SCALES = 10.0, 1000.0
"""Physically plausible values are within ten times the range of the bounds outside them or, without bounds, below a
thousand scales."""

HORIZON = 15
"""Default of the longest ``steps_left`` [steps]; longer times are divided into segments."""


@dataclass(frozen=True)
class Channels:
    """Names, units, scales and bounds of one vector of length D.

    Raises ValueError if the lengths differ, a scale is not positive, or a lower bound is above the upper one.
    """

    names: tuple[str, ...]
    unit: str
    """One unit for all, or a comma-separated list."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Bounds [unit], or infinity. For goals: the box that goals are drawn from."""
    scale: tuple[float, ...]
    """Typical distance [unit], to which the networks normalise."""
    wrap: tuple[bool, ...] | None = None
    """Whether a value is an angle that is compared modulo one turn [rad]. Required for goals with angles, also where
    they do not wrap (a joint with limits)."""

    def __post_init__(self) -> None:
        sizes = {"low": len(self.low), "high": len(self.high), "scale": len(self.scale)}
        if self.wrap is not None:
            sizes["wrap"] = len(self.wrap)
        for key, size in sizes.items():
            if size != len(self.names):
                raise ValueError(f"Channels.{key} must have {len(self.names)} entries, one for each name, got {size}")
        if not all(s > 0 for s in self.scale):
            raise ValueError(f"Channels.scale must be positive, got {self.scale}")
        if not all(lo <= hi for lo, hi in zip(self.low, self.high, strict=True)):
            raise ValueError(f"Channels.low must not exceed Channels.high, got {self.low} and {self.high}")

    @property
    def size(self) -> int:
        """Length D of the vector."""
        return len(self.names)

    def difference(self, end: ArrayLike, start: ArrayLike) -> NDArray[Any]:
        """Difference from ``start`` to ``end``, (..., D) [unit]; wrapped angles by the shorter arc."""
        gap = np.asarray(end) - np.asarray(start)
        if self.wrap is not None and any(self.wrap):
            turns = np.round(gap / (2 * np.pi)) * np.asarray(self.wrap)
            gap = gap - (turns * (2 * np.pi)).astype(gap.dtype)
        return gap

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Channels:
        """Inverse of `asdict`; tuples may have become lists."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    def checked(self, values: ArrayLike, what: str) -> Array:
        """Return ``values`` as a fresh (D,) float32 array.

        Raises ValueError if the shape is wrong or a value is not finite; the message names ``what``.
        """
        array = np.array(values, np.float32)
        if array.shape != (self.size,):
            raise ValueError(f"{what} must have shape ({self.size},) for {', '.join(self.names)}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{what} must be finite, got {array.tolist()}")
        return array

    @cached_property
    def plausible_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest physically plausible values, (D,) float64 [unit]."""
        low, high, scale = (np.asarray(part, np.float64) for part in (self.low, self.high, self.scale))
        bounded = np.isfinite(low) & np.isfinite(high)
        span = np.where(bounded, high - low, 0.0)
        least = np.where(bounded, low - RANGES * span, -SCALES * scale)
        return least, np.where(bounded, high + RANGES * span, SCALES * scale)

    def plausible(self, values: ArrayLike, what: str) -> Array:
        """As `checked`, for values of a message or a file: also within `RANGES` times the bounds, or `SCALES` scales.

        Raises ValueError as `checked`, or if a value is not physically plausible.
        """
        array = self.checked(values, what)
        least, most = self.plausible_bounds
        if ((array < least) | (array > most)).any():
            raise ValueError(f"{what} is not physical: {array.tolist()} {self.unit}, expected at most {most.tolist()}")
        return array


@dataclass(frozen=True)
class TaskSpec:
    """Goal-conditioned task: observation (O,), action (A,) and goal (G,), rate and horizon."""

    name: str
    observation: Channels
    action: Channels
    """Always in [-1, 1]; ``unit`` is that of `scale`, the command for 1."""
    goal: Channels
    """``low`` and ``high`` are the box of goals, ``scale`` the typical distance."""
    horizon: int
    """Longest learned ``steps_left`` [steps]; 0 makes the TDM a one-step model."""
    episode_steps: int
    """Length of an episode [steps]."""
    rate_hz: float = 20.0
    """Control rate [Hz]."""
    score: tuple[tuple[float, tuple[int, ...]], ...] = ()
    """Score of an episode: sum of ``weight * Euclidean norm over these goal dimensions``. Default: the distance over
    all dimensions. Learning uses all dimensions in any case."""
    success: float = 0.02
    """Score below which an episode counts as a success [goal unit]."""
    frame: str = "base"
    """Name of the frame of all positions, at the base of the arm."""
    angles: tuple[int, ...] = ()
    """Dimensions of the observation that are angles [rad]; the one-step model receives their sine and cosine."""

    def __post_init__(self) -> None:
        if self.goal.wrap is None and "rad" in re.split(r"[,\s]+", self.goal.unit):
            raise ValueError(
                f"the goal of task {self.name} has an angle (unit {self.goal.unit!r}) and no wrap flag: "
                "give Channels.wrap, one bool for each dimension"
            )
        for weight, dimensions in self.score:
            if weight <= 0 or not dimensions or not set(dimensions) <= set(range(self.goal.size)):
                raise ValueError(
                    "TaskSpec.score must be pairs of a positive weight and dimensions of the goal, "
                    f"0 to {self.goal.size - 1}, got {self.score}"
                )
        if not set(self.angles) <= set(range(self.observation.size)):
            raise ValueError(f"TaskSpec.angles must be in [0, {self.observation.size - 1}], got {self.angles}")
        if self.horizon < 0:
            raise ValueError(f"TaskSpec.horizon must be >= 0 steps, got {self.horizon}")
        if self.episode_steps < 1:
            raise ValueError(f"TaskSpec.episode_steps must be >= 1, got {self.episode_steps}")
        if not 0 < self.rate_hz <= 1000:
            raise ValueError(f"TaskSpec.rate_hz must be in (0, 1000] Hz, got {self.rate_hz}")

    @cached_property
    def fingerprint(self) -> str:
        """Name and hash, which changes with the meaning of any stored number (not with the horizon)."""
        meaning = asdict(self)
        for key in ("horizon", "episode_steps", "score", "success", "frame", "angles"):
            del meaning[key]
        text = json.dumps(meaning, sort_keys=True)
        return f"{self.name}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def distance(self, achieved: ArrayLike, goal: ArrayLike) -> NDArray[np.float64]:
        """Score of achieved goals, over the last axis: (..., G), (..., G) -> (...) [goal unit]."""
        gap = self.goal.difference(np.asarray(goal, np.float64), np.asarray(achieved, np.float64))
        groups = self.score or ((1.0, tuple(range(self.goal.size))),)
        return sum(weight * np.linalg.norm(gap[..., list(dims)], axis=-1) for weight, dims in groups)

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Draw a goal uniformly from the goal box, (G,) float32 [goal unit]."""
        return rng.uniform(self.goal.low, self.goal.high).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint; inverse: `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskSpec:
        """Inverse of `to_json`. Raises ValueError if a field is missing, unknown or out of range."""
        try:
            channels = {key: Channels.from_json(data[key]) for key in ("observation", "action", "goal")}
            score = tuple((weight, tuple(dims)) for weight, dims in data.get("score", ()))
            return cls(**{**data, **channels, "score": score, "angles": tuple(data.get("angles", ()))})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a task description: {error}") from error
