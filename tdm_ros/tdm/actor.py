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
"""Rows that are evaluated at a time: what lies between two layers then stays in the processor's cache."""


def read_layers(tensors: dict[str, NDArray[Any]], network: str, inputs: int) -> Layers:
    """The three layers ``network.weight0`` and so on, for ``inputs`` inputs.

    Raises
    ------
    ValueError
        If one is missing, not finite, or of a size that does not fit the others.
    """
    layers: Layers = []
    for layer in range(3):
        weight, bias = (_finite(tensors, f"{network}.{kind}{layer}") for kind in ("weight", "bias"))
        fan_in = inputs if layer == 0 else layers[-1][0].shape[-1]
        if weight.ndim != 3 or weight.shape[1] != fan_in or bias.shape != (len(weight), 1, weight.shape[-1]):
            raise ValueError(f"{network} layer {layer} must take {fan_in} inputs, got weight {weight.shape}")
        layers.append((weight, bias))
    return layers


def evaluate(layers: Layers, x: Array, layer_norm: bool) -> Array:
    """Networks (M members) on rows: (B, inputs) -> (M, B, outputs)."""
    if len(x) > BLOCK:
        return np.concatenate([evaluate(layers, x[at : at + BLOCK], layer_norm) for at in range(0, len(x), BLOCK)], 1)
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
    """Evaluate, and keep what the gradient needs.

    Parameters
    ----------
    layers : list
    x : (B, inputs)
    layer_norm : bool

    Returns
    -------
    out : (M, B, outputs)
        As `evaluate`.
    pull : callable
        Takes the gradient of a number with respect to ``out``, (M, B, outputs), gives that with respect to ``x``,
        (B, inputs), summed over the members.
    """
    kept: list[tuple[Array, Array | None]] = []
    for weight, bias in layers[:-1]:
        x = x @ weight + bias
        width: Array | None = None
        if layer_norm:
            x = x - _mean(x)
            width = np.sqrt(_mean(x * x) + np.float32(LAYER_NORM_EPS))
            x = x / width
        kept.append((x, width))
        x = np.maximum(x, 0)
    last, bias = layers[-1]

    def pull(slope: Array) -> Array:
        slope = slope @ last.swapaxes(1, 2)
        for (weight, _), (normal, width) in zip(reversed(layers[:-1]), reversed(kept), strict=True):
            slope = slope * (normal > 0)
            if width is not None:
                slope = (slope - _mean(slope) - normal * _mean(slope * normal)) / width
            slope = slope @ weight.swapaxes(1, 2)
        return slope.sum(axis=0)

    return x @ last + bias, pull


def _mean(x: Array) -> Any:
    """Over the last axis, which is kept; on small arrays NumPy's own takes twice as long."""
    return np.add.reduce(x, axis=-1, keepdims=True) * np.float32(1 / x.shape[-1])


def _finite(tensors: dict[str, NDArray[Any]], name: str) -> Array:
    if name not in tensors:
        raise ValueError(f"the weights lack {name}; they were written by another version")
    if not np.isfinite(tensors[name]).all():
        raise ValueError(f"{name} is not finite; the learner that wrote it has diverged")
    return tensors[name]


LOG_STD = (-5.0, 1.0)
"""Range of the log standard deviation of a stochastic actor, before the tanh."""
MARGIN = 0.1
"""The shortest horizon is chosen that promises all but this part of what the best one gains over a single step."""


Running = Literal["align", "fine", "hold", "cycle"]
"""How the horizon goes while acting; `TdmConfig.running` says it in words."""
PARTS: dict[str, int] = {"align": 1, "fine": 3}
"""Into how many the last part of an episode is gone again, by the name of the way to run."""


def running_tensor(running: Running) -> dict[str, NDArray[Any]]:
    """What tells a `NumpyActor` how to run: as `Running`."""
    return {"actor.running": np.frombuffer(running.encode(), np.uint8).copy()}


LARGEST_BYTES = 64_000_000
"""Weights of a hand's policy are some 1 MB; more than this is none."""


