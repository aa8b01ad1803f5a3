"""The TDM update: twin vector-valued critics that say where the agent will be, and an actor that uses the first."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from tdm_ros.replay import Batch
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.networks import MlpStack


class Losses(NamedTuple):
    """What an update reports, in parts of what is within reach: the critics' squared error, the distance expected."""

    critic: float
    actor: float


class _Inputs(NamedTuple):
    """Network inputs of N batches, (N, B, ...), now and one step later."""

    now: Tensor
    action: Tensor
    gap: Tensor
    """Goal minus achieved, in parts of what is within reach (`Features.reach`)."""
    later: Tensor
    gap_later: Tensor
    pays_now: Tensor
    """The distance is settled at the next state."""
    shrink: Tensor
    """What is within reach one step later, as a part of what is within reach now."""


class TdmAgent:
    """Temporal difference model with structured critics, after Pong et al., ICLR 2018.

    A critic predicts ``f(s, a, g, steps_left)``, the point that will be reached, as a motion from where the agent is;
    ``Q = -|f - g|`` per goal dimension. Motions and distances are measured in what is within reach in the time that is
    left (`Features.reach`), so that a centimetre counts as much when one step is left as a hand's breadth when ten are.

    Parameters
    ----------
    task : TaskSpec
    config : TdmConfig
    features : Features
        With the frozen statistics of the observations.
    seed : int
        Of the initial weights.

    Source: arXiv 1802.09081, equation 3 and section 5. We differ in: twin critics (the more pessimistic *vector* is the
    target), a soft target update, motion in proportion to the time left instead of an absolute prediction, the
    Euclidean norm in the actor's loss.
    """

    def __init__(self, task: TaskSpec, config: TdmConfig, features: Features, seed: int) -> None:
        self.task, self.config, self.features = task, config, features
        generator = torch.Generator().manual_seed(seed)
        goals, actions = task.goal.size, task.action.size
        self.critics = MlpStack(2, features.size + actions, config.hidden, goals, generator)
        self.actor = MlpStack(1, features.size, config.hidden, actions, generator)
        self.target_critics, self.target_actor = deepcopy(self.critics), deepcopy(self.actor)
        self.average_actor = deepcopy(self.actor)
        self.updates = 0
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=config.learning_rate, fused=True)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate, fused=True)

    def update(self, batches: Batch, progress: float = 0.0) -> Losses:
        """Make one gradient update from each of N batches; ``progress`` in [0, 1] sets the learning rate."""
        rate = self.config.learning_rate * (1 - progress * (1 - self.config.final_learning_rate))
        for optimiser in (self.critic_optimiser, self.actor_optimiser):
            optimiser.param_groups[0]["lr"] = rate
        inputs = self._inputs(batches)
        losses = [self._update(_Inputs(*parts)) for parts in zip(*inputs, strict=True)]
        critic, actor = torch.stack([torch.stack(pair) for pair in losses]).mean(dim=0).tolist()
        return Losses(critic, actor)

    def _inputs(self, batches: Batch) -> _Inputs:
        features = self.features
        gap = features.gap(batches.achieved, batches.goal)
        gap_later = features.gap(batches.next_achieved, batches.goal)
        steps_later = np.maximum(batches.steps_left - 1, 0)
        reach = features.reach(batches.steps_left)[..., None]
        reach_later = features.reach(steps_later)[..., None]
        arrays = dict(
            now=features.inputs(batches.observation, gap, batches.steps_left),
            action=batches.action,
            gap=gap / reach,
            later=features.inputs(batches.next_observation, gap_later, steps_later),
            gap_later=gap_later / reach_later,
            pays_now=((batches.steps_left == 0) | batches.terminated)[..., None],
            shrink=reach_later / reach,
        )
        return _Inputs(**{name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()})

    def _update(self, x: _Inputs) -> tuple[Tensor, Tensor]:
        scale = self.config.loss_scale
        # 1. Where the target networks expect to be when one step less is left; the farther vector of the two counts.
        with torch.no_grad():
            action_later = self.target_actor.first(x.later).tanh_()
            misses = (self.target_critics(torch.cat([x.later, action_later], -1)) - x.gap_later).abs_()
            farther = misses.square().sum(-1, keepdim=True)
            miss = torch.where(farther[0] > farther[1], misses[0], misses[1])
            target = x.shrink * torch.where(x.pays_now, x.gap_later.abs(), miss)

        # 2. Both critics learn that distance, per goal dimension.
        miss_now = (self.critics(torch.cat([x.now, x.action], -1)) - x.gap).abs()
        critic_loss = (scale * (miss_now - target)).square().mean()
        self.critic_optimiser.zero_grad()
        critic_loss.backward()

        # 3. The actor shortens the distance that the first critic predicts, with as little motion as that takes;
        #    the critic itself stays as it is.
        action = self.actor.first(x.now).tanh()
        expected = self.critics.first(torch.cat([x.now, action], -1)) - x.gap
        actor_loss = (scale * expected).norm(dim=-1).mean()
        (slope,) = torch.autograd.grad(actor_loss, action, retain_graph=True)
        slope = slope + self.config.effort * slope.norm(dim=-1).mean() * action.detach()
        parameters = list(self.actor.parameters())
        gradients = torch.autograd.grad(action, parameters, slope)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

        # 4. Step both, then let the targets and the average follow.
        self.critic_optimiser.step()
        self.actor_optimiser.step()
        _follow(self.target_critics, self.critics, self.config.polyak)
        _follow(self.target_actor, self.actor, self.config.polyak)
        self.updates += 1
        _follow(self.average_actor, self.actor, max(self.config.average, 10 / (self.updates + 9)))
        return critic_loss.detach(), actor_loss.detach() / scale

    @torch.no_grad()
    def predict(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Where the policy will be after ``steps_left + 1`` more steps, by both critics.

        Parameters
        ----------
        observation : (B, O) float32
        achieved, goal : (B, G) float32 [goal unit]
        steps_left : (B,) float32 [steps]

        Returns
        -------
        (2, B, G) float32 [goal unit]
        """
        gap = self.features.gap(achieved, goal)
        x = torch.from_numpy(self.features.inputs(observation, gap, steps_left))
        action = self.average_actor.first(x).tanh()
        moved = self.critics(torch.cat([x, action], -1)).numpy()
        return achieved + moved * self.features.goal_scale * self.features.reach(steps_left)[:, None]

    def actor_tensors(self) -> dict[str, NDArray[Any]]:
        """The averaged actor and the normaliser as arrays, for `NumpyActor`."""
        tensors = self.features.tensors()
        layers = zip(self.average_actor.weights, self.average_actor.biases, strict=True)
        for layer, (weight, bias) in enumerate(layers):
            tensors[f"actor.weight{layer}"] = weight.detach()[0].numpy().copy()
            tensors[f"actor.bias{layer}"] = bias.detach()[0, 0].numpy().copy()
        return tensors

    def actor_bytes(self) -> bytes:
        """The same as a safetensors blob, for `NumpyActor.from_bytes`."""
        return save(self.actor_tensors())

    def state(self) -> dict[str, Tensor]:
        """Every number that learning changes, by name; `load_state` puts them back."""
        state = {
            f"{name}.{key}": value for name in _NETWORKS for key, value in getattr(self, name).state_dict().items()
        }
        for name in _OPTIMISERS:
            for index, moments in getattr(self, name).state_dict()["state"].items():
                state |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
        return state

    def load_state(self, state: dict[str, Tensor], updates: int) -> None:
        """Continue from ``state`` as it was after ``updates`` updates.

        Raises
        ------
        KeyError
            If a number is missing.
        """
        self.updates = updates
        for name in _NETWORKS:
            network = getattr(self, name)
            network.load_state_dict({key: state[f"{name}.{key}"] for key in network.state_dict()})
        for name in _OPTIMISERS:
            optimiser = getattr(self, name)
            saved = optimiser.state_dict()
            count = len(saved["param_groups"][0]["params"]) if updates else 0
            saved["state"] = {
                i: {key: state[f"{name}.{i}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")} for i in range(count)
            }
            optimiser.load_state_dict(saved)


_NETWORKS = ("actor", "critics", "target_actor", "target_critics", "average_actor")
_OPTIMISERS = ("actor_optimiser", "critic_optimiser")


def _follow(target: MlpStack, source: MlpStack, rate: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)
