"""Callbacks of `TDM.learn`: progress bar, metrics, TensorBoard, checkpoints."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tdm_ros.training.library import TDM, Callback
from tdm_ros.training.metrics import EpisodeRow, MetricsFile

__all__ = ["Callback", "Checkpoints", "CsvLogger", "ProgressBar", "TensorBoardLogger"]


class ProgressBar(Callback):
    """Progress bar on standard error, with the median final distance of the last ten training episodes."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._recent: list[float] = []

    def on_start(self, agent: TDM) -> None:
        """Show the bar."""
        from tqdm import tqdm

        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(total=agent.last_step, initial=agent.steps, unit="step", smoothing=0.05, mininterval=pause_s)

    def on_step(self, agent: TDM) -> None:
        """Advance the bar."""
        self._bar.update()

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Show the median final distance."""
        self._recent = [*self._recent[-9:], row.final_distance]
        text = f"last ten {np.median(self._recent):.4f} {agent.task.goal.unit}"
        self._bar.set_postfix_str(text, refresh=False)

    def on_end(self, agent: TDM) -> None:
        """Close the bar."""
        self._bar.close()


class CsvLogger(Callback):
    """Writes ``metrics.csv``, one row per episode; `tdm_ros report` plots it.

    Parameters
    ----------
    directory : Path or str
        Created if it does not exist. Rows after the agent's step, which a killed run has written after its last
        checkpoint, are removed when learning starts.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def on_start(self, agent: TDM) -> None:
        """Open the file."""
        self._file = MetricsFile(self.directory, agent.steps)

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Write the row."""
        self._file.append(row)

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        """Write the rows."""
        for row in rows:
            self._file.append(row)

    def on_end(self, agent: TDM) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger(Callback):
    """Writes final distances and losses as TensorBoard scalars over environment steps.

    Parameters
    ----------
    directory : Path or str
        Of the event files; TensorBoard hides what a killed run has written after its last checkpoint.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def on_start(self, agent: TDM) -> None:
        """Open an event file."""
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(self.directory, purge_step=agent.steps + 1 if agent.steps else None)

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Write the distance of the episode and the losses of the last updates."""
        self._board.add_scalar("train/final_distance", row.final_distance, row.step)
        self._board.add_scalar("loss/critic", agent.learner.losses.critic, row.step)
        self._board.add_scalar("loss/actor", agent.learner.losses.actor, row.step)

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        """Write the median over the validation goals."""
        median = float(np.median([row.final_distance for row in rows]))
        self._board.add_scalar("validate/final_distance", median, rows[-1].step)

    def on_end(self, agent: TDM) -> None:
        """Close the file."""
        self._board.close()


class Checkpoints(Callback):
    """Saves the agent at the end of episodes, so that a killed run continues to identical weights.

    Parameters
    ----------
    directory : Path or str
        As for `TDM.save`.
    every_steps : int
        Minimum number of steps between two checkpoints [steps].
    """

    def __init__(self, directory: Path | str, every_steps: int = 1000) -> None:
        self.directory, self.every_steps = Path(directory), every_steps
        self.saved_at = 0
        """Step of the last checkpoint [steps]."""
        self._tried_at = 0

    def on_start(self, agent: TDM) -> None:
        """Count from the present step."""
        self.saved_at = self._tried_at = agent.steps

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Save if a checkpoint is due; if that fails, warn and continue: the next one may succeed."""
        if agent.steps - self._tried_at < self.every_steps:
            return
        self._tried_at = agent.steps
        try:
            agent.save(self.directory)
            self.saved_at = agent.steps
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {agent.steps} ({error}): learning continues, the last one is of step "
                f"{self.saved_at}; free disk space for {self.directory}",
                stacklevel=2,
            )
