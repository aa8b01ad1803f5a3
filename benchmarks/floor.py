"""The arithmetic floor of an update: the matrix products that it cannot do without, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Product(NamedTuple):
    """``times`` products of an (m, k) and a (k, n) matrix in each update."""

    m: int
    k: int
    n: int
    times: int


def products(inputs: int, actions: int, goals: int, hidden: int, batch: int) -> list[Product]:
    """Matrix products of one update with twin critics and one actor, two hidden layers each.

    Forwards: target actor, both target critics, both critics, actor, first critic. Backwards: weights and activations
    of both critics and the actor, and through the first critic down to its action.
    """
    shapes: dict[tuple[int, int, int], int] = {}

    def add(m: int, k: int, n: int, times: int) -> None:
        shapes[m, k, n] = shapes.get((m, k, n), 0) + times

    critic = [(inputs + actions, hidden), (hidden, hidden), (hidden, goals)]
    actor = [(inputs, hidden), (hidden, hidden), (hidden, actions)]
    for layers, forwards, backwards in ((critic, 5, 2), (actor, 2, 1)):
        for number, (fan_in, fan_out) in enumerate(layers):
            add(batch, fan_in, fan_out, forwards)
            add(fan_in, batch, fan_out, backwards)
            if number:
                add(batch, fan_out, fan_in, backwards)
    add(batch, goals, hidden, 1)
    add(batch, hidden, hidden, 1)
    add(batch, hidden, actions, 1)
    return [Product(*shape, times) for shape, times in shapes.items()]


def arithmetic(wanted: Sequence[Product], device: str) -> Callable[[], None]:
    """Make a function that does the products of one update, and nothing else."""
    generator = torch.Generator().manual_seed(0)

    def filled(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    ready = [(filled(p.m, p.k), filled(p.k, p.n), filled(p.m, p.n)) for p in wanted for _ in range(p.times)]

    def run() -> None:
        for a, b, out in ready:
            torch.mm(a, b, out=out)

    return run
