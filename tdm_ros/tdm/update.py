"""One gradient update as a pure function: networks, losses, and the update as a CUDA graph.

One flat vector a network keeps everything that is done to all parameters (gradient, Adam, soft updates, checkpoints)
one operation on one tensor, which is where eager PyTorch loses most of its time on networks of this size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tdm_ros.tdm.actor import LAYER_NORM_EPS, LOG_STD
from tdm_ros.tdm.config import TdmConfig


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


State = dict[str, Tensor]
"""Flat vectors by name: critic, actor, their targets, the averaged actor, Adam's moments, log_alpha."""

Pullback = Callable[[Callable[[Tensor], Tensor], Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]]
"""Takes a function and a point; gives its value, and what turns a slope over the value into one over the point."""

BETA, BETA_SQUARE, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants, as everywhere."""
AVERAGE_WARM_UP = 10


class Inputs(NamedTuple):
    """One batch as tensors (B, ...), or N of them as arrays (N, B, ...), now and one step later.

    Distances are in parts of what is within reach (`Features.reach`).
    """

    now: Tensor
    action: Tensor
    aim: Tensor
    """(B, G) what the critics' prediction is compared with: goal minus achieved, or the goal's place."""
    later: Tensor
    aim_later: Tensor
    miss_later: Tensor
    """(B, G) the distance that the next state has."""
    pays_now: Tensor
    """(B, 1) the distance is settled at the next state."""
    reach: Tensor
    reach_later: Tensor
    """(B, 1) what is within reach, as a part of what the whole horizon reaches."""
    noise: Tensor
    noise_later: Tensor
    """(B, A) standard normal draws, where the actor or the target policy is noisy."""


class Update:
    """The rule by which critic and actor learn.

    Parameters
    ----------
    critic, actor : MlpStack
    config : TdmConfig
    actions : int
        Number A of action dimensions.
    """

    def __init__(self, critic: MlpStack, actor: MlpStack, config: TdmConfig, actions: int) -> None:
        self.critic, self.actor, self.config, self.actions = critic, actor, config, actions
        self.stochastic = config.backbone == "sac"
        self.draws = self.stochastic or config.target_noise > 0
        """Whether an update needs random numbers."""

    def start(self, learned: State) -> State:
        """Complete freshly drawn networks with what else learning needs."""
        state = dict(learned)
        if self.stochastic:
            state["log_alpha"] = torch.full((1,), -3.0)
        state |= {f"{name}_{moment}": torch.zeros_like(state[name]) for name in state for moment in ("mean", "square")}
        state |= {f"target_{name}": learned[name].clone() for name in ("critic", "actor")}
        return state | {"average_actor": learned["actor"].clone()}

    def step(self, state: State, x: Inputs, numbers: Tensor) -> tuple[State, Tensor]:
        """Update in eager mode.

        Parameters
        ----------
        state : State
        x : Inputs
        numbers : (3,) float32
            Learning rate, number of this update (from 1), and whether the actor learns too (1 or 0).

        Returns
        -------
        tuple
            The new state, and (2,): the critics' loss, and the distance that the actor expects.
        """
        return self._step(state, x, numbers, _pullback_eager)

    def step_functional(self, state: State, x: Inputs, numbers: Tensor) -> tuple[State, Tensor]:
        """The same for `torch.compile`, which wants gradients as functions."""
        return self._step(state, x, numbers, _pullback_functional)

    def mean_action(self, actor: Tensor, x: Tensor) -> Tensor:
        """The action without noise: (B, inputs) -> (B, A)."""
        return self.actor.first(actor, x)[:, : self.actions].tanh()

    @torch.no_grad()
    def _step(self, state: State, x: Inputs, numbers: Tensor, pullback: Pullback) -> tuple[State, Tensor]:
        rate, count, actor_learns = numbers
        # 1. The distance that the target networks expect when one step less is left.
        target = self._target(state, x)

        # 2. The critics learn it.
        critic_loss, back = pullback(lambda flat: self._critic_loss(flat, x, target), state["critic"])
        critic_gradient = back(torch.ones_like(critic_loss))

        # 3. The actor shortens the distance that the first critic predicts, and rests the more the nearer that gets.
        acted, back_to_actor = pullback(lambda flat: self._act(flat, x.now, x.noise), state["actor"])
        action = acted[:, : self.actions]
        expected, back = pullback(lambda a: self._expected(state["critic"], x, a), action)
        distance = expected.mean()
        slope = back(torch.full_like(expected, 1 / len(expected)))
        far = expected.abs() * x.reach[:, 0] / (self.config.loss_scale * self.config.near_scale)
        rest = self.config.effort * slope.norm(dim=-1).mean() / (1 + far)
        slope = slope + rest[:, None] * action
        if self.stochastic:
            entropy_slope = state["log_alpha"].exp().expand(len(action), 1) / len(action)
            slope = torch.cat([slope, entropy_slope], -1)
        actor_gradient = back_to_actor(slope)

        # 4. Step all, then let the targets and the average follow.
        new = dict(state)
        _adam(new, "critic", critic_gradient, rate, count)
        _adam(new, "actor", actor_gradient, actor_learns * rate * self.config.actor_rate, count)
        if self.stochastic:
            _adam(new, "log_alpha", (self.actions - acted[:, -1].mean())[None], rate, count)
        if not self.config.copy_every:
            for name in ("critic", "actor"):
                new[f"target_{name}"] = state[f"target_{name}"].lerp(new[name], self.config.polyak)
        weight = torch.clamp(AVERAGE_WARM_UP / (count + AVERAGE_WARM_UP - 1), self.config.average, 1.0)
        new["average_actor"] = state["average_actor"].lerp(new["actor"], weight)
        return new, torch.stack([critic_loss, distance / self.config.loss_scale])

    def _target(self, state: State, x: Inputs) -> Tensor:
        if self.stochastic:
            action = self._act(state["target_actor"], x.later, x.noise_later)[:, : self.actions]
        else:
            action = self.mean_action(state["target_actor"], x.later)
            if self.config.target_noise:
                std = self.config.target_noise
                action = (action + (std * x.noise_later).clamp(-2.5 * std, 2.5 * std)).clamp(-1, 1)
        misses = self._miss(
            self.critic(state["target_critic"], torch.cat([x.later, action], -1)), x.aim_later, x.reach_later
        )
        if len(misses) == 1:
            miss = misses[0]
        else:  # The farther vector as a whole: a maximum for each dimension would grow with their number.
            size = misses.square().sum(-1, keepdim=True)
            miss = torch.where(size[0] > size[1], misses[0], misses[1])
        now = x.miss_later if self.config.vector else _length(x.miss_later)[:, None]
        return torch.where(x.pays_now, now, miss) * (x.reach_later / x.reach)

    def _miss(self, predicted: Tensor, aim: Tensor, reach: Tensor) -> Tensor:
        """The distance in a critic's output: (..., B, outputs), (B, G), (B, 1) -> (..., B, G), or 1 for a scalar Q."""
        if self.config.critic == "unstructured":
            return predicted
        if self.config.critic == "structured":
            predicted = predicted / reach
        gap = predicted - aim
        return gap.abs() if self.config.vector else _length(gap)[..., None]

    def _critic_loss(self, flat: Tensor, x: Inputs, target: Tensor) -> Tensor:
        miss = self._miss(self.critic(flat, torch.cat([x.now, x.action], -1)), x.aim, x.reach)
        error = self.config.loss_scale * (miss - target)
        if self.config.huber:
            return torch.where(error.abs() < 1, 0.5 * error.square(), error.abs() - 0.5).mean()
        return error.square().mean()

    def _expected(self, critic: Tensor, x: Inputs, action: Tensor) -> Tensor:
        """The distance that the first critic predicts, times ``loss_scale``: (B, A) -> (B,)."""
        predicted = self.critic.first(critic, torch.cat([x.now, action], -1))
        if self.config.critic == "unstructured":
            return self.config.loss_scale * predicted.sum(-1)
        if self.config.critic == "structured":
            predicted = predicted / x.reach
        return self.config.loss_scale * _length(predicted - x.aim)

    def _act(self, flat: Tensor, x: Tensor, noise: Tensor) -> Tensor:
        """Actions (B, A); of a stochastic actor a sample and its log density (B, A + 1)."""
        if not self.stochastic:
            return self.mean_action(flat, x)
        mean, spread = self.actor.first(flat, x).split(self.actions, dim=-1)
        log_std = LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (spread.tanh() + 1)
        raw = mean + log_std.exp() * noise
        # log N(raw) - sum log(1 - tanh(raw)^2), written so that it stays finite for large raw.
        bend = 2 * (math.log(2) - raw - functional.softplus(-2 * raw))
        density = (-0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi) - bend).sum(-1, keepdim=True)
        return torch.cat([raw.tanh(), density], -1)


