"""Mode selection: ways of acting are compared by the final distances of training episodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import mannwhitneyu

from tdm_ros.replay import TrajectoryStore, sample_batches
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.agent import TdmAgent
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.tdm.features import Features

Way = Literal["align", "fine", "one_step"]
"""The TDM in equal parts, or with a fine end (`TdmConfig.running`); or a model that has learned one step only."""
WAYS: tuple[Way, ...] = get_args(Way)
NAMES: dict[Way, str] = {
    "align": "the TDM, an episode gone in equal parts",
    "fine": "the TDM with a fine end",
    "one_step": "the one-step model",
}
RECENT, LEAST = 20, 8
"""The last so many ends of each count, and from there on their last half; so many each must have before any is out."""
CHANCE = 0.005
"""One is out when chance alone would put it so far behind the nearest this seldom."""
CLOSES = 0.5
"""Part of the schedule of learning after which only the nearest is left, so that exploration goes on to the end."""


class Race:
    """Three ways to act, and which of them ends nearest.

    Training episodes go to the ways in turn, the last part of each without noise. A way is out when its ends are
    farther than those of the nearest beyond doubt (rank-sum test), or half of the schedule is over. A one-step model
    that is out learns no more; the TDM always does.

    Parameters
    ----------
    task : TaskSpec
    seed : int
    """

    def __init__(self, task: TaskSpec, seed: int) -> None:
        self.task = replace(task, horizon=0)
        self.agent: TdmAgent | None = None
        """The one-step model."""
        self.ends: dict[Way, list[float]] = {way: [] for way in WAYS}
        """Final distances of the episodes of each way [goal unit]."""
        self.left: list[Way] = list(WAYS)
        """The ways that are not out."""
        self._seed, self._rng = seed, np.random.default_rng(np.random.SeedSequence([5, seed]))

    @property
    def over(self) -> bool:
        """Whether one way only is left."""
        return len(self.left) == 1

    @property
    def turn(self) -> Way:
        """Whose the next episode is."""
        return min(self.left, key=lambda way: len(self.ends[way]))

    @property
    def acts(self) -> Way:
        """The way that is nearest so far; as long as one has had too few episodes to tell, the first that is left."""
        if self.over or min(len(self.ends[way]) for way in self.left) < LEAST:
            return self.left[0]
        return min(self.left, key=lambda way: np.median(self._recent(way)))

    def judge(self, way: Way, distance: float, progress: float) -> None:
        """Take in how far from its goal an episode of ``way`` ended [goal unit], with ``progress`` of the schedule."""
        self.ends[way].append(distance)
        if self.over or min(len(self.ends[way]) for way in self.left) < LEAST:
            return
        near = self._recent(nearest := self.acts)
        far = [w for w in self.left if mannwhitneyu(self._recent(w), near, alternative="greater").pvalue < CHANCE]
        self.left = [nearest] if progress >= CLOSES else [w for w in self.left if w not in far]

    def _recent(self, way: Way) -> list[float]:
        ends = self.ends[way]
        return ends[-max(RECENT, len(ends) // 2) :]

    def sentence(self) -> str:
        """Who acts, and why."""
        had = ", ".join(f"{way} {len(ends)}" for way, ends in self.ends.items())
        how = "nearest, and the race is over" if self.over else "nearest so far"
        if min(len(self.ends[way]) for way in self.left) < LEAST and not self.over:
            how = f"it takes {LEAST} episodes of each to tell who ends nearer"
        return f"{NAMES[self.acts]} acts: {how} (training episodes: {had})"

    def start(self, features: Features, config: TdmConfig, compiled: bool, device: str) -> TdmAgent:
        """Make the one-step model, with the statistics that the TDM has."""
        own = replace(features, horizon=0, reaches=np.ones(1, np.float32))
        self.agent = TdmAgent(self.task, config, own, self._seed, compiled, device)
        return self.agent

    def update(self, store: TrajectoryStore, count: int, progress: float) -> None:
        """Make ``count`` updates of the one-step model from its own draw of the experience; none if it is out."""
        if "one_step" not in self.left or self.agent is None:
            return
        config = self.agent.config
        shape = (count, config.batch_size)
        batches = sample_batches(store, config.goals, shape, self._rng, config.human_share, horizon=0)
        self.agent.update(batches, progress)

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        return {
            "ends": self.ends,
            "left": self.left,
            "acts": self.acts,
            "updates": self.agent.updates if self.agent else 0,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from `to_json` data; the weights are loaded into `agent`.

        Raises
        ------
        ValueError, LookupError, TypeError
            If it is damaged.
        """
        self.ends = {way: list(data["ends"][way]) for way in WAYS}
        self.left = list(data["left"])
        if not self.left or not set(self.left) <= set(WAYS):
            raise ValueError(f"race.left must name some of {', '.join(WAYS)}, got {self.left!r}")
        self._rng.bit_generator.state = data["rng"]
