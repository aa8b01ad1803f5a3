"""One gradient update as a pure function: networks, losses, and the update as a CUDA graph.

The parameters of a network are one flat vector, so that gradient, Adam, soft updates and checkpoints are one operation
each: with networks of this size, eager PyTorch spends most of its time on the number of operations.
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

from tdm_ros.tdm.actor import LOG_STD
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.networks import LAYER_NORM_EPS
from tdm_ros.tdm.one_step import DAMPING, LEAST_DAMPING, SATURATION, SMALLEST_MOTION, TRUST_FROM, TRUST_TO, split_motion


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
        """Shapes of weight and bias of the three layers, in the order of the flat vector."""
        sizes = [(self.inputs, self.hidden), (self.hidden, self.hidden), (self.hidden, self.outputs)]
        return [shape for i, o in sizes for shape in ((self.members, i, o), (self.members, 1, o))]

    def initial(self, generator: torch.Generator) -> Tensor:
        """Draw the flat vector: weights uniform in +-1/sqrt(inputs), the last layer's a hundredth of that, no bias."""
        bounds = [self.inputs**-0.5, 0.0, self.hidden**-0.5, 0.0, 0.01 * self.hidden**-0.5, 0.0]
        parts = [
            (2 * torch.rand(prod(shape), generator=generator) - 1) * bound if bound else torch.zeros(prod(shape))
            for shape, bound in zip(self.shapes, bounds, strict=True)
        ]
        return torch.cat(parts)

    def layers(self, flat: Tensor) -> list[Tensor]:
        """Views of the flat vector, one per entry of `shapes`."""
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


LearnerState = dict[str, Tensor]
"""Flat vectors by name: critic, actor, their targets, the averaged actor, Adam's moments, log_alpha."""

Pullback = Callable[[Callable[[Tensor], Tensor], Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]]
"""Function and point to the value there and its vector-Jacobian product."""

BETA, BETA_SQUARE, EPSILON = 0.9, 0.999, 1e-8
"""Adam's usual constants."""
EMA_WARM_UP = 10
"""Updates over which the first averages of the actor are taken."""


class UpdateBatch(NamedTuple):
    """One batch as tensors (B, ...), or N batches as tensors (N, B, ...).

    Distances are multiples of the reachable distance (`Features.reachable_distance`).
    """

    inputs: Tensor
    """(B, inputs) network inputs of the state."""
    action: Tensor
    """(B, A)"""
    target: Tensor
    """(B, G) value that the critics' output has at the goal: goal minus achieved, or the goal's place."""
    next_inputs: Tensor
    next_target: Tensor
    next_distance: Tensor
    """(B, G) distance of the next state."""
    done: Tensor
    """(B, 1) whether the horizon or the episode ends at the next state."""
    reachable: Tensor
    next_reachable: Tensor
    """(B, 1) reachable distance, as a fraction of the one of the whole horizon."""
    one_step_inputs: Tensor
    next_one_step_inputs: Tensor
    """(B, inputs of the one-step model)"""
    motion: Tensor
    """(B, G) motion of the goal point in this step [multiples of ``motion_scale``]."""
    final: Tensor
    next_final: Tensor
    """(B, 1) whether the one-step model decides in this state, or in the next: there, one step is left."""
    noise: Tensor
    next_noise: Tensor
    """(B, A) standard normal draws of a stochastic actor or of target policy noise; (B, 0) without."""


ANCHOR = 8.0
"""Additional weight of the pull towards a base action that is trusted fully."""
ANCHOR_UPDATES = 5000.0
"""Updates within which it fades where many steps are left. It guides the actor while the critics know little; later,
greedy steps would cost speed where they do not add up."""
ANCHOR_NEAR = 3.0
"""Exponent of one minus the reachable distance in the part of the pull that remains: it acts in the last steps, for
precision, and where the closed form lies within the box of actions."""


class _OneStep(NamedTuple):
    """Prediction of the one-step model, whose unit is ``motion_scale``, and its closed-form action."""

    jacobian: Tensor
    """(M, B, G, A)"""
    drift: Tensor
    """(M, B, G)"""
    action: Tensor
    """(B, A)"""
    trust: Tensor
    """(B, 1)"""
    size: Tensor
    """(B, 1) largest absolute action of the least squares before it is scaled into the box; at least 1"""
    base_action: Tensor
    """(B, A)"""

    @property
    def motion(self) -> Tensor:
        """Predicted motion with the action, (M, B, G)."""
        return (self.jacobian @ self.action[..., None])[..., 0] + self.drift


