"""Learned policy in numpy, for the 20 Hz loop. Importing it does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from tdm_ros.tdm.features import Features
from tdm_ros.tdm.networks import Layers, forward, linearise, read_layers
from tdm_ros.tdm.one_step import ClosedForm, split_motion

Array = NDArray[np.float32]

LOG_STD = (-5.0, 1.0)
"""Range of the log standard deviation of a stochastic actor, before the tanh."""
HORIZON_TOLERANCE = 0.1
"""The shortest horizon is selected whose predicted distance exceeds the smallest one by at most this fraction of the
improvement over a single step."""
HorizonSchedule = Literal["segments", "fine_segments", "hold", "cycle"]
"""How ``steps_left`` is set while acting; see `TdmConfig.horizon_schedule`."""
LAST_SEGMENT_PARTS: dict[str, int] = {"segments": 1, "fine_segments": 3}
"""Number of parts into which the last segment of an episode is divided, by horizon schedule."""
LARGEST_BYTES = 64_000_000
"""Upper bound of the size of a policy; typical is 1 MB."""


def horizon_schedule_tensor(schedule: HorizonSchedule) -> dict[str, NDArray[Any]]:
    """The tensor that sets the horizon schedule of a `NumpyActor`."""
    return {"actor.horizon_schedule": np.frombuffer(schedule.encode(), np.uint8).copy()}


def _as_float32(array: NDArray[Any]) -> NDArray[Any]:
    """Convert floating-point numbers of any precision to float32."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


