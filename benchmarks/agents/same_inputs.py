"""What a TDM's networks see, for Stable-Baselines3: its dict observations through the very same `Features`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.features import Features


class NetworkInputs:
    """Holds the normaliser, which is frozen once the random phase is over; shared by all networks of an agent.

    Parameters
    ----------
    task : TaskSpec
    near_scale : float
        As in `TdmConfig`.
    """

    def __init__(self, task: TaskSpec, near_scale: float) -> None:
        self._task, self._near_scale = task, near_scale
        self.freeze(np.zeros((2, task.observation.size), np.float32))

    def freeze(self, observations: NDArray[np.float32]) -> None:
        """Take the statistics of (N, O) observations."""
        self.features = Features.fit(self._task, observations, self._near_scale)

    def of(self, seen: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """NetworkInputs of a batch: dict of (B, ...) -> (B, `Features.size`).

        The horizon's input stays at zero steps left: these agents have no horizon, so that it is a constant to them.
        """
        observation, achieved, goal = (seen[key] for key in ("observation", "achieved_goal", "desired_goal"))
        return self.features.inputs(observation, achieved, goal, np.zeros(len(observation), np.float32))


class SameInputs(BaseFeaturesExtractor):
    """Features extractor around `NetworkInputs`; nothing in it is learned.

    Parameters
    ----------
    observation_space : gymnasium.spaces.Dict
    inputs : NetworkInputs
    """

    def __init__(self, observation_space: gym.spaces.Dict, inputs: NetworkInputs) -> None:
        super().__init__(observation_space, inputs.features.size)
        self.inputs = inputs

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """(B, ...) of each key -> (B, `Features.size`)."""
        seen = {key: value.numpy() for key, value in observations.items()}
        return torch.from_numpy(self.inputs.of(seen))
