"""Learned policy in numpy, for the 20 Hz loop. Importing it does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from tdm_ros.tdm.features import Features

Array = NDArray[np.float32]
Layers = list[tuple[Array, Array]]
"""Weight (M, inputs, outputs) and bias (M, 1, outputs) of each layer of M networks side by side."""
LAYER_NORM_EPS = 1e-5
BLOCK = 512
"""Rows that are evaluated at a time, so that the hidden activations fit into the processor's cache."""


def read_layers(tensors: dict[str, NDArray[Any]], network: str, inputs: int) -> Layers:
    """Read the three layers of a network: ``network.weight0``, ``network.bias0`` and so on, for ``inputs`` inputs.

    Raises
    ------
    ValueError
        If a tensor is missing, not finite, or of a size that does not fit the others.
    """
    layers: Layers = []
    for layer in range(3):
        weight, bias = (_finite(tensors, f"{network}.{kind}{layer}") for kind in ("weight", "bias"))
        fan_in = inputs if layer == 0 else layers[-1][0].shape[-1]
        if weight.ndim != 3 or weight.shape[1] != fan_in or bias.shape != (len(weight), 1, weight.shape[-1]):
            raise ValueError(f"{network} layer {layer} must take {fan_in} inputs, got weight {weight.shape}")
        layers.append((weight, bias))
    return layers


def forward(layers: Layers, x: Array, layer_norm: bool) -> Array:
    """Evaluate M networks side by side: (B, inputs) -> (M, B, outputs)."""
    if len(x) > BLOCK:
        return np.concatenate(
            [forward(layers, x[start : start + BLOCK], layer_norm) for start in range(0, len(x), BLOCK)], 1
        )
    for weight, bias in layers[:-1]:
        x = x @ weight
        x += bias
        if layer_norm:
            x -= _mean(x)
            x /= np.sqrt(_mean(x * x) + np.float32(LAYER_NORM_EPS))
        np.maximum(x, 0, out=x)
    weight, bias = layers[-1]
    return x @ weight + bias


def linearise(layers: Layers, x: Array, layer_norm: bool) -> tuple[Array, Callable[[Array], Array]]:
    """Evaluate M networks, and return their vector-Jacobian product with respect to the inputs.

    Parameters
    ----------
    layers : list
    x : (B, inputs)
    layer_norm : bool

    Returns
    -------
    out : (M, B, outputs)
        As `forward`.
    vjp : callable
        Gradient of a scalar with respect to ``out``, (M, B, outputs), to the one with respect to ``x``, (B, inputs),
        summed over the members.
    """
    hidden: list[tuple[Array, Array | None]] = []
    for weight, bias in layers[:-1]:
        x = x @ weight + bias
        std: Array | None = None
        if layer_norm:
            x = x - _mean(x)
            std = np.sqrt(_mean(x * x) + np.float32(LAYER_NORM_EPS))
            x = x / std
        hidden.append((x, std))
        x = np.maximum(x, 0)
    last, bias = layers[-1]

    def vjp(gradient: Array) -> Array:
        gradient = gradient @ last.swapaxes(1, 2)
        for (weight, _), (normalised, std) in zip(reversed(layers[:-1]), reversed(hidden), strict=True):
            gradient = gradient * (normalised > 0)
            if std is not None:
                gradient = (gradient - _mean(gradient) - normalised * _mean(gradient * normalised)) / std
            gradient = gradient @ weight.swapaxes(1, 2)
        return gradient.sum(axis=0)

    return x @ last + bias, vjp


def _mean(x: Array) -> Any:
    """Mean over the last axis, which is kept; faster than `numpy.mean` on small arrays."""
    return np.add.reduce(x, axis=-1, keepdims=True) * np.float32(1 / x.shape[-1])


