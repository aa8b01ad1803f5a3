"""Small networks in numpy: read from tensors, evaluate, and backpropagate to their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
