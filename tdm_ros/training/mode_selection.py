"""Mode selection: modes of acting are compared by the final distances of training episodes."""

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

PolicyMode = Literal["segments", "fine_segments", "one_step"]
"""The TDM with a horizon schedule (`TdmConfig.horizon_schedule`), or a model that is learned for one step only."""
MODES: tuple[PolicyMode, ...] = get_args(PolicyMode)
DESCRIPTIONS: dict[PolicyMode, str] = {
    "segments": "the TDM with equal segments",
    "fine_segments": "the TDM with a finely divided last segment",
    "one_step": "the one-step model",
}
RECENT_EPISODES, MIN_EPISODES = 20, 8
"""Compared episodes per mode: the most recent ones, or the more recent half of all, if that is more; and the number
that each mode needs before any is excluded."""
SIGNIFICANCE = 0.005
"""A mode is excluded if the rank-sum test against the best one gives a smaller p-value."""
DECISION_PROGRESS = 0.5
"""Fraction of the training after which only the best mode remains."""


class ModeSelection:
    """Comparison of three modes of acting by the final distances of training episodes.

    The candidates take turns, one training episode each, without noise in its last part. A mode is excluded when its
    final distances are significantly larger than those of the best one (rank-sum test), or at `DECISION_PROGRESS`.
    The one-step model is not updated once it is excluded; the TDM always is.

    Parameters
    ----------
    task : TaskSpec
    seed : int
    """

    def __init__(self, task: TaskSpec, seed: int) -> None:
        self.task = replace(task, horizon=0)
        self.agent: TdmAgent | None = None
        """The one-step model."""
        self.final_distances: dict[PolicyMode, list[float]] = {mode: [] for mode in MODES}
        """Final distances of the episodes of each mode [goal unit]."""
        self.candidates: list[PolicyMode] = list(MODES)
        """Modes that are not excluded."""
        self._seed, self._rng = seed, np.random.default_rng(np.random.SeedSequence([5, seed]))

    @property
    def decided(self) -> bool:
        """Whether one candidate remains."""
        return len(self.candidates) == 1

    @property
    def next_mode(self) -> PolicyMode:
        """Mode of the next training episode."""
        return min(self.candidates, key=lambda mode: len(self.final_distances[mode]))

    @property
    def selected(self) -> PolicyMode:
        """The best mode so far; the first candidate as long as one has fewer than `MIN_EPISODES` episodes."""
        if self.decided or not self._comparable:
            return self.candidates[0]
        return min(self.candidates, key=lambda mode: np.median(self._recent(mode)))

    def record(self, mode: PolicyMode, distance: float, progress: float) -> None:
        """Add the final distance of an episode of ``mode`` [goal unit], at ``progress`` of the training in [0, 1]."""
        self.final_distances[mode].append(distance)
        if self.decided or not self._comparable:
            return
        best = self.selected
        distances = self._recent(best)

        def worse(mode: PolicyMode) -> bool:
            return bool(mannwhitneyu(self._recent(mode), distances, alternative="greater").pvalue < SIGNIFICANCE)

        self.candidates = [best] if progress >= DECISION_PROGRESS else [m for m in self.candidates if not worse(m)]

    @property
    def _comparable(self) -> bool:
        return min(len(self.final_distances[mode]) for mode in self.candidates) >= MIN_EPISODES

    def _recent(self, mode: PolicyMode) -> list[float]:
        distances = self.final_distances[mode]
        return distances[-max(RECENT_EPISODES, len(distances) // 2) :]

    def describe(self) -> str:
        """The selected mode and the reason, as one sentence."""
        counts = ", ".join(f"{mode} {len(distances)}" for mode, distances in self.final_distances.items())
        reason = "smallest final distance" if self.decided else "smallest final distance so far"
        if not self._comparable and not self.decided:
            reason = f"a comparison needs {MIN_EPISODES} episodes of each mode"
        return f"selected mode: {DESCRIPTIONS[self.selected]}: {reason} (training episodes: {counts})"

    def make_agent(self, features: Features, config: TdmConfig, compiled: bool, device: str) -> TdmAgent:
        """Make the one-step model, with the statistics of the TDM."""
        own = replace(features, horizon=0, reachable_distances=np.ones(1, np.float32))
        self.agent = TdmAgent(self.task, config, own, self._seed, compiled, device)
        return self.agent

    def update(self, store: TrajectoryStore, count: int, progress: float) -> None:
        """Make ``count`` updates of the one-step model from own batches; none if it is excluded."""
        if "one_step" not in self.candidates or self.agent is None:
            return
        config = self.agent.config
        shape = (count, config.batch_size)
        batches = sample_batches(store, config.goals, shape, self._rng, config.operator_fraction, horizon=0)
        self.agent.update(batches, progress)

    def to_json(self) -> dict[str, Any]:
        """Content of a checkpoint, without the weights."""
        return {
            "final_distances": self.final_distances,
            "candidates": self.candidates,
            "selected": self.selected,
            "updates": self.agent.updates if self.agent else 0,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Continue from `to_json` data; the weights are loaded into `agent` separately.

        Raises
        ------
        ValueError, LookupError, TypeError
            If the data are damaged.
        """
        self.final_distances = {mode: list(data["final_distances"][mode]) for mode in MODES}
        self.candidates = list(data["candidates"])
        if not self.candidates or not set(self.candidates) <= set(MODES):
            raise ValueError(f"mode_selection.candidates must be some of {', '.join(MODES)}, got {self.candidates!r}")
        self._rng.bit_generator.state = data["rng"]
