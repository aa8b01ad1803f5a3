"""Small networks as pure functions of one flat vector of numbers, several members as one batched product.

One flat vector a network keeps everything that is done to all parameters (gradient, Adam, soft updates, checkpoints)
one operation on one tensor, which is where eager PyTorch loses most of its time on networks of this size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from tdm_ros.tdm.mlp import LAYER_NORM_EPS


@dataclass(frozen=True)
class MlpStack:
    """``members`` independent networks with two hidden layers and ReLU.

    Parameters
    ----------
    members, inputs, hidden, outputs : int
    layer_norm : bool
        Whether the hidden layers are normalised before the ReLU (without learned scale and offset).
    """

    members: int
    inputs: int
    hidden: int
    outputs: int
    layer_norm: bool = True

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Weight and bias of the three layers, in the order in which the flat vector holds them."""
        sizes = [(self.inputs, self.hidden), (self.hidden, self.hidden), (self.hidden, self.outputs)]
        return [shape for i, o in sizes for shape in ((self.members, i, o), (self.members, 1, o))]

    def initial(self, generator: torch.Generator) -> Tensor:
        """Draw the flat vector: weights uniform within 1/sqrt(inputs), a hundredth of that last, biases zero."""
        bounds = [self.inputs**-0.5, 0.0, self.hidden**-0.5, 0.0, 0.01 * self.hidden**-0.5, 0.0]
        parts = [
            (2 * torch.rand(prod(shape), generator=generator) - 1) * bound if bound else torch.zeros(prod(shape))
            for shape, bound in zip(self.shapes, bounds, strict=True)
        ]
        return torch.cat(parts)

    def layers(self, flat: Tensor) -> list[Tensor]:
        """Views of the flat vector, one of each of `shapes`."""
        parts = flat.split([prod(shape) for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def __call__(self, flat: Tensor, x: Tensor) -> Tensor:
        """Evaluate all members: (B, inputs) -> (members, B, outputs)."""
        return self._evaluate(self.layers(flat), x.expand(self.members, *x.shape))

    def first(self, flat: Tensor, x: Tensor) -> Tensor:
        """Evaluate the first member alone: (B, inputs) -> (B, outputs)."""
        return self._evaluate([part[:1] for part in self.layers(flat)], x[None])[0]

    def _evaluate(self, layers: list[Tensor], x: Tensor) -> Tensor:
        for weight, bias in zip(layers[:4:2], layers[1:4:2], strict=True):
            x = torch.baddbmm(bias, x, weight)
            if self.layer_norm:
                x = torch.layer_norm(x, (self.hidden,), eps=LAYER_NORM_EPS)
            x = x.relu()
        return torch.baddbmm(layers[5], x, layers[4])
