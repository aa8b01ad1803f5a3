"""Small networks, several of them evaluated as one batched product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tdm_ros.tdm.actor import LAYER_NORM_EPS


class MlpStack(nn.Module):
    """``members`` independent two-hidden-layer networks with LayerNorm and ReLU.

    Parameters
    ----------
    members, inputs, hidden, outputs : int
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, members: int, inputs: int, hidden: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [(inputs, hidden), (hidden, hidden), (hidden, outputs)]
        bounds = [inputs**-0.5, hidden**-0.5, 0.01 * hidden**-0.5]
        self.weights = nn.ParameterList(
            (2 * torch.rand(members, *size, generator=generator) - 1) * bound
            for size, bound in zip(sizes, bounds, strict=True)
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, size[1]) for size in sizes)
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate all members: (B, inputs) or (members, B, inputs) -> (members, B, outputs)."""
        if x.dim() == 2:
            x = x.expand(len(self.weights[0]), *x.shape)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.baddbmm(bias, x, weight)
            x = torch.layer_norm(x, (self.hidden,), eps=LAYER_NORM_EPS).relu_()
        return torch.baddbmm(self.biases[-1], x, self.weights[-1])

    def first(self, x: Tensor) -> Tensor:
        """Evaluate the first member alone: (B, inputs) -> (B, outputs)."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.addmm(bias[0], x, weight[0])
            x = torch.layer_norm(x, (self.hidden,), eps=LAYER_NORM_EPS).relu_()
        return torch.addmm(self.biases[-1][0], x, self.weights[-1][0])
