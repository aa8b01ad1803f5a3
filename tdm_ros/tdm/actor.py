"""The learned policy in numpy: what the 20 Hz loop runs. Importing it does not import torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from tdm_ros.tdm.features import Features

LAYER_NORM_EPS = 1e-5


class NumpyActor:
    """A deterministic goal- and horizon-conditioned policy.

    Parameters
    ----------
    tensors : dict of str to array
        ``actor.*`` (weights), ``features.*`` (normaliser), as `TdmAgent.actor_bytes` writes them.

    Raises
    ------
    ValueError
        If a tensor is missing, not finite, or of a size that does not fit the others.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self.features = Features.from_tensors(tensors)
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        for layer in range(3):
            weight, bias = _finite(tensors, f"actor.weight{layer}"), _finite(tensors, f"actor.bias{layer}")
            fan_in = self.features.size if layer == 0 else self._layers[-1][0].shape[1]
            if weight.ndim != 2 or weight.shape[0] != fan_in or bias.shape != (weight.shape[1],):
                raise ValueError(f"actor layer {layer} must take {fan_in} inputs, got weight {weight.shape}")
            self._layers.append((weight, bias))

    @classmethod
    def from_bytes(cls, data: bytes) -> NumpyActor:
        """Read a safetensors blob.

        Raises
        ------
        ValueError
            If it is not one, or does not hold an actor.
        """
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors blob of an actor: {error}") from error
        return cls(tensors)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sizes of observation, goal and action: (O, G, A)."""
        return len(self.features.mean), len(self.features.goal_scale), len(self._layers[-1][1])

    def act(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: int,
    ) -> NDArray[np.float32]:
        """Choose an action.

        Parameters
        ----------
        observation : (O,) float32
        achieved, goal : (G,) float32 [goal unit]
        steps_left : int
            Further steps after the next state [steps]; clipped to what was learned.

        Returns
        -------
        (A,) float32 in [-1, 1]
        """
        features = self.features
        horizon = np.float32(min(max(steps_left, 0), features.horizon))
        x = features.inputs(observation, features.gap(achieved, goal), np.asarray(horizon))
        for weight, bias in self._layers[:-1]:
            x = x @ weight + bias
            x = np.maximum((x - x.mean()) / np.sqrt(x.var() + LAYER_NORM_EPS), 0)
        weight, bias = self._layers[-1]
        return np.tanh(x @ weight + bias)


def _finite(tensors: dict[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    if name not in tensors:
        raise ValueError(f"the weights lack {name}; they were written by another version")
    if not np.isfinite(tensors[name]).all():
        raise ValueError(f"{name} is not finite; the learner that wrote it has diverged")
    return tensors[name]
