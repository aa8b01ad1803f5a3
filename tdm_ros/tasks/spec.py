"""The description of a task: every number that crosses an interface, with its name, unit, scale and bounds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Channels:
    """Names, units, scales and bounds of one vector.

    Parameters
    ----------
    names : tuple of str, length D
    unit : str
        One unit for all, or a comma separated list.
    low, high : tuple of float, length D
        Bounds [unit]; infinite where there are none. For goals: the box that goals are drawn from.
    scale : tuple of float, length D
        A typical distance [unit]; what "one" means to the networks.

    Raises
    ------
    ValueError
        If the lengths differ, a scale is not positive, or a lower bound is above the upper one.
    """

    names: tuple[str, ...]
    unit: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = {"low": len(self.low), "high": len(self.high), "scale": len(self.scale)}
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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Channels:
        """Rebuild from plain data, in which tuples have become lists."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    def checked(self, values: ArrayLike, what: str) -> Array:
        """Return ``values`` as a fresh (D,) float32 array.

        Raises
        ------
        ValueError
            If the shape is another or a value is not finite; the message names ``what``.
        """
        array = np.array(values, np.float32)
        if array.shape != (self.size,):
            raise ValueError(f"{what} must have shape ({self.size},) for {', '.join(self.names)}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{what} must be finite, got {array.tolist()}")
        return array


@dataclass(frozen=True)
class TaskSpec:
    """A goal-conditioned task: its observation, action and goal vectors, its rate and its horizon.

    Parameters
    ----------
    name : str
    observation : Channels, size O
    action : Channels, size A
        Always in [-1, 1]; ``unit`` says what one means on the robot.
    goal : Channels, size G
        ``low`` and ``high`` are the box of goals, ``scale`` the distance that counts as one.
    horizon : int
        Longest ``steps_left`` that is learned [steps]; 0 makes the TDM a one-step model.
    episode_steps : int
        Length of an episode [steps].
    rate_hz : float
        Control rate [Hz].
    """

    name: str
    observation: Channels
    action: Channels
    goal: Channels
    horizon: int
    episode_steps: int
    rate_hz: float

    def __post_init__(self) -> None:
        if self.horizon < 0:
            raise ValueError(f"TaskSpec.horizon must be >= 0 steps, got {self.horizon}")
        if self.episode_steps < 1:
            raise ValueError(f"TaskSpec.episode_steps must be >= 1, got {self.episode_steps}")
        if not 0 < self.rate_hz <= 1000:
            raise ValueError(f"TaskSpec.rate_hz must be in (0, 1000] Hz, got {self.rate_hz}")

    @property
    def fingerprint(self) -> str:
        """Sixteen characters that change whenever the meaning of a stored number changes (not with the horizon)."""
        meaning = asdict(self)
        for key in ("horizon", "episode_steps"):
            del meaning[key]
        text = json.dumps(meaning, sort_keys=True)
        return f"{self.name}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def distance(self, achieved: ArrayLike, goal: ArrayLike) -> NDArray[np.float64]:
        """Euclidean distance in goal space, over the last axis: (..., G), (..., G) -> (...) [goal unit]."""
        gap = np.asarray(achieved, np.float64) - np.asarray(goal, np.float64)
        return np.linalg.norm(gap, axis=-1)

    def sample_goal(self, rng: np.random.Generator) -> Array:
        """Draw a goal uniformly from the goal box, (G,) float32 [goal unit]."""
        return rng.uniform(self.goal.low, self.goal.high).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskSpec:
        """Rebuild a task from `to_json` data.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.
        """
        try:
            channels = {key: Channels.from_json(data[key]) for key in ("observation", "action", "goal")}
            return cls(**{**data, **channels})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a task description: {error}") from error