class NumpyActor:
    """A goal- and horizon-conditioned policy.

    ``tensors``: ``actor.*`` (weights and horizon schedule), ``features.*`` (normaliser), for schedules that select the
    horizon ``critic.*``, and with a one-step model ``one_step.*``, as `TdmAgent.actor_tensors` returns them. Raises
    ValueError if one is missing, not finite, or of a size that does not fit the others.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self.features = Features.from_tensors(tensors)
        for name in ("actor.horizon_schedule", "actor.layer_norm", "actor.stochastic", "critic.residual"):
            if name not in tensors:
                raise ValueError(f"the weights lack {name}; they were written by another version")
        self.rng: np.random.Generator | None = None
        """Source of the samples of a stochastic policy; None: it acts by its mean."""
        self.horizon_schedule = bytes(tensors["actor.horizon_schedule"]).decode()
        if self.horizon_schedule not in (known := get_args(HorizonSchedule)):
            raise ValueError(f"actor.horizon_schedule must be one of {', '.join(known)}, got {self.horizon_schedule!r}")
        self.layer_norm = bool(tensors["actor.layer_norm"][0])
        self.residual = bool(tensors["critic.residual"][0])
        self.stochastic = bool(tensors["actor.stochastic"][0])
        goals = len(self.features.goal_scale)
        self.one_step: Layers | None = None
        inputs, actions = self.features.size, None
        if "one_step.weight0" in tensors:
            self.one_step = read_layers(tensors, "one_step", self.features.one_step_size)
            actions = self.one_step[-1][1].shape[-1] // goals - 1
            inputs += actions
        self.layers = read_layers(tensors, "actor", inputs)
        self._actions = self.layers[-1][1].shape[-1] // (2 if self.stochastic else 1)
        if actions not in (None, self._actions) or not self._actions:
            raise ValueError(f"the one-step model has {actions} actions, the actor {self._actions}")
        self.critic: Layers | None = None
        if self.horizon_schedule in LAST_SEGMENT_PARTS:
            self.critic = read_layers(tensors, "critic", inputs + self._actions)
            outputs = self.critic[-1][1].shape[-1]
            if outputs != goals:
                raise ValueError(f"a critic must have {goals} outputs, one per goal dimension, got {outputs}")

    @classmethod
    def from_bytes(cls, data: bytes) -> NumpyActor:
        """Read the bytes of a safetensors file.

        Raises ValueError if they are not a safetensors file, or do not contain an actor.
        """
        if len(data) > LARGEST_BYTES:
            raise ValueError(f"weights of {len(data)} bytes, expected at most {LARGEST_BYTES}")
        try:
            tensors = {name: _as_float32(array) for name, array in load(data).items()}
            actor = cls(tensors)
            actor.check_outputs()
        except ValueError:
            raise
        except Exception as error:  # arbitrary bytes: an unknown dtype, an empty tensor, a wrong size
            raise ValueError(f"not the safetensors file of an actor: {type(error).__name__}: {error}") from error
        return actor

    def check_outputs(self) -> None:
        """Compute an action for the shortest, the longest and the selected horizon, so that errors occur at loading.

        Raises ValueError if an action has the wrong size, or is not finite.
        """
        observations, goals, actions = self.sizes
        seen, goal = np.broadcast_to(self.features.mean, (observations,)), np.zeros(goals, np.float32)
        acted = [self.act(seen, goal, goal, left) for left in (0, self.features.horizon)]
        if self.critic is not None:
            acted.append(self.select_horizon(seen, goal, goal, self.features.horizon)[0])
        if any(action.shape != (actions,) or not np.isfinite(action).all() for action in acted):
            raise ValueError(f"an actor must give {actions} finite numbers, got {[a.tolist() for a in acted]}")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sizes of observation, goal and action: (O, G, A)."""
        return len(self.features.mean), len(self.features.goal_scale), self._actions

    def steps_left(self, time: int, remaining: int) -> int:
        """Horizon by the schedule [steps], ``time`` steps after the start, ``remaining`` steps after the next state."""
        longest = self.features.horizon + 1
        if self.horizon_schedule == "cycle":
            return longest - 1 - time % longest
        if self.horizon_schedule == "hold":
            return max(longest - 1 - time, 0)
        whole = time + max(remaining, 0) + 1
        parts = -(-whole // longest)
        last = whole * (parts - 1) // parts
        last_parts = LAST_SEGMENT_PARTS[self.horizon_schedule]
        ends = [whole * part // parts for part in range(1, parts)]
        ends += [last + (whole - last) * part // last_parts for part in range(1, last_parts + 1)]
        return next(end for end in ends if end > time) - time - 1

    def act(self, observation: Array, achieved: Array, goal: Array, steps_left: int) -> Array:
        """Compute the action of one state: as `act_batch`, without the batch dimension."""
        return self.act_batch(observation[None], achieved[None], goal[None], np.array([steps_left]))[0]

    def act_batch(
        self, observation: Array, achieved: Array, goal: Array, steps_left: NDArray[Any], sampled: bool = True
    ) -> Array:
        """Compute actions, (B, A) float32 in [-1, 1].

        ``observation`` (B, O), ``achieved`` and ``goal`` (B, G) [goal unit] are float32. ``steps_left`` (B,) is the
        number of further steps after the next state [steps]; one that is larger than the longest horizon is divided
        into several horizons, of which the last one ends in time. ``sampled``: whether a stochastic policy with an
        `rng` samples.
        """
        left = np.maximum(steps_left, 0) % (self.features.horizon + 1)
        return self._act(self._given(observation, achieved, goal, left.astype(np.float32)), sampled)

    def select_horizon(
        self, observation: Array, achieved: Array, goal: Array, longest: int
    ) -> tuple[Array, int, Array]:
        """Select the shortest of the horizons 0 .. ``longest`` whose predicted distance is about the smallest.

        Returns the action (A,) of the selected horizon, that horizon [steps], and the predicted distance of each
        horizon, (longest + 1,) [1, multiples of the goal scale].
        """
        horizons = np.arange(longest + 1, dtype=np.float32)
        count = len(horizons)
        given = self._given(
            np.broadcast_to(observation, (count, len(observation))),
            np.broadcast_to(achieved, (count, len(achieved))),
            np.broadcast_to(goal, (count, len(goal))),
            horizons,
        )
        actions = self._act(given)
        gap = self._end(given, actions) - self.features.gap(self._origin(achieved), goal)
        distances = np.linalg.norm(gap, axis=-1).max(axis=0)
        best = distances.min()
        selected = int(np.argmax(distances <= best + HORIZON_TOLERANCE * (distances[0] - best)))
        return actions[selected], selected, distances

    def predict(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> Array:
        """Point that the policy reaches after ``steps_left + 1`` more steps, as predicted by each of M critics.

        ``observation`` (B, O), ``achieved`` and ``goal`` (B, G) [goal unit], and ``steps_left`` (B,) within 0 ..
        horizon [steps] are float32, as is the result, (M, B, G) [goal unit].
        """
        given = self._given(observation, achieved, goal, steps_left)
        end = self._end(given, self._act(given, sampled=False))
        return self._origin(achieved) + end * self.features.goal_scale

    def linearise(
        self, observation: Array, achieved: Array, goal: Array, steps_left: Array
    ) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """As `predict`, with its vector-Jacobian product; the observation is held constant.

        The product converts the gradient with respect to the points, (M, B, G), to those with respect to achieved and
        goal, (B, G) each.
        """
        assert self.critic is not None, "only policies that select the horizon have critics"
        features, size, scale = self.features, self.features.size, self.features.goal_scale
        given = self._given(observation, achieved, goal, steps_left)
        heads, vjp_actor = linearise(self.layers, given.x, self.layer_norm)
        action = self._squash(heads[0], given)
        out, vjp_critic = linearise(self.critic, np.concatenate([given.x, action], axis=-1), self.layer_norm)
        unit = self._unit(steps_left) * scale
        final = given.final[:, None]
        point = self._origin(achieved) + np.where(final, self._one_step_end(given) * scale, out * unit)

        def vjp(slope: Array) -> tuple[Array, Array]:
            both = vjp_critic(np.where(final, 0, slope * unit))
            head = np.zeros_like(heads)
            head[0, :, : self._actions] = both[:, given.x.shape[1] :] * (1 - action * action)
            by_inputs = both[:, : given.x.shape[1]] + vjp_actor(head)
            here, there = features.vjp(by_inputs[:, :size], achieved, goal)
            if given.one_step is not None:
                by_base = by_inputs[:, size:] + head[0, :, : self._actions] / (1 - given.one_step.base_action**2)
                by_gap = np.where(
                    final,
                    given.one_step.motion_vjp(slope * scale * np.float32(features.motion_scale)),
                    given.one_step.base_action_vjp(by_base),
                )
                by_gap /= np.float32(features.motion_scale) * scale
                here, there = np.where(final, 0, here) - by_gap, np.where(final, 0, there) + by_gap
            return (here + slope.sum(axis=0) if self.residual else here), there

        return point, vjp

    def _given(self, observation: Array, achieved: Array, goal: Array, steps_left: Array) -> _Given:
        """Inputs of the networks for a batch: (B, O), (B, G), (B, G), (B,)."""
        features = self.features
        x = features.inputs(observation, achieved, goal, steps_left)
        if self.one_step is None:
            return _Given(x, steps_left, np.zeros(len(x), np.bool_), None)
        out = forward(self.one_step, features.one_step_inputs(observation), layer_norm=False)
        jacobian, drift = split_motion(out, len(features.goal_scale))
        one_step = ClosedForm(jacobian, drift, features.gap(achieved, goal) / np.float32(features.motion_scale))
        return _Given(np.concatenate([x, one_step.base_action], axis=-1), steps_left, steps_left == 0, one_step)

    def _act(self, given: _Given, sampled: bool = True) -> Array:
        """Actions, (B, A); of a stochastic policy samples, unless it has no `rng`."""
        out = forward(self.layers, given.x, self.layer_norm)[0]
        if self.stochastic and sampled and self.rng is not None:
            spread = np.tanh(out[:, self._actions :])
            std = np.exp(LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (spread + 1))
            out[:, : self._actions] += std * self.rng.standard_normal(std.shape).astype(np.float32)
        action = self._squash(out, given)
        return action if given.one_step is None else np.where(given.final[:, None], given.one_step.action, action)

    def _squash(self, out: Array, given: _Given) -> Array:
        """Actions of the actor, (B, A), from its output; with a one-step model a correction of the closed form."""
        raw = out[:, : self._actions]
        if given.one_step is not None:
            raw = raw + np.arctanh(given.one_step.base_action)
        return np.tanh(raw)

    def _end(self, given: _Given, actions: Array) -> Array:
        """Predicted end of a batch relative to `_origin`, (M, B, G) [multiples of the goal scale]."""
        assert self.critic is not None, "only policies that select the horizon have critics"
        out = forward(self.critic, np.concatenate([given.x, actions], axis=-1), self.layer_norm)
        out = out * self._unit(given.steps_left)
        return np.where(given.final[:, None], self._one_step_end(given), out) if given.final.any() else out

    def _one_step_end(self, given: _Given) -> Array:
        """The same after one step with the closed-form action, by the first M members of the one-step model."""
        assert self.critic is not None, "only policies that select the horizon have critics"
        if given.one_step is None:
            return np.zeros(1, np.float32)
        motion = given.one_step.motion()[: len(self.critic[0][0])]
        return motion * np.float32(self.features.motion_scale)

    def _origin(self, achieved: Array) -> Array:
        """Origin of predicted displacements: the present point, or the centre of the goal box [goal unit]."""
        return achieved if self.residual else self.features.goal_centre

    def _unit(self, steps_left: Array) -> Array:
        """Unit of the critics' output, (B, 1) [multiples of the goal scale]."""
        unit = self.features.reachable_distance(steps_left) if self.residual else np.ones_like(steps_left)
        return unit[:, None]


class _Given(NamedTuple):
    """Inputs of the networks for a batch."""

    x: Array
    """(B, inputs)"""
    steps_left: Array
    """(B,) [steps]"""
    final: NDArray[np.bool_]
    """(B,) whether the one-step model decides."""
    one_step: ClosedForm | None


class HorizonSelector:
    """Pursues goals without a deadline, with a policy that selects its horizon.

    A free selection at every step can postpone the goal forever. Therefore a selected horizon counts down, or is
    replaced by a shorter one, before the next free selection.
    """

    def __init__(self) -> None:
        self._goal: Array | None = None
        self._longest = 0

    def act(self, actor: NumpyActor, observation: Array, achieved: Array, goal: Array) -> Array:
        """Compute an action, (A,) in [-1, 1], as `NumpyActor.act`; a different goal resets the selection."""
        horizon = actor.features.horizon
        if self._goal is None or not np.array_equal(self._goal, goal):
            self._goal, self._longest = goal.copy(), horizon
        action, selected, _ = actor.select_horizon(observation, achieved, goal, min(self._longest, horizon))
        self._longest = selected - 1 if selected > 0 else horizon
        return action
