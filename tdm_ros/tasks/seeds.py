"""Disjoint streams of random numbers: training, validation and evaluation never share goals."""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["train", "validate", "evaluate"]
_STREAMS: dict[Purpose, int] = {"train": 0, "validate": 1, "evaluate": 2}


def generator(purpose: Purpose, seed: int, episode: int = 0) -> np.random.Generator:
    """Generator of one episode's goal and start; the streams of the three purposes are disjoint.

    "train", "validate" (during training) or "evaluate" (reported). Raises ValueError if ``seed`` or ``episode`` is
    negative.
    """
    if seed < 0 or episode < 0:
        raise ValueError(f"seed and episode must be >= 0, got {seed} and {episode}")
    return np.random.default_rng(np.random.SeedSequence([_STREAMS[purpose], seed, episode]))


def reset_seed(purpose: Purpose, seed: int, episode: int) -> int:
    """Seed for `gymnasium.Env.reset` of one episode."""
    return int(generator(purpose, seed, episode).integers(2**31))
