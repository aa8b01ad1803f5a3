"""TDM agent: networks, updates, predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from tdm_ros.replay import Batch
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import LAST_SEGMENT_PARTS, HorizonSchedule, NumpyActor, horizon_schedule_tensor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features
from tdm_ros.tdm.one_step import MEMBERS
from tdm_ros.tdm.update import CapturedStep, MlpStack, Update, UpdateBatch, UpdateFunction

_SHIFTS = (0, 32, 64, 96)
"""The 128 bit numbers of a generator are stored as four words of 32 bit each."""


def usable_device(name: str) -> str:
    """Return ``name`` if it is a device of this machine that PyTorch can use: "cpu", "cuda" or "cuda:N".

    Raises ValueError if it is not.
    """
    name = str(name)  # a torch.device, too
    kind, _, number = name.partition(":")
    found = torch.cuda.device_count()
    if name == "cpu" or (kind == "cuda" and (number or "0").isdecimal() and int(number or 0) < found):
        return name
    if kind != "cuda" or not (number or "0").isdecimal():
        raise ValueError(f'device must be "cpu", "cuda" or "cuda:N", got "{name}"')
    raise ValueError(
        f'device "{name}" cannot be used: PyTorch {torch.__version__} finds {found} CUDA devices; '
        + ('use "cuda:0"' if found else 'use "cpu", or install PyTorch for CUDA')
    )


class Losses(NamedTuple):
    """Mean of the critics' loss, and mean distance that the first critic predicts [multiples of the reachable one]."""

    critic: float
    actor: float


