"""Actions in [-1, 1] for an environment with any finite box of actions: bounds, integers and locked axes."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.sim.checked_env import GoalEnv

EXECUTED = "executed_action"
"""Entry of ``info`` in which an environment reports the action that was executed, in the units of its action space."""
TOLERANCE = 1e-3
"""Part of the range by which a reported action may lie outside the box: rounding in the environment."""


def to_box(space: gym.spaces.Box, action: ArrayLike) -> NDArray[Any]:
    """Convert actions in [-1, 1] to the units of ``space``.

    Parameters
    ----------
    space : Box
        Finite bounds, shape (A,). A dtype of integers rounds; an axis with ``low == high`` keeps its value.
    action : (..., A)

    Returns
    -------
    (..., A) of the dtype of ``space``, within its bounds to the last bit.
    """
    if _is_unit(space):
        return np.clip(np.asarray(action, space.dtype), space.low, space.high)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    scaled = low + (np.clip(np.asarray(action, np.float64), -1.0, 1.0) + 1.0) / 2.0 * (high - low)
    if np.issubdtype(space.dtype, np.integer):
        scaled = np.rint(scaled)
    return np.clip(scaled.astype(space.dtype), space.low, space.high)


def from_box(space: gym.spaces.Box, action: ArrayLike) -> NDArray[np.float32]:
    """Convert actions in the units of ``space`` to [-1, 1]; an axis with ``low == high`` gives 0."""
    if _is_unit(space):
        return np.clip(np.asarray(action, np.float32), np.float32(-1.0), np.float32(1.0))
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    span = np.where(high > low, high - low, 1.0)
    unit = np.where(high > low, 2.0 * (np.asarray(action, np.float64) - low) / span - 1.0, 0.0)
    return np.clip(unit, -1.0, 1.0).astype(np.float32)


def _is_unit(space: gym.spaces.Box) -> bool:
    """Whether the box is [-1, 1] already, so that actions keep every bit."""
    return np.issubdtype(space.dtype, np.floating) and bool((space.low == -1).all() and (space.high == 1).all())


class UnitActions(gym.Wrapper[dict[str, NDArray[Any]], NDArray[np.float32], Any, Any]):
    """Brings the actions of an environment to [-1, 1], those that it reports as executed included.

    Where the box cannot follow an action exactly (integers, locked axes), ``info["executed_action"]`` says what was
    executed.

    Parameters
    ----------
    env : GoalEnv
        With a finite box of actions.
    name : str
        Its name in messages.
    """

    def __init__(self, env: GoalEnv, name: str) -> None:
        super().__init__(env)
        space = env.action_space
        assert isinstance(space, gym.spaces.Box), "check_goal_env comes first"
        self._box, self._name = space, name
        self._coarse = bool(np.issubdtype(space.dtype, np.integer) or (space.low == space.high).any())
        self.action_space = gym.spaces.Box(-1.0, 1.0, space.shape, np.float32)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], SupportsFloat, bool, bool, dict[str, Any]]:
        """Act.

        Raises
        ------
        ValueError
            If the environment reports an executed action that is not in its own action space.
        """
        sent = to_box(self._box, action)
        # A copy, because an environment may write into the array that it is given.
        seen, reward, terminated, truncated, info = self.env.step(sent.copy())
        if EXECUTED in info:
            info = info | {EXECUTED: from_box(self._box, self._reported(info[EXECUTED]))}
        elif self._coarse:
            info = info | {EXECUTED: from_box(self._box, sent)}
        return seen, reward, terminated, truncated, info

    def _reported(self, action: ArrayLike) -> NDArray[np.float64]:
        executed = np.array(action, np.float64)
        low, high = self._box.low.astype(np.float64), self._box.high.astype(np.float64)
        slack = TOLERANCE * (high - low) + 1e-6
        if executed.shape != low.shape or not ((executed >= low - slack) & (executed <= high + slack)).all():
            raise ValueError(
                f'{self._name} must report info["{EXECUTED}"] in the units of its action space, '
                f"{low.tolist()} to {high.tolist()}, got {executed.tolist()}"
            )
        return executed
