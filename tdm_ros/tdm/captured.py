"""Update as a CUDA graph: one launch instead of one per kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tdm_ros.tdm.update import Inputs, State

Step = Callable[[State, Inputs, Tensor], tuple[State, Tensor]]
"""As `Update.step`: state, batch and numbers in, the new state and (2,) losses out."""

WARM_UP = 3
"""Calls before the capture, in which libraries and compilers make up their minds."""


class CapturedStep:
    """A step on a GPU, captured as a graph when it is first called, for batches of that size.

    A graph reads and writes the same memory each time, so the state that is handed back is changed in place by the
    next call. What the caller has put in the place of a part of it is copied in.

    Parameters
    ----------
    step : callable
        A pure function of tensors on one CUDA device, eager or compiled.

    Source: CUDA graphs, as `torch.cuda.graph` captures them.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._state: State = {}
        self._given: list[Tensor] = []
        self._loss = torch.empty(0)

    def __call__(self, state: State, x: Inputs, numbers: Tensor) -> tuple[State, Tensor]:
        """Make one update: as `Update.step`."""
        if self._graph is None:
            self._capture(state, x, numbers)
        for mine, given in zip(self._given, (*x, numbers), strict=True):
            mine.copy_(given)
        for name, value in state.items():
            if value is not self._state[name]:
                self._state[name].copy_(value)
        assert self._graph is not None
        self._graph.replay()
        return dict(self._state), self._loss.clone()

    def _capture(self, state: State, x: Inputs, numbers: Tensor) -> None:
        self._state = {name: value.clone() for name, value in state.items()}
        self._given = [value.clone() for value in (*x, numbers)]
        mine, at = Inputs(*self._given[:-1]), self._given[-1]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._step(self._state, mine, at)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            new, self._loss = self._step(self._state, mine, at)
            for name, value in new.items():
                if value is not self._state[name]:
                    self._state[name].copy_(value)
        self._graph = graph
