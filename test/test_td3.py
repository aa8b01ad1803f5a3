"""The backbone "td3" makes the updates of TD3 (Fujimoto et al., ICML 2018), here with `torch.nn` and `torch.optim`."""

import copy

import numpy as np
import torch
from tasks_for_tests import POINT
from torch import nn
from torch.nn import functional

from tdm_ros.replay import Batch
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.update import MlpStack, UpdateBatch

NOISE, CLIP, DELAY, POLYAK, RATE = 0.2, 0.5, 2, 0.005, 1e-3
CONFIG = TdmConfig(
    critic="unstructured",
    vector_distance=False,
    one_step_model=False,
    layer_norm=False,
    scale_by_reachable_distance=False,
    hidden_size=24,
    learning_rate=RATE,
    actor_learning_rate_factor=0.5,
    final_learning_rate_factor=1.0,
    polyak=POLYAK,
    actor_ema=1.0,
    loss_scale=1.0,
    action_penalty=0.0,
    target_policy_noise=NOISE,
    policy_delay=DELAY,
    horizon_schedule="hold",
)


def network(stack: MlpStack, flat: torch.Tensor, member: int) -> nn.Sequential:
    """Member of a stack as a module."""
    parts = [part[member] for part in stack.layers(flat)]
    layers = []
    for weight, bias in zip(parts[::2], parts[1::2], strict=True):
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = weight.T.clone(), bias[0].clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Td3:
    """TD3 with distances instead of returns: the critics are minimised by the actor, the target is the larger one.

    The critics' losses are averaged instead of added, a factor that Adam removes except for its epsilon.
    """

    def __init__(self, agent: TdmAgent) -> None:
        state = agent._state
        self.actor = network(agent.actor, state["actor"], 0)
        self.critics = nn.ModuleList([network(agent.critic, state["critic"], member) for member in range(2)])
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), RATE)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), RATE * CONFIG.actor_learning_rate_factor)

    def update(self, x: UpdateBatch, number: int) -> None:
        """Make update ``number``, from 1."""
        with torch.no_grad():
            noise = (NOISE * x.next_noise).clamp(-CLIP, CLIP)
            action = (self.target_actor(x.next_inputs).tanh() + noise).clamp(-1, 1)
            following = torch.cat([x.next_inputs, action], -1)
            larger = torch.maximum(*(critic(following) for critic in self.target_critics))
            target = torch.where(x.done, x.next_distance.norm(dim=-1, keepdim=True), larger)
        inputs = torch.cat([x.inputs, x.action], -1)
        loss = 0.5 * sum(functional.mse_loss(critic(inputs), target) for critic in self.critics)
        self.critic_optimiser.zero_grad()
        loss.backward()
        self.critic_optimiser.step()
        if number % DELAY:
            return
        distance = self.critics[0](torch.cat([x.inputs, self.actor(x.inputs).tanh()], -1)).mean()
        self.actor_optimiser.zero_grad()
        distance.backward()
        self.actor_optimiser.step()
        for own, target_network in ((self.actor, self.target_actor), (self.critics, self.target_critics)):
            for value, slow in zip(own.parameters(), target_network.parameters(), strict=True):
                slow.data.lerp_(value.data, POLYAK)


def batches(count: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)

    def draw(size: int) -> np.ndarray:
        return rng.normal(size=(count, 64, size)).astype(np.float32)

    left = rng.integers(0, POINT.horizon + 1, (count, 64)).astype(np.float32)
    return Batch(draw(2), draw(1), draw(2), draw(1), draw(1), draw(1), left, rng.random((count, 64)) < 0.1)


def test_td3_backbone_makes_the_updates_of_td3():
    rng = np.random.default_rng(1)
    features = Features.fit(POINT, rng.normal(size=(50, 2)).astype(np.float32), 0.15, None, True)
    agent = TdmAgent(POINT, CONFIG, features, seed=3)
    reference = Td3(agent)
    for number in range(1, 8):
        x = agent._inputs(batches(1, number))
        first = UpdateBatch(*(part[0] for part in x))
        rate = torch.tensor([RATE, number, number % DELAY == 0])
        agent._state, _ = agent._update.step(agent._state, first, rate)
        reference.update(first, number)
        for name, stack, modules in (
            ("critic", agent.critic, reference.critics),
            ("actor", agent.actor, [reference.actor]),
            ("target_critic", agent.critic, reference.target_critics),
            ("target_actor", agent.actor, [reference.target_actor]),
        ):
            for member, module in enumerate(modules):
                own = network(stack, agent._state[name], member)
                for mine, theirs in zip(own.parameters(), module.parameters(), strict=True):
                    torch.testing.assert_close(mine, theirs, atol=2e-6, rtol=1e-4)
