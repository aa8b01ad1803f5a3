"""A one-step model beside the TDM, taught by the same experience: it acts where its episodes end nearer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from tdm_ros.replay import TrajectoryStore, sample_batches
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features

RECENT, LEAST = 20, 8
"""Episodes of each that are compared, and how many each must have had before one of them can lose."""
CHANCE = 0.01
"""Which of the two ends nearer is settled when chance alone would tell them so far apart this seldom."""


class OneStep:
    """The one-step model, and who of the two ends nearer.

    Training episodes go to the two in turn, the last part of each without noise, until the ends of one are nearer
    beyond doubt (rank-sum test). From then on that one acts, with noise to the end. A one-step model that has lost
    learns no more; the TDM always does.

    Parameters
    ----------
    task : TaskSpec
    seed : int
    """

    def __init__(self, task: TaskSpec, seed: int) -> None:
        self.task = replace(task, horizon=0)
        self.agent: TdmAgent | None = None
        self.ends: tuple[list[float], list[float]] = ([], [])
        """Final distances of the episodes of the TDM and of the one-step model [goal unit]."""
        self.winner: int | None = None
        """0: the TDM, 1: the one-step model, None: not settled."""
        self._seed, self._rng = seed, np.random.default_rng(np.random.SeedSequence([5, seed]))

    @property
    def turn(self) -> int:
        """Whose the next episode is, as `winner` numbers them."""
        return (len(self.ends[0]) + len(self.ends[1])) % 2 if self.winner is None else self.winner

    @property
    def acts(self) -> bool:
        """Whether the one-step model is the one to act: it has won, or nothing is settled and it is ahead."""
        if self.winner is not None:
            return self.winner == 1
        medians = [float(np.median(ends[-RECENT:])) for ends in self.ends if len(ends) >= LEAST]
        return len(medians) == 2 and medians[1] < medians[0]

    def judge(self, turn: int, distance: float) -> None:
        """Take in how far from its goal an episode of ``turn`` ended [goal unit]."""
        self.ends[turn].append(distance)
        recent = [ends[-RECENT:] for ends in self.ends]
        if self.winner is None and min(map(len, recent)) >= LEAST and mannwhitneyu(*recent).pvalue < CHANCE:
            self.winner = int(np.median(recent[1]) < np.median(recent[0]))

    def sentence(self) -> str:
        """Who acts, and why."""
        had = f"{len(self.ends[0])} training episodes of the TDM and {len(self.ends[1])} of the one-step model"
        if self.winner is None and min(map(len, self.ends)) < LEAST:
            return f"the TDM acts: {had} are too few to tell whose ends are nearer, it takes {LEAST} of each"
        name, other = ("one-step model", "TDM") if self.acts else ("TDM", "one-step model")
        how = "beyond doubt" if self.winner is not None else "so far"
        return f"the {name} acts: its ends were nearer than those of the {other}, {how} ({had})"

    def start(self, features: Features, config: TdmConfig, compiled: bool, device: str) -> TdmAgent:
        """Make the model, with the statistics that the TDM has."""
        own = replace(features, horizon=0, reaches=np.ones(1, np.float32))
        self.agent = TdmAgent(self.task, config, own, self._seed, compiled, device)
        return self.agent

    def update(self, store: TrajectoryStore, count: int, progress: float) -> None:
        """Make ``count`` updates from its own draw of the experience; none if it has lost."""
        if self.winner == 0 or self.agent is None:
            return
        config = self.agent.config
        shape = (count, config.batch_size)
        batches = sample_batches(store, config.goals, shape, self._rng, config.human_share, horizon=0)
        self.agent.update(batches, progress)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        return {
            "ends": self.ends,
            "winner": self.winner,
            "acts": self.acts,
            "updates": self.agent.updates if self.agent else 0,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from `to_json` data; the weights are loaded into `agent`."""
        self.ends = (list(data["ends"][0]), list(data["ends"][1]))
        self.winner = data["winner"]
        self._rng.bit_generator.state = data["rng"]
