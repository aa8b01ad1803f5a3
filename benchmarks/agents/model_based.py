"""The paper's model-based line: a one-step model, planned through by random shooting, refitted as it goes.

Source: Nagabandi et al. 2017 (arXiv 1708.02596) as the authors of TDM used it: ReLU, predicted differences, 512 random
action sequences of 15 steps, the first action of the best one is taken, then all is planned anew. We differ in: two
hidden layers of 128, as all learners here have, instead of 300; a sequence is judged by the distance in parts of the
goal scale, the mean over its states; updates go on at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.trial import Trial
from tdm_ros.replay import TrajectoryStore
from tdm_ros.tasks import TaskSpec
from tdm_ros.tasks.seeds import generator, reset_seed
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.decision import Exploration
from tdm_ros.training.evaluation import Policy, PolicyInput, rollout

HIDDEN, LEARNING_RATE = 128, 1e-3
_TINY = 1e-6


class DeltaModel:
    """Predicts how observation and goal-space point change in one step; both in parts of their usual change.

    Parameters
    ----------
    task : TaskSpec
    seed : int
        Of the initial weights.
    """

    def __init__(self, task: TaskSpec, seed: int) -> None:
        self._sizes = [task.observation.size, task.goal.size]
        size = sum(self._sizes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = nn.Sequential(
                nn.Linear(task.observation.size + task.action.size, HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, size),
            )
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=LEARNING_RATE, fused=True)
        self._mean, self._std = torch.zeros(self._sizes[0]), torch.ones(self._sizes[0])
        self._shift, self._change = torch.zeros(size), torch.ones(size)

    def fit_scales(self, rows: dict[str, NDArray[np.float32]]) -> None:
        """Take the statistics that inputs and outputs are normalised by."""
        observation = torch.from_numpy(rows["observation"])
        self._mean, self._std = observation.mean(0), _positive(observation.std(0))
        delta = self._delta(rows)
        self._shift, self._change = delta.mean(0), _positive(delta.std(0))

    def update(self, rows: dict[str, NDArray[np.float32]]) -> float:
        """One gradient update from a batch of transitions; returns the squared error, 1 for a constant guess."""
        predicted = self._net(self._inputs(torch.from_numpy(rows["observation"]), torch.from_numpy(rows["action"])))
        loss = (predicted - (self._delta(rows) - self._shift) / self._change).square().mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def step(self, observation: Tensor, achieved: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(N, O), (N, G), (N, A) -> the next (N, O), (N, G)."""
        delta = self._net(self._inputs(observation, action)) * self._change + self._shift
        seen, moved = delta.split(self._sizes, dim=-1)
        return observation + seen, achieved + moved

    def _inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        return torch.cat([((observation - self._mean) / self._std).clamp(-10, 10), action], -1)

    @staticmethod
    def _delta(rows: dict[str, NDArray[np.float32]]) -> Tensor:
        seen = rows["next_observation"] - rows["observation"]
        moved = rows["next_achieved"] - rows["achieved"]
        return torch.from_numpy(np.concatenate([seen, moved], axis=-1))


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > _TINY, scale, torch.ones_like(scale))


@dataclass(frozen=True)
class ModelBased:
    """Random shooting through a `DeltaModel`.

    Parameters
    ----------
    sequences, length : int
        Action sequences that are tried for each step, and how long they are [steps].
    config : TdmConfig
        Gives what is shared with the TDM: random phase, batch, updates a step.
    goals : int
        Fewer than for the others: a step of planning takes ten milliseconds or more.
    """

    sequences: int = 512
    length: int = 15
    config: TdmConfig = field(default_factory=TdmConfig)
    goals: int | None = 10
    horizon: int | None = None
    sums_rewards: ClassVar[bool] = True

    def train(self, trial: Trial) -> None:
        """Learn; a run that is killed begins anew."""
        task, run, config = trial.task, trial.run, self.config
        store, model = TrajectoryStore(task), DeltaModel(task, run.seed)
        rng = np.random.default_rng(np.random.SeedSequence([4, run.seed]))
        updates = 0

        def policy() -> Policy | None:
            return self.policy(model, task, run.seed) if updates else None

        while store.total < run.steps:
            start = store.total
            explore = Exploration(task.action.size, generator("train", run.seed, start))

            def act(now: PolicyInput, explore: Exploration = explore) -> NDArray[np.float32]:
                if store.total < config.learning_starts:
                    return explore.random()
                return self.plan(model, task, now, rng)

            for step, last in rollout(trial.env, task, act, reset_seed("train", run.seed, start)):
                store.add(step, last)
                if store.total == config.learning_starts:
                    model.fit_scales(store.rows(np.arange(store.total)))
                due = config.initial_gradient_steps + config.gradient_steps * (store.total - config.learning_starts)
                while store.total >= config.learning_starts and updates < due:
                    model.update(store.rows(store.draw(rng, (config.batch_size,))))
                    updates += 1
                trial.after_step(store.total, updates, policy)
                if store.total >= run.steps:
                    break

    def policy(self, model: DeltaModel, task: TaskSpec, seed: int) -> Policy:
        """The planner with random numbers of its own, so that judging does not disturb learning."""
        rng = np.random.default_rng(np.random.SeedSequence([5, seed]))
        return lambda now: self.plan(model, task, now, rng)

    def plan(
        self, model: DeltaModel, task: TaskSpec, now: PolicyInput, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """First action, (A,), of the sequence whose predicted states are nearest to the goal on average."""
        shape = (self.length, self.sequences, task.action.size)
        actions = rng.uniform(-1, 1, shape).astype(np.float32)
        observation = torch.from_numpy(now.observation).expand(self.sequences, -1)
        achieved = torch.from_numpy(now.achieved).expand(self.sequences, -1)
        score = np.zeros(self.sequences)
        for action in torch.from_numpy(actions):
            observation, achieved = model.step(observation, achieved, action)
            gap = task.goal.difference(now.goal, achieved.numpy()) / np.asarray(task.goal.scale)
            score += np.linalg.norm(gap, axis=-1)
        best: NDArray[np.float32] = actions[0, int(np.argmin(score))]
        return best