def _finite(tensors: dict[str, NDArray[Any]], name: str) -> Array:
    if name not in tensors:
        raise ValueError(f"the weights lack {name}; they were written by another version")
    if not np.isfinite(tensors[name]).all():
        raise ValueError(f"{name} is not finite; the learner that wrote it has diverged")
    return tensors[name]


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

    Parameters
    ----------
    tensors : dict of str to array
        ``actor.*`` (weights and horizon schedule), ``features.*`` (normaliser) and, for schedules that select the
        horizon, ``critic.*``, as `TdmAgent.actor_tensors` returns them.

    Raises
    ------
    ValueError
        If a tensor is missing, not finite, or of a size that does not fit the others.
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
        self.layers = read_layers(tensors, "actor", self.features.size)
        self.stochastic = bool(tensors["actor.stochastic"][0])
        per_action = 2 if self.stochastic else 1
        self._actions = self.layers[-1][1].shape[-1] // per_action
        self.critic: Layers | None = None
        if self.horizon_schedule in LAST_SEGMENT_PARTS:
            self.critic = read_layers(tensors, "critic", self.features.size + self._actions)
            goals, outputs = len(self.features.goal_scale), self.critic[-1][1].shape[-1]
            if outputs != goals:
                raise ValueError(f"a critic must have {goals} outputs, one per goal dimension, got {outputs}")

    @classmethod
    def from_bytes(cls, data: bytes) -> NumpyActor:
        """Read the bytes of a safetensors file.

        Raises
        ------
        ValueError
            If they are not a safetensors file, or do not contain an actor.
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

        Raises
        ------
        ValueError
            If an action has the wrong size, or is not finite.
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
        """Compute an action.

        Parameters
        ----------
        observation : (O,) float32
        achieved, goal : (G,) float32 [goal unit]
        steps_left : int
            Further steps after the next state [steps]. A number larger than the longest horizon is divided into several
            horizons, of which the last one ends in time.

        Returns
        -------
        (A,) float32 in [-1, 1]
        """
        left = max(steps_left, 0) % (self.features.horizon + 1)
        x = self.features.inputs(observation, achieved, goal, np.asarray(left, np.float32))
        return self._act(x[None])[0]

    def select_horizon(
        self, observation: Array, achieved: Array, goal: Array, longest: int
    ) -> tuple[Array, int, Array]:
        """Select the shortest of the horizons 0 .. ``longest`` whose predicted distance is about the smallest.

        Returns
        -------
        tuple
            Action (A,) of the selected horizon, that horizon [steps], and the predicted distance of each horizon,
            (longest + 1,) [1, multiples of the goal scale].
        """
        assert self.critic is not None, "only policies that select the horizon have critics"
        horizons = np.arange(longest + 1, dtype=np.float32)
        count = len(horizons)
        x = self.features.inputs(
            np.broadcast_to(observation, (count, len(observation))),
            np.broadcast_to(achieved, (count, len(achieved))),
            np.broadcast_to(goal, (count, len(goal))),
            horizons,
        )
        actions = self._act(x)
        out = forward(self.critic, np.concatenate([x, actions], axis=-1), self.layer_norm)
        if self.residual:
            gap = out * self.features.reachable_distance(horizons)[:, None] - self.features.gap(achieved, goal)
        else:
            gap = out - self.features.place(goal)
        distances = np.linalg.norm(gap, axis=-1).max(axis=0)
        best = distances.min()
        selected = int(np.argmax(distances <= best + HORIZON_TOLERANCE * (distances[0] - best)))
        return actions[selected], selected, distances

    def _act(self, x: Array) -> Array:
        out = forward(self.layers, x, self.layer_norm)[0]
        if self.stochastic and self.rng is not None:
            mean, spread = out[:, : self._actions], np.tanh(out[:, self._actions :])
            std = np.exp(LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (spread + 1))
            return np.tanh(mean + std * self.rng.standard_normal(mean.shape)).astype(np.float32)
        return np.tanh(out[:, : self._actions])


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