class TdmAgent:
    """Temporal difference model, after Pong et al., ICLR 2018.

    A critic predicts ``f(s, a, g, steps_left)``, the point that is reached after ``steps_left + 1`` more steps, as a
    displacement from the present one; ``Q = -|f - g|`` per goal dimension. Displacements and distances are divided by
    the distance that is reachable in that time (`Features.reachable_distance`), so that errors of short horizons have
    the same weight as those of long ones. `TdmConfig` lists the other forms.

    ``features`` have the statistics of the observations, which do not change; ``seed`` is that of the initial weights.
    ``compiled``: the update is compiled by `torch.compile`, which needs a C++ compiler and up to half a minute at the
    first call. ``device`` of the updates: "cpu", or "cuda", "cuda:1" for a GPU, where the update is a CUDA graph.
    Raises ValueError if PyTorch cannot use it.

    Source: arXiv 1802.09081, equation 3 and section 5; docs/algorithm.md lists the differences.
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
        outputs = goals if config.vector_distance or config.critic != "unstructured" else 1
        per_action = 2 if config.backbone == "sac" else 1
        size, layer_norm = config.hidden_size, config.layer_norm
        inputs = features.size + (actions if config.one_step_model else 0)
        self.critic = MlpStack(config.critics, inputs + actions, size, outputs, layer_norm)
        self.actor = MlpStack(1, inputs, size, actions * per_action, layer_norm)
        one_step = None
        if config.one_step_model:
            one_step = MlpStack(MEMBERS, features.one_step_size, size, goals * (actions + 1), layer_norm=False)
        self._update = Update(self.critic, self.actor, config, actions, one_step, features.motion_scale)
        generator = torch.Generator().manual_seed(seed)
        learned = {"critic": self.critic.initial(generator), "actor": self.actor.initial(generator)}
        if one_step:
            learned["one_step"] = one_step.initial(generator)
        self._state = {name: value.to(device) for name, value in self._update.start(learned).items()}
        self._noise = np.random.default_rng(np.random.SeedSequence([4, seed]))
        self.updates = 0
        self._step: UpdateFunction = torch.compile(self._update.step_functional) if compiled else self._update.step
        if self.device.startswith("cuda"):
            self._step = CapturedStep(self._step)

    def update(self, batches: Batch, progress: float = 0.0) -> Losses:
        """Make one gradient update per batch, of N; ``progress`` in [0, 1] determines the learning rate."""
        rate = self.config.learning_rate * (1 - progress * (1 - self.config.final_learning_rate_factor))
        losses, inputs = [], self._inputs(batches)
        counts = range(self.updates + 1, self.updates + 1 + len(inputs.inputs))
        numbers = torch.tensor([(rate, count, count % self.config.policy_delay == 0) for count in counts])
        for *parts, number in zip(*inputs, numbers.to(self.device), strict=True):
            self.updates += 1
            self._state, loss = self._step(self._state, UpdateBatch(*parts), number)
            losses.append(loss)
        critic, actor = torch.stack(losses).mean(dim=0).tolist()
        return Losses(critic, actor)

    def copy_targets(self) -> None:
        """Copy the learned networks to the target networks (hard update)."""
        for name in ("critic", "actor"):
            self._state[f"target_{name}"] = self._state[name].detach().clone()

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _inputs(self, batches: Batch) -> UpdateBatch:
        next_steps_left = np.maximum(batches.steps_left - 1, 0)
        reachable = self.features.reachable_distance(batches.steps_left)[..., None]
        next_reachable = self.features.reachable_distance(next_steps_left)[..., None]
        next_gap = self.features.gap(batches.next_achieved, batches.goal) / next_reachable
        residual, model = self.config.critic == "residual", self.config.one_step_model
        place = self.features.place(batches.goal)
        draws = (2, *batches.action.shape) if self._update.draws else (2, *batches.action.shape[:1], 0)
        noise = self._noise.standard_normal(draws, np.float32)
        arrays = dict(
            inputs=self.features.inputs(batches.observation, batches.achieved, batches.goal, batches.steps_left),
            action=batches.action,
            target=(self.features.gap(batches.achieved, batches.goal) if residual else place) / reachable,
            next_inputs=self.features.inputs(
                batches.next_observation, batches.next_achieved, batches.goal, next_steps_left
            ),
            next_target=next_gap if residual else place / next_reachable,
            next_distance=np.abs(next_gap),
            done=((batches.steps_left == 0) | batches.terminated)[..., None],
            reachable=reachable,
            next_reachable=next_reachable,
            noise=noise[0],
            next_noise=noise[1],
            one_step_inputs=self.features.one_step_inputs(batches.observation),
            next_one_step_inputs=self.features.one_step_inputs(batches.next_observation),
            motion=self.features.gap(batches.achieved, batches.next_achieved) / np.float32(self.features.motion_scale),
            final=((batches.steps_left == 0) & model)[..., None],
            next_final=((next_steps_left == 0) & model)[..., None],
        )
        return UpdateBatch(**{name: self._tensor(array) for name, array in arrays.items()})

    def predict(
        self,
        observation: NDArray[np.float32],
        achieved: NDArray[np.float32],
        goal: NDArray[np.float32],
        steps_left: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Point that the policy reaches after ``steps_left + 1`` more steps: see `NumpyActor.predict`.

        Raises ValueError if the critics are unstructured: they predict distances instead of points.
        """
        if self.config.critic == "unstructured":
            raise ValueError(
                "an unstructured critic predicts a distance instead of a point: "
                'learn with TdmConfig.critic "residual" or "structured"'
            )
        return NumpyActor(self.actor_tensors("segments")).predict(observation, achieved, goal, steps_left)

    def actor_tensors(self, schedule: HorizonSchedule | None = None) -> dict[str, NDArray[Any]]:
        """Arrays for `NumpyActor`: the averaged actor, the normaliser, and the critics if they select the horizon.

        ``schedule`` replaces the horizon schedule of the configuration.
        """
        tensors = self.features.tensors()
        schedule = schedule or self.config.horizon_schedule
        tensors |= horizon_schedule_tensor(schedule)
        networks = {"actor": (self.actor, "actor_ema")}
        if schedule in LAST_SEGMENT_PARTS:
            networks["critic"] = (self.critic, "target_critic")
        if self._update.one_step:
            networks["one_step"] = (self._update.one_step, "one_step")
        for name, (shape, key) in networks.items():
            for number, part in enumerate(shape.layers(self._state[key].detach())):
                kind = "bias" if number % 2 else "weight"
                tensors[f"{name}.{kind}{number // 2}"] = part.cpu().numpy().copy()
        tensors["actor.layer_norm"] = np.array([self.config.layer_norm])
        tensors["actor.stochastic"] = np.array([self.config.backbone == "sac"])
        tensors["critic.residual"] = np.array([self.config.critic == "residual"])
        return tensors

    def actor_bytes(self, schedule: HorizonSchedule | None = None) -> bytes:
        """The same as the bytes of a safetensors file, for `NumpyActor.from_bytes`."""
        return save(self.actor_tensors(schedule))

    def state(self) -> dict[str, Tensor]:
        """All tensors that updates change, by name; `load_state` restores them."""
        rng = self._noise.bit_generator.state["state"]
        words = [(int(rng[key]) >> shift) & 0xFFFFFFFF for key in ("state", "inc") for shift in _SHIFTS]
        return {name: value.detach().cpu() for name, value in self._state.items()} | {"noise": torch.tensor(words)}

    def load_state(self, state: dict[str, Tensor], updates: int) -> None:
        """Restore ``state``, which `state` returned after ``updates`` updates.

        Raises KeyError if a tensor is missing. Raises RuntimeError if a tensor has the wrong shape.
        """
        self.updates = updates
        words = [int(word) for word in state["noise"]]
        generator = self._noise.bit_generator.state
        for key, part in (("state", words[:4]), ("inc", words[4:])):
            generator["state"][key] = sum(word << shift for word, shift in zip(part, _SHIFTS, strict=True))
        self._noise.bit_generator.state = generator
        for name, value in self._state.items():
            if state[name].shape != value.shape:
                raise RuntimeError(f"{name} must have shape {tuple(value.shape)}, got {tuple(state[name].shape)}")
            self._state[name] = state[name].to(self.device)
