"""Networks in numpy, for the 20 Hz loop and for plans: evaluation, and gradients with respect to the inputs."""

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
"""Rows that are evaluated at a time, so that the hidden activations fit into the processor's cache."""


def read_layers(tensors: dict[str, NDArray[Any]], network: str, inputs: int) -> Layers:
    """Read the three layers of a network: ``network.weight0``, ``network.bias0`` and so on, for ``inputs`` inputs.

    Raises ValueError if a tensor is missing, not finite, or of a size that does not fit the others.
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
    """Evaluate M networks at ``x``, (B, inputs), as `forward`, and return their vector-Jacobian product.

    It converts the gradient of a scalar with respect to the outputs, (M, B, outputs), to the one with respect to ``x``,
    (B, inputs), summed over the members.
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
