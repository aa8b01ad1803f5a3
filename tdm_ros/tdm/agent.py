"""TDM agent: its networks, its updates, its predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from tdm_ros.replay import Batch
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import PARTS, Running, running_tensor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.update import CapturedStep, Inputs, MlpStack, Step, Update

_SHIFTS = (0, 32, 64, 96)
"""A generator's 128 bit numbers are kept as four words of 32 bit each."""


def usable_device(name: str) -> str:
    """``name``, if PyTorch has that device here: "cpu", "cuda" or "cuda:N".

    Raises
    ------
    ValueError
        If not.
    """
    kind, _, number = name.partition(":")
    found = torch.cuda.device_count()
    if name == "cpu" or (kind == "cuda" and (number or "0").isdecimal() and int(number or 0) < found):
        return name
    has = f'"cpu" and {found} of CUDA' if found else '"cpu" alone'
    here = f"PyTorch {torch.__version__} has {has} here"
    raise ValueError(f'device must be "cpu", "cuda" or "cuda:N", got "{name}"; {here}')


class Losses(NamedTuple):
    """What an update reports, in parts of what is within reach: the critics' squared error, the distance expected."""

    critic: float
    actor: float


class TdmAgent:
    """Temporal difference model, after Pong et al., ICLR 2018.

    A critic predicts ``f(s, a, g, steps_left)``, the point that will be reached, as a motion from where the agent is;
    ``Q = -|f - g|`` per goal dimension. Motions and distances are measured in what is within reach in the time that is
    left (`Features.reach`), so that a centimetre counts as much when one step is left as a hand's breadth when ten are.
    `TdmConfig` has the other forms.

    Parameters
    ----------
    task : TaskSpec
    config : TdmConfig
    features : Features
        With the frozen statistics of the observations.
    seed : int
        Of the initial weights.
    compiled : bool
        Whether `torch.compile` makes one kernel of the update (about a third faster on a CPU; the first call then
        takes half a minute, a few seconds when PyTorch's cache is warm, and needs a C++ compiler).
    device : str
        Where to learn: "cpu", or "cuda", "cuda:1" for a GPU, where the update is captured as a graph.

    Raises
    ------
    ValueError
        If PyTorch has no such device here.

    Source: arXiv 1802.09081, equation 3 and section 5; docs/algorithm.md numbers the differences.
    """

    def __init__(
        self,
        task: TaskSpec,
        config: TdmConfig,
        features: Features,
        seed: int,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        self.task, self.config, self.features, self.device = task, config, features, usable_device(device)
        goals, actions = task.goal.size, task.action.size
        outputs = goals if config.vector or config.critic != "unstructured" else 1
        per_action = 2 if config.backbone == "sac" else 1
        body = (config.hidden, config.layer_norm)
        self.critic = MlpStack(config.critics, features.size + actions, body[0], outputs, body[1])
        self.actor = MlpStack(1, features.size, body[0], actions * per_action, body[1])
        self._update = Update(self.critic, self.actor, config, actions)
        generator = torch.Generator().manual_seed(seed)
        learned = {"critic": self.critic.initial(generator), "actor": self.actor.initial(generator)}
        self._state = {name: value.to(device) for name, value in self._update.start(learned).items()}
        self._noise = np.random.default_rng(np.random.SeedSequence([4, seed]))
        self.updates = 0
        self._step: Step = torch.compile(self._update.step_functional) if compiled else self._update.step
        if self.device.startswith("cuda"):
            self._step = CapturedStep(self._step)

    def update(self, batches: Batch, progress: float = 0.0) -> Losses:
        """Make one gradient update from each of N batches; ``progress`` in [0, 1] sets the learning rate."""
        rate = self.config.learning_rate * (1 - progress * (1 - self.config.final_learning_rate))
        losses, inputs = [], self._inputs(batches)
        counts = range(self.updates + 1, self.updates + 1 + len(inputs.now))
        numbers = torch.tensor([(rate, count, count % self.config.actor_every == 0) for count in counts])
        for *parts, number in zip(*inputs, numbers.to(self.device), strict=True):
            self.updates += 1
            self._state, loss = self._step(self._state, Inputs(*parts), number)
            losses.append(loss)
        critic, actor = torch.stack(losses).mean(dim=0).tolist()
        return Losses(critic, actor)

    def copy_targets(self) -> None:
        """Copy the learned networks into the target ones (the paper's hard update)."""
        for name in ("critic", "actor"):
            self._state[f"target_{name}"] = self._state[name].detach().clone()

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _inputs(self, batches: Batch) -> Inputs:
        steps_later = np.maximum(batches.steps_left - 1, 0)
        reach = self.features.reach(batches.steps_left)[..., None]
        reach_later = self.features.reach(steps_later)[..., None]
        gap_later = self.features.gap(batches.next_achieved, batches.goal) / reach_later
        residual = self.config.critic == "residual"
        place = self.features.place(batches.goal)
        draws = (2, *batches.action.shape) if self._update.draws else (2, *batches.action.shape[:1], 0)
        noise = self._noise.standard_normal(draws, np.float32)
        arrays = dict(
            now=self.features.inputs(batches.observation, batches.achieved, batches.goal, batches.steps_left),
            action=batches.action,
            aim=self.features.gap(batches.achieved, batches.goal) / reach if residual else place / reach,
            later=self.features.inputs(batches.next_observation, batches.next_achieved, batches.goal, steps_later),
            aim_later=gap_later if residual else place / reach_later,
            miss_later=np.abs(gap_later),
            pays_now=((batches.steps_left == 0) | batches.terminated)[..., None],
            reach=reach,
            reach_later=reach_later,
            noise=noise[0],
            noise_later=noise[1],
        )
        return Inputs(**{name: self._tensor(array) for name, array in arrays.items()})

    @torch.no_grad()
    def predict(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Where the policy will be after ``steps_left + 1`` more steps, by each of the M critics.

        Parameters
        ----------
        observation : (B, O) float32
        achieved, goal : (B, G) float32 [goal unit]
        steps_left : (B,) float32 [steps]

        Returns
        -------
        (M, B, G) float32 [goal unit]

        Raises
        ------
        ValueError
            If the critics are unstructured: they predict distances, not points.
        """
        if self.config.critic == "unstructured":
            raise ValueError(
                "an unstructured critic predicts a distance and no point: "
                'learn with TdmConfig.critic "residual" or "structured"'
            )
        features = self.features
        x = self._tensor(features.inputs(observation, achieved, goal, steps_left))
        action = self._update.mean_action(self._state["average_actor"], x)
        out = self.critic(self._state["critic"], torch.cat([x, action], -1)).cpu().numpy()
        if self.config.critic == "residual":
            point = achieved + out * features.goal_scale * features.reach(steps_left)[:, None]
        else:
            point = features.goal_centre + out * features.goal_scale
        return point.astype(np.float32)

    def actor_tensors(self, running: Running | None = None) -> dict[str, NDArray[Any]]:
        """What acts, as arrays for `NumpyActor`: the averaged actor, the normaliser, the critics that choose.

        It is run as ``running`` says, by default as the configuration does.
        """
        tensors = self.features.tensors()
        running = running or self.config.running
        tensors |= running_tensor(running)
        networks = {"actor": (self.actor, "average_actor")}
        if running in PARTS:
            networks["critic"] = (self.critic, "target_critic")
        for name, (shape, key) in networks.items():
            for number, part in enumerate(shape.layers(self._state[key].detach())):
                kind = "bias" if number % 2 else "weight"
                tensors[f"{name}.{kind}{number // 2}"] = part.cpu().numpy().copy()
        tensors["actor.layer_norm"] = np.array([self.config.layer_norm])
        tensors["actor.stochastic"] = np.array([self.config.backbone == "sac"])
        tensors["critic.residual"] = np.array([self.config.critic == "residual"])
        return tensors

    def actor_bytes(self, running: Running | None = None) -> bytes:
        """The same as a safetensors blob, for `NumpyActor.from_bytes`."""
        return save(self.actor_tensors(running))

    def state(self) -> dict[str, Tensor]:
        """Every number that learning changes, by name; `load_state` puts them back."""
        rng = self._noise.bit_generator.state["state"]
        words = [(int(rng[key]) >> shift) & 0xFFFFFFFF for key in ("state", "inc") for shift in _SHIFTS]
        return {name: value.detach().cpu() for name, value in self._state.items()} | {"noise": torch.tensor(words)}

    def load_state(self, state: dict[str, Tensor], updates: int) -> None:
        """Continue from ``state`` as it was after ``updates`` updates.

        Raises
        ------
        KeyError
            If a number is missing.
        """
        self.updates = updates
        words = [int(word) for word in state["noise"]]
        generator = self._noise.bit_generator.state
        for key, part in (("state", words[:4]), ("inc", words[4:])):
            generator["state"][key] = sum(word << shift for word, shift in zip(part, _SHIFTS, strict=True))
        self._noise.bit_generator.state = generator
        for name, value in self._state.items():
            if state[name].shape != value.shape:
                raise RuntimeError(f"{name} must have {tuple(value.shape)} numbers, got {tuple(state[name].shape)}")
            self._state[name] = state[name].to(self.device)