def _length(gap: Tensor) -> Tensor:
    """Euclidean norm of the last dimension; of one number its size, for which PyTorch 2.11 cannot compile a norm."""
    return gap.abs().squeeze(-1) if gap.shape[-1] == 1 else gap.norm(dim=-1)


def _adam(state: State, name: str, gradient: Tensor, rate: Tensor, count: Tensor) -> None:
    """One step of Adam (Kingma and Ba, 2015) on one flat vector, in ``state``."""
    mean = state[f"{name}_mean"].lerp(gradient, 1 - BETA)
    square = state[f"{name}_square"].lerp(gradient.square(), 1 - BETA_SQUARE)
    size = (square / (1 - BETA_SQUARE**count)).sqrt() + EPSILON
    state[f"{name}_mean"], state[f"{name}_square"] = mean, square
    state[name] = state[name] - (rate / (1 - BETA**count)) * mean / size


def _pullback_eager(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    leaf = at.detach().requires_grad_()
    with torch.enable_grad():
        value = function(leaf)
    return value.detach(), lambda slope: torch.autograd.grad(value, leaf, slope)[0]


def _pullback_functional(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    vjp: Callable[..., Any] = torch.func.vjp
    value, back = vjp(function, at)
    return value, lambda slope: back(slope)[0]


Step = Callable[[State, Inputs, Tensor], tuple[State, Tensor]]
"""As `Update.step`: state, batch and numbers in, the new state and (2,) losses out."""

WARM_UP = 3
"""Calls before the capture, in which libraries and compilers make up their minds."""


class CapturedStep:
    """A step on a GPU, captured as a graph when it is first called, for batches of that size.

    A graph reads and writes the same memory each time, so the state that is handed back is changed in place by the
    next call. What the caller has put in the place of a part of it is copied in.

    Parameters
    ----------
    step : callable
        A pure function of tensors on one CUDA device, eager or compiled.

    Source: CUDA graphs, as `torch.cuda.graph` captures them.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._state: State = {}
        self._given: list[Tensor] = []
        self._loss = torch.empty(0)

    def __call__(self, state: State, x: Inputs, numbers: Tensor) -> tuple[State, Tensor]:
        """Make one update: as `Update.step`."""
        if self._graph is None:
            self._capture(state, x, numbers)
        for mine, given in zip(self._given, (*x, numbers), strict=True):
            mine.copy_(given)
        for name, value in state.items():
            if value is not self._state[name]:
                self._state[name].copy_(value)
        assert self._graph is not None
        self._graph.replay()
        return dict(self._state), self._loss.clone()

    def _capture(self, state: State, x: Inputs, numbers: Tensor) -> None:
        self._state = {name: value.clone() for name, value in state.items()}
        self._given = [value.clone() for value in (*x, numbers)]
        mine, at = Inputs(*self._given[:-1]), self._given[-1]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._step(self._state, mine, at)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            new, self._loss = self._step(self._state, mine, at)
            for name, value in new.items():
                if value is not self._state[name]:
                    self._state[name].copy_(value)
        self._graph = graph