class Update:
    """Gradient update of critics and actor.

    Parameters
    ----------
    critic, actor : MlpStack
    config : TdmConfig
    actions : int
        Number A of action dimensions.
    one_step : MlpStack, optional
        The one-step model: its output is a Jacobian and a drift (`split_motion`).
    motion_scale : float
        Unit of its motions [multiples of the goal scale].
    """

    def __init__(
        self,
        critic: MlpStack,
        actor: MlpStack,
        config: TdmConfig,
        actions: int,
        one_step: MlpStack | None = None,
        motion_scale: float = 1.0,
    ) -> None:
        self.critic, self.actor, self.config, self.actions = critic, actor, config, actions
        self.one_step, self.motion_scale = one_step, motion_scale
        self.stochastic = config.backbone == "sac"
        self.draws = self.stochastic or config.target_policy_noise > 0
        """Whether an update uses random numbers."""

    def start(self, learned: LearnerState) -> LearnerState:
        """The state of learning that begins with freshly drawn networks."""
        state = dict(learned)
        if self.stochastic:
            state["log_alpha"] = torch.full((1,), -3.0)
        state |= {f"{name}_{moment}": torch.zeros_like(state[name]) for name in state for moment in ("mean", "square")}
        state |= {f"target_{name}": learned[name].clone() for name in ("critic", "actor")}
        return state | {"actor_ema": learned["actor"].clone()}

    def step(self, state: LearnerState, x: UpdateBatch, numbers: Tensor) -> tuple[LearnerState, Tensor]:
        """Update in eager mode.

        Parameters
        ----------
        state : LearnerState
        x : UpdateBatch
        numbers : (3,) float32
            Learning rate, number of this update (from 1), and whether actor and targets are updated, too (1 or 0).

        Returns
        -------
        tuple
            The new state, and (2,): the critics' loss and the mean predicted distance.
        """
        return self._step(state, x, numbers, _pullback_eager)

    def step_functional(self, state: LearnerState, x: UpdateBatch, numbers: Tensor) -> tuple[LearnerState, Tensor]:
        """The same for `torch.compile`, with functional gradients."""
        return self._step(state, x, numbers, _pullback_functional)

    def _mean_action(self, actor: Tensor, x: Tensor, one_step: _OneStep | None) -> Tensor:
        """The action without noise: (B, inputs) -> (B, A)."""
        return (self.actor.first(actor, x)[:, : self.actions] + _offset(one_step)).tanh()

    @torch.no_grad()
    def _step(
        self, state: LearnerState, x: UpdateBatch, numbers: Tensor, pullback: Pullback
    ) -> tuple[LearnerState, Tensor]:
        rate, count, update_actor = numbers
        new = dict(state)
        # 1. One-step model: regression, and its closed-form actions, which the networks receive as further inputs.
        now = then = None
        if self.one_step:
            model_loss, back = pullback(lambda flat: self._one_step_loss(flat, x), state["one_step"])
            now = self._closed_form(state["one_step"], x.one_step_inputs, x.target * x.reachable)
            then = self._closed_form(state["one_step"], x.next_one_step_inputs, x.next_target * x.next_reachable)
            x = x._replace(
                inputs=torch.cat([x.inputs, now.base_action], -1),
                next_inputs=torch.cat([x.next_inputs, then.base_action], -1),
            )
            _adam(new, "one_step", back(torch.ones_like(model_loss)), rate, count)

        # 2. Target: the distance that the target networks, or the one-step model, predict with one step less.
        target = self._target(state, x, then)

        # 3. Critic loss and Adam step.
        critic_loss, back = pullback(lambda flat: self._critic_loss(flat, x, target), state["critic"])
        _adam(new, "critic", back(torch.ones_like(critic_loss)), rate, count)
        undelayed = dict(new)

        # 4. Actor loss: the distance that the first critic predicts, plus the penalty on actions, or on corrections of
        # the closed-form action.
        acted, back_to_actor = pullback(lambda flat: self._act(flat, x.inputs, x.noise, now), state["actor"])
        action = acted[:, : self.actions]
        predicted, back = pullback(lambda a: self._predicted(new["critic"], x, a), action)
        weight = (~x.final[:, 0]).float()
        gradient = back(weight / len(predicted))
        nearness = 1 + predicted.abs() * x.reachable[:, 0] / (self.config.loss_scale * self.config.near_scale)
        pull = weight / nearness * self.config.action_penalty * gradient.norm(dim=-1).mean()
        if now:
            gradient = gradient + pull[:, None] * anchor(now, x.reachable, count) * (action - now.base_action)
        else:
            gradient = gradient + pull[:, None] * action
        if self.stochastic:
            by_log_density = state["log_alpha"].exp().expand(len(action), 1) / len(action)
            gradient = torch.cat([gradient, by_log_density], -1)
        actor_gradient = back_to_actor(gradient)

        # 5. Adam step of the actor, then soft updates of the targets and of the averaged actor. TD3 delays all of them.
        delay = self.config.policy_delay
        actor_count = torch.ceil(count / delay)
        _adam(new, "actor", actor_gradient, rate * self.config.actor_learning_rate_factor, actor_count)
        if self.stochastic:
            _adam(new, "log_alpha", (self.actions - acted[:, -1].mean())[None], rate, actor_count)
        if not self.config.target_update_interval:
            for name in ("critic", "actor"):
                new[f"target_{name}"] = state[f"target_{name}"].lerp(new[name], self.config.polyak)
        weight = torch.clamp(EMA_WARM_UP / (actor_count + EMA_WARM_UP - 1), self.config.actor_ema, 1.0)
        new["actor_ema"] = state["actor_ema"].lerp(new["actor"], weight)
        if delay > 1:
            new = {name: torch.where(update_actor > 0, value, undelayed[name]) for name, value in new.items()}
        return new, torch.stack([critic_loss, predicted.mean() / self.config.loss_scale])

    def _one_step_loss(self, flat: Tensor, x: UpdateBatch) -> Tensor:
        jacobian, drift = self._motion(flat, x.one_step_inputs)
        return (torch.einsum("mbga,ba->mbg", jacobian, x.action) + drift - x.motion).square().mean()

    def _closed_form(self, flat: Tensor, x: Tensor, gap: Tensor) -> _OneStep:
        """Prediction for inputs (B, inputs), and the action towards ``gap``, (B, G) [multiples of the goal scale]."""
        jacobian, drift = self._motion(flat, x)
        return closed_form(jacobian, drift, gap / self.motion_scale)

    def _motion(self, flat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        assert self.one_step is not None
        out = self.one_step(flat, x)
        return split_motion(out, out.shape[-1] // (self.actions + 1))

    def _target(self, state: LearnerState, x: UpdateBatch, one_step: _OneStep | None) -> Tensor:
        if self.stochastic:
            action = self._act(state["target_actor"], x.next_inputs, x.next_noise, one_step)[:, : self.actions]
        else:
            action = self._mean_action(state["target_actor"], x.next_inputs, one_step)
            if self.config.target_policy_noise:
                std = self.config.target_policy_noise
                action = (action + (std * x.next_noise).clamp(-2.5 * std, 2.5 * std)).clamp(-1, 1)
        output = self.critic(state["target_critic"], torch.cat([x.next_inputs, action], -1))
        distances = self._distance(output, x.next_target, x.next_reachable)
        if len(distances) == 1:
            distance = distances[0]
        elif distances.shape[-1] == 1:
            distance = distances.amax(0)
        else:  # The larger vector as a whole: the maximum per dimension grows with their number.
            size = distances.square().sum(-1, keepdim=True)
            distance = torch.where(size[0] > size[1], distances[0], distances[1])
        if one_step:
            end = one_step.motion * self.motion_scale / x.next_reachable
            distance = torch.where(x.next_final, self._distance(end, x.next_target, x.next_reachable).mean(0), distance)
        final = x.next_distance if self.config.vector_distance else _length(x.next_distance)[:, None]
        return torch.where(x.done, final, distance) * (x.next_reachable / x.reachable)

    def _distance(self, predicted: Tensor, target: Tensor, reachable: Tensor) -> Tensor:
        """Distance of a critic's output: (..., B, outputs), (B, G), (B, 1) -> (..., B, G), or (..., B, 1)."""
        if self.config.critic == "unstructured":
            return predicted
        if self.config.critic == "structured":
            predicted = predicted / reachable
        gap = predicted - target
        return gap.abs() if self.config.vector_distance else _length(gap)[..., None]

    def _critic_loss(self, flat: Tensor, x: UpdateBatch, target: Tensor) -> Tensor:
        output = self.critic(flat, torch.cat([x.inputs, x.action], -1))
        error = self.config.loss_scale * (self._distance(output, x.target, x.reachable) - target)
        if self.config.huber_loss:
            losses = torch.where(error.abs() < 1, 0.5 * error.square(), error.abs() - 0.5)
        else:
            losses = error.square()
        return torch.where(x.final, 0.0, losses).mean()

    def _predicted(self, critic: Tensor, x: UpdateBatch, action: Tensor) -> Tensor:
        """Distance that the first critic predicts, times ``loss_scale``: (B, A) -> (B,)."""
        predicted = self.critic.first(critic, torch.cat([x.inputs, action], -1))
        if self.config.critic == "unstructured":
            return self.config.loss_scale * predicted.sum(-1)
        if self.config.critic == "structured":
            predicted = predicted / x.reachable
        return self.config.loss_scale * _length(predicted - x.target)

    def _act(self, flat: Tensor, x: Tensor, noise: Tensor, one_step: _OneStep | None) -> Tensor:
        """Actions (B, A); of a stochastic actor samples and their log density (B, A + 1)."""
        if not self.stochastic:
            return self._mean_action(flat, x, one_step)
        mean, spread = self.actor.first(flat, x).split(self.actions, dim=-1)
        mean = mean + _offset(one_step)
        log_std = LOG_STD[0] + 0.5 * (LOG_STD[1] - LOG_STD[0]) * (spread.tanh() + 1)
        raw = mean + log_std.exp() * noise
        # log N(raw) - sum log(1 - tanh(raw)^2), written so that it is finite for large raw.
        bend = 2 * (math.log(2) - raw - functional.softplus(-2 * raw))
        density = (-0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi) - bend).sum(-1, keepdim=True)
        return torch.cat([raw.tanh(), density], -1)


def closed_form(jacobian: Tensor, drift: Tensor, gap: Tensor) -> _OneStep:
    """As `tdm_ros.tdm.one_step.ClosedForm`, with tensors."""
    normal = (jacobian.mT @ jacobian).mean(0)
    damping = DAMPING + LEAST_DAMPING * normal.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    damped = normal + damping * torch.eye(normal.shape[-1], device=normal.device)
    wanted = (gap - drift)[..., None]
    raw = torch.linalg.solve_ex(damped, jacobian.mean(0).mT @ wanted.mean(0))[0]
    size = raw[..., 0].abs().amax(-1, keepdim=True).clamp(min=1)
    action = raw[..., 0] / size
    left, square = ((part.square().sum(-2).mean(0)) for part in (wanted - jacobian @ raw, wanted))
    possible = 1 - (left / (square + SMALLEST_MOTION)).sqrt()
    trust = ((possible - TRUST_FROM) / (TRUST_TO - TRUST_FROM)).clamp(0, 1)
    return _OneStep(jacobian, drift, action, trust, size, SATURATION * trust * action)


def anchor(one_step: _OneStep, reachable: Tensor, count: Tensor) -> Tensor:
    """Factor of the pull towards the base action in update ``count``, for reachable distances (B, 1): (B, 1).

    With reachable distances of one (``scale_by_reachable_distance`` False), nothing of it remains.
    """
    early = (1 - count / ANCHOR_UPDATES).clamp(min=0)
    late = (1 - reachable) ** ANCHOR_NEAR / one_step.size.square()
    return 1 + ANCHOR * one_step.trust * (early + (1 - early) * late)


def _offset(one_step: _OneStep | None) -> Tensor | float:
    """What is added to the actor's output before the tanh, so that it corrects the base action."""
    return one_step.base_action.atanh() if one_step else 0.0


def _length(gap: Tensor) -> Tensor:
    """Euclidean norm of the last dimension; of one number its absolute value (PyTorch 2.11 compiles no norm of it)."""
    return gap.abs().squeeze(-1) if gap.shape[-1] == 1 else gap.norm(dim=-1)


def _adam(state: LearnerState, name: str, gradient: Tensor, rate: Tensor, count: Tensor) -> None:
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


UpdateFunction = Callable[[LearnerState, UpdateBatch, Tensor], tuple[LearnerState, Tensor]]
"""State, batch and numbers to the new state and the (2,) losses, as `Update.step`."""

WARM_UP = 3
"""Calls before the capture, for the initialisation of libraries and compilers."""


class CapturedStep:
    """A step on a GPU, captured as a graph when it is first called, for batches of that size.

    A graph reads and writes the same memory each time: the next call changes the returned state in place. Tensors that
    the caller has replaced in the state are copied.

    Parameters
    ----------
    step : callable
        A pure function of tensors on one CUDA device, eager or compiled.

    Source: CUDA graphs, as `torch.cuda.graph` captures them.
    """

    def __init__(self, step: UpdateFunction) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._state: LearnerState = {}
        self._given: list[Tensor] = []
        self._loss = torch.empty(0)

    def __call__(self, state: LearnerState, x: UpdateBatch, numbers: Tensor) -> tuple[LearnerState, Tensor]:
        """Make one update: as `Update.step`."""
        if self._graph is None:
            self._capture(state, x, numbers)
        for own, given in zip(self._given, (*x, numbers), strict=True):
            own.copy_(given)
        for name, value in state.items():
            if value is not self._state[name]:
                self._state[name].copy_(value)
        assert self._graph is not None
        self._graph.replay()
        return dict(self._state), self._loss.clone()

    def _capture(self, state: LearnerState, x: UpdateBatch, numbers: Tensor) -> None:
        self._state = {name: value.clone() for name, value in state.items()}
        self._given = [value.clone() for value in (*x, numbers)]
        batch, own_numbers = UpdateBatch(*self._given[:-1]), self._given[-1]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step(self._state, batch, own_numbers)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            new, self._loss = self._step(self._state, batch, own_numbers)
            for name, value in new.items():
                if value is not self._state[name]:
                    self._state[name].copy_(value)
        self._graph = graph