def _single(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers with a fraction as float32, which everything here computes in."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


class NumpyActor:
    """A goal- and horizon-conditioned policy.

    Parameters
    ----------
    tensors : dict of str to array
        ``actor.*`` (weights and how to run them), ``features.*`` (normaliser), for the choice of the horizon
        ``critic.*``, as `TdmAgent.actor_tensors` gives them.

    Raises
    ------
    ValueError
        If a tensor is missing, not finite, or of a size that does not fit the others.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self.features = Features.from_tensors(tensors)
        for name in ("actor.running", "actor.layer_norm", "actor.stochastic", "critic.residual"):
            if name not in tensors:
                raise ValueError(f"the weights lack {name}; they were written by another version")
        self.rng: np.random.Generator | None = None
        """With one, a stochastic policy samples its actions."""
        self.running = bytes(tensors["actor.running"]).decode()
        if self.running not in get_args(Running):
            raise ValueError(f"actor.running must be one of {', '.join(get_args(Running))}, got {self.running!r}")
        self.layer_norm = bool(tensors["actor.layer_norm"][0])
        self.residual = bool(tensors["critic.residual"][0])
        self.layers = read_layers(tensors, "actor", self.features.size)
        self.stochastic = bool(tensors["actor.stochastic"][0])
        per_action = 2 if self.stochastic else 1
        self._actions = self.layers[-1][1].shape[-1] // per_action
        self.critic: Layers | None = None
        if self.running in PARTS:
            self.critic = read_layers(tensors, "critic", self.features.size + self._actions)
            goals, outputs = len(self.features.goal_scale), self.critic[-1][1].shape[-1]
            if outputs != goals:
                raise ValueError(
                    f"a critic that chooses must have {goals} outputs, one a goal dimension, got {outputs}"
                )

    @classmethod
    def from_bytes(cls, data: bytes) -> NumpyActor:
        """Read a safetensors blob.

        Raises
        ------
        ValueError
            If it is not one, or does not hold an actor.
        """
        if len(data) > LARGEST_BYTES:
            raise ValueError(f"weights of {len(data)} bytes, expected at most {LARGEST_BYTES}")
        try:
            tensors = {name: _single(array) for name, array in load(data).items()}
            actor = cls(tensors)
            actor.rehearse()
        except ValueError:
            raise
        except Exception as error:  # foreign bytes: an unknown type of number, an empty tensor, a size that lies
            raise ValueError(f"not a safetensors blob of an actor: {type(error).__name__}: {error}") from error
        return actor

    def rehearse(self) -> None:
        """Act once in every way, so that tensors which do not fit together show now, not while the arm moves.

        Raises
        ------
        ValueError
            If an action has another size, or is not finite.
        """
        observations, goals, actions = self.sizes
        seen, goal = np.broadcast_to(self.features.mean, (observations,)), np.zeros(goals, np.float32)
        acted = [self.act(seen, goal, goal, left) for left in (0, self.features.horizon)]
        if self.critic is not None:
            acted.append(self.options(seen, goal, goal, self.features.horizon)[0])
        if any(action.shape != (actions,) or not np.isfinite(action).all() for action in acted):
            raise ValueError(f"an actor must give {actions} finite numbers, got {[a.tolist() for a in acted]}")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sizes of observation, goal and action: (O, G, A)."""
        return len(self.features.mean), len(self.features.goal_scale), self._actions

    def steps_left(self, time: int, remaining: int) -> int:
        """The horizon to act with [steps], ``time`` steps after the start, with ``remaining`` after the next state."""
        longest = self.features.horizon + 1
        if self.running == "cycle":
            return longest - 1 - time % longest
        if self.running == "hold":
            return max(longest - 1 - time, 0)
        whole = time + max(remaining, 0) + 1
        parts = -(-whole // longest)
        last = whole * (parts - 1) // parts
        again = PARTS[self.running]
        ends = [whole * part // parts for part in range(1, parts)]
        ends += [last + (whole - last) * part // again for part in range(1, again + 1)]
        return next(end for end in ends if end > time) - time - 1

    def act(self, observation: Array, achieved: Array, goal: Array, steps_left: int) -> Array:
        """Choose an action.

        Parameters
        ----------
        observation : (O,) float32
        achieved, goal : (G,) float32 [goal unit]
        steps_left : int
            Further steps after the next state [steps]. More than the longest horizon are gone in several of them, of
            which the last one runs out in time.

        Returns
        -------
        (A,) float32 in [-1, 1]
        """
        left = max(steps_left, 0) % (self.features.horizon + 1)
        x = self.features.inputs(observation, achieved, goal, np.asarray(left, np.float32))
        return self._act(x[None])[0]

    def options(self, observation: Array, achieved: Array, goal: Array, most: int) -> tuple[Array, int, Array]:
        """Weigh the horizons 0 .. ``most`` by what the critics promise.

        Returns
        -------
        tuple
            Action (A,) of the chosen horizon, that horizon [steps], and the promised distances [parts of goal scale].
        """
        assert self.critic is not None, "only a policy that chooses has critics"
        horizons = np.arange(most + 1, dtype=np.float32)
        count = len(horizons)
        x = self.features.inputs(
            np.broadcast_to(observation, (count, len(observation))),
            np.broadcast_to(achieved, (count, len(achieved))),
            np.broadcast_to(goal, (count, len(goal))),
            horizons,
        )
        actions = self._act(x)
        out = evaluate(self.critic, np.concatenate([x, actions], axis=-1), self.layer_norm)
        if self.residual:
            gap = out * self.features.reach(horizons)[:, None] - self.features.gap(achieved, goal)
        else:
            gap = out - self.features.place(goal)
        promised = np.linalg.norm(gap, axis=-1).max(axis=0)
        best = promised.min()
        chosen = int(np.argmax(promised <= best + MARGIN * (promised[0] - best)))
        return actions[chosen], chosen, promised

    def _act(self, x: Array) -> Array:
        out = evaluate(self.layers, x, self.layer_norm)[0]
        if self.stochastic and self.rng is not None:
            mean, spread = out[:, : self._actions], np.tanh(out[:, self._actions :])
            std = np.exp(LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (spread + 1))
            return np.tanh(mean + std * self.rng.standard_normal(mean.shape)).astype(np.float32)
        return np.tanh(out[:, : self._actions])


class Pursuit:
    """Pursues goals that have no deadline with a policy that chooses its horizon.

    A fresh choice at every step may put off for ever what can be had within the horizon at any time. So a chosen
    horizon is a promise: it runs down, or is replaced by a shorter one, before the next is chosen freely.
    """

    def __init__(self) -> None:
        self._goal: Array | None = None
        self._most = 0

    def act(self, actor: NumpyActor, observation: Array, achieved: Array, goal: Array) -> Array:
        """Choose an action, (A,) in [-1, 1], as `NumpyActor.act`; another goal starts anew."""
        horizon = actor.features.horizon
        if self._goal is None or not np.array_equal(self._goal, goal):
            self._goal, self._most = goal.copy(), horizon
        action, chosen, _ = actor.options(observation, achieved, goal, min(self._most, horizon))
        self._most = chosen - 1 if chosen > 0 else horizon
        return action
