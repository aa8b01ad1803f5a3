"""Wrappers of environments: validation, noise, actions in [-1, 1]."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tdm_ros.tasks import TaskSpec

KEYS = ("observation", "achieved_goal", "desired_goal")

Seen = dict[str, NDArray[Any]]
GoalEnv = gym.Env[Seen, NDArray[np.float32]]
GoalWrapper = gym.Wrapper[Seen, NDArray[np.float32], Any, Any]
Stepped = tuple[Seen, SupportsFloat, bool, bool, dict[str, Any]]


class CheckedGoalEnv(GoalWrapper):
    """Returns copies of an environment's observations after checking that they are as declared, and finite.

    Copies, because an environment may return the same arrays at every step and write into them. Messages contain
    ``name``.
    """

    def __init__(self, env: GoalEnv, name: str) -> None:
        super().__init__(env)
        self._name, self._step = name, 0
        space: Any = env.observation_space
        self._shapes = {key: space[key].shape for key in KEYS}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """As `gymnasium.Env.reset`. Raises ValueError if the result is not as declared, or a value is not finite."""
        try:
            result = self.env.reset(seed=seed, options=options)
        except TypeError as error:
            if not _NO_KEYWORD.search(str(error)):
                raise
            raise ValueError(
                f"{self._name} must have a reset with seed and options, as Gymnasium has, got the error {error}: "
                "write def reset(self, *, seed=None, options=None)"
            ) from error
        pair = isinstance(result, (tuple, list))
        if not pair or len(result) != 2:
            got = f"{len(result)} values" if pair else f"a {type(result).__name__}"
            raise ValueError(
                f"{self._name} must return observation and info from reset, as Gymnasium does, got {got}: "
                "return observation, {}"
            )
        self._step = 0
        return self._checked(result[0]), result[1]

    def step(self, action: NDArray[np.float32]) -> Stepped:
        """As `gymnasium.Env.step`. Raises ValueError if the result is not as declared, or a value is not finite."""
        seen, reward, terminated, truncated, info = self.env.step(action)
        self._step += 1
        return self._checked(seen), reward, terminated, truncated, info

    def _checked(self, seen: Seen) -> Seen:
        missing = [key for key in KEYS if key not in seen] if isinstance(seen, Mapping) else list(KEYS)
        if missing:
            raise ValueError(
                f"{self._name} must return an observation with {', '.join(KEYS)}, got a {type(seen).__name__} without "
                f"{', '.join(missing)}: return what its observation_space declares"
            )
        copies = {key: np.array(seen[key]) for key in KEYS}
        for key, values in copies.items():
            if values.shape != self._shapes[key] or values.dtype.kind not in "biuf":
                raise ValueError(
                    f"{self._name} must return {key} as numbers of shape {self._shapes[key]}, got {values.dtype} of "
                    f"shape {values.shape}: return what its observation_space declares"
                )
            # The sum of finite numbers is finite, and cheap.
            if not math.isfinite(np.add.reduce(values)) and not np.isfinite(values).all():
                which = np.flatnonzero(~np.isfinite(values)).tolist()
                raise ValueError(
                    f"{self._name} must return finite numbers, got {values[which].tolist()} in {key} "
                    f"at {which}, step {self._step} of the episode: repair its simulation or its sensor there, or let "
                    "it terminate the episode one step earlier"
                )
        return {**seen, **copies}


_NO_KEYWORD = re.compile(r"reset\(\) got an unexpected keyword argument '(seed|options)'")


def _stepped(name: str, env: GoalEnv, action: NDArray[Any]) -> Stepped:
    """Step, and raise ValueError if there are not five values, as before Gymnasium."""
    try:
        seen, reward, terminated, truncated, info = env.step(action)
    except (TypeError, ValueError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        # A wrapper of Gymnasium unpacks the values before this function does.
        if "unpack" not in str(error) or not frame.f_globals.get("__name__", "").startswith(("gymnasium.", __name__)):
            raise
        raise ValueError(
            f"{name} must return five values from step, as Gymnasium does, got another number of them ({error}): "
            "return observation, reward, terminated, truncated, info"
        ) from error
    return seen, reward, terminated, truncated, info


def check_goal_env(name: str, env: GoalEnv) -> None:
    """Check that an environment is goal-conditioned with flat vectors and a finite box of actions.

    Raises ValueError if it is not; the message has ``name``, what was found and what was expected.
    """
    space, actions = env.observation_space, env.action_space
    if not isinstance(space, gym.spaces.Dict) or not set(KEYS) <= set(space.spaces):
        raise ValueError(
            f"{name} must have a dict observation with {', '.join(sorted(KEYS))}, got {space}: "
            "a TDM needs a goal-conditioned environment"
        )
    if any(len(space[key].shape or (0, 0)) != 1 for key in KEYS):
        raise ValueError(f"{name} must have flat vectors as observation and goals, got {space}")
    achieved, desired = _size(env, "achieved_goal"), _size(env, "desired_goal")
    if achieved != desired:
        raise ValueError(
            f"{name} must have an achieved_goal and a desired_goal of one size, got {achieved} and {desired}: "
            "the score is the distance between them"
        )
    if not isinstance(actions, gym.spaces.Box) or not np.isfinite([actions.low, actions.high]).all():
        raise ValueError(f"{name} must have a finite box of actions, got {actions}")
    if len(actions.shape) != 1:
        raise ValueError(f"{name} must have a flat vector of actions, got {actions}")


def check_sizes(name: str, env: GoalEnv, task: TaskSpec) -> None:
    """Check that a description fits its environment.

    Raises ValueError if a size differs; the message has both sizes and the field to change.
    """
    for field, channels, size in (
        ("observation", task.observation, _size(env, "observation")),
        ("goal", task.goal, _size(env, "desired_goal")),
        ("action", task.action, (env.action_space.shape or (0,))[0]),
    ):
        if channels.size != size:
            raise ValueError(
                f"{name} has {size} dimensions of {field}, but its TaskSpec {task.name!r} describes {channels.size} "
                f"({', '.join(channels.names)}): make TaskSpec.{field} and the spaces of the environment agree"
            )


def _size(env: GoalEnv, key: str) -> int:
    space: Any = env.observation_space
    return int(space[key].shape[0])


SURVEY_EPISODES = 4
_STREAM = 0x6E6F6973
"""Separates the noise of an episode from its start and its goal, which are drawn from the same seed."""


@dataclass(frozen=True)
class Noise:
    """Noise levels. Raises ValueError if one is negative or not finite."""

    action: float = 0.0
    """Standard deviation of the noise on each action, in action units: the whole range is 2."""
    observation: float = 0.0
    """Standard deviation of the noise on each number of the observation, in parts of that number's own standard
    deviation under random actions; on each number of the achieved goal, in parts of `Channels.scale` of the goal."""

    def __post_init__(self) -> None:
        for name, value in (("action", self.action), ("observation", self.observation)):
            if not 0 <= value < np.inf:
                raise ValueError(f"Noise.{name} must be >= 0 and finite, got {value}")

    def __bool__(self) -> bool:
        """Whether any level is positive."""
        return bool(self.action or self.observation)


class NoisyGoalEnv(GoalWrapper):
    """Adds Gaussian noise to actions and observations; desired goal, reward and ``info`` are exact.

    The learner receives the action that it chose, in [-1, 1], not the disturbed one. A number of the observation that
    *is* an achieved goal (the hand, say) gets the noise of that goal: one sensor, one reading.
    """

    def __init__(self, env: GoalEnv, task: TaskSpec, noise: Noise) -> None:
        super().__init__(env)
        self.noise = noise
        self._rng = np.random.default_rng()
        self._goal_std = noise.observation * np.asarray(task.goal.scale)
        self._std = np.zeros(task.observation.size)
        self._shared: list[tuple[int, int]] = []
        if noise.observation:
            self._survey()
        self.true_achieved = np.zeros(task.goal.size, np.float32)
        """Achieved goal without noise, (G,) [goal unit], for evaluation."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """Reset the environment; a seed also determines the noise of the episode."""
        seen, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed]))
        return self._sense(seen), info

    def step(self, action: NDArray[np.float32]) -> Stepped:
        wanted = np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        acted = wanted
        if self.noise.action:
            shake = self._rng.normal(0.0, self.noise.action, wanted.shape)
            acted = np.clip(wanted + shake, -1.0, 1.0).astype(np.float32)
        seen, reward, terminated, truncated, info = self.env.step(acted)
        if "executed_action" in info:
            undisturbed = np.asarray(info["executed_action"], np.float32) - (acted - wanted)
            info = info | {"executed_action": np.clip(undisturbed, -1.0, 1.0)}
        return self._sense(seen), reward, terminated, truncated, info

    def _sense(self, seen: Seen) -> Seen:
        observation, achieved = seen["observation"], seen["achieved_goal"]
        self.true_achieved = np.array(achieved, np.float32)
        if not self.noise.observation:
            return seen
        read = (achieved + self._rng.normal(0.0, self._goal_std)).astype(achieved.dtype)
        felt = (observation + self._rng.normal(0.0, self._std)).astype(observation.dtype)
        for goal, index in self._shared:
            felt[index] = read[goal]
        return seen | {"observation": felt, "achieved_goal": read}

    def _survey(self) -> None:
        """Measure the spread of each number under random actions, and which of them are achieved goals."""
        rng = np.random.default_rng(_STREAM)
        observations, goals = [], []
        for episode in range(SURVEY_EPISODES):
            seen, last = self.env.reset(seed=episode)[0], False
            while not last:
                observations.append(np.array(seen["observation"], np.float64))
                goals.append(np.array(seen["achieved_goal"], np.float64))
                action = rng.uniform(-1, 1, self.action_space.shape).astype(np.float32)
                seen, _, terminated, truncated, _ = self.env.step(action)
                last = bool(terminated or truncated)
        table, reached = np.array(observations), np.array(goals)
        self._std = self.noise.observation * table.std(axis=0)
        same = (table[:, None, :] == reached[:, :, None]).all(axis=0)
        self._shared = [(int(goal), int(index)) for goal, index in np.argwhere(same)]


EXECUTED = "executed_action"
"""Key of ``info`` for the action that was executed, in the units of the action space."""
TOLERANCE = 1e-3
"""Tolerance of a reported action outside the box, in parts of its range, for rounding in the environment."""


def to_box(space: gym.spaces.Box, action: ArrayLike) -> NDArray[Any]:
    """Convert actions in [-1, 1], (..., A), to those of a finite box: its dtype, and its bounds to the last bit.

    A dtype of integers rounds; an axis with ``low == high`` keeps its value.
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
    """Whether the box is [-1, 1] already, so that actions need no conversion."""
    return np.issubdtype(space.dtype, np.floating) and bool((space.low == -1).all() and (space.high == 1).all())


class UnitActions(GoalWrapper):
    """Converts the actions of an environment with a finite box to [-1, 1], including reported executed ones.

    Where the box cannot represent an action exactly (integers, locked axes), ``info["executed_action"]`` has what was
    executed.
    """

    def __init__(self, env: GoalEnv, name: str) -> None:
        super().__init__(env)
        space = env.action_space
        assert isinstance(space, gym.spaces.Box), "check_goal_env comes first"
        self._box, self._name = space, name
        self._coarse = bool(np.issubdtype(space.dtype, np.integer) or (space.low == space.high).any())
        self.action_space = gym.spaces.Box(-1.0, 1.0, space.shape, np.float32)

    def step(self, action: NDArray[np.float32]) -> Stepped:
        """Step. Raises ValueError if there are not five values, or the executed action is not in the action space."""
        sent = to_box(self._box, action)
        # A copy, because an environment may write into the array.
        seen, reward, terminated, truncated, info = _stepped(self._name, self.env, sent.copy())
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
