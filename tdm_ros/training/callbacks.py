"""Callbacks of `TDM.learn`: progress, metrics, TensorBoard, checkpoints. Each of them can stop it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdm_ros.training.metrics import EpisodeRow, MetricsFile

if TYPE_CHECKING:
    from tdm_ros.training.library import TDM
    from tdm_ros.training.online import OnlineTrainer


class Callback:
    """Every hook does nothing here; override the ones that you want.

    ``on_start`` and ``on_end`` enclose each call of `TDM.learn`; ``on_end`` comes after an error, too. A hook that
    returns ``False`` (not ``None``) stops the learning: ``on_step`` at once, which cuts the episode, ``on_episode``
    between two episodes, so that a checkpoint made there goes on as if nothing had happened.
    """

    def on_start(self, agent: TDM) -> None:
        """Learning begins, or goes on after a pause: ``agent.steps`` steps have been taken."""

    def on_step(self, agent: TDM) -> bool | None:
        """A step was taken and the updates that it allows were made."""

    def on_episode(self, agent: TDM, row: EpisodeRow) -> bool | None:
        """A training episode has ended; its row has ``row.mode == "train"``."""

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        """The policy was tried on the validation goals, without noise; a row for each of them."""

    def on_end(self, agent: TDM) -> None:
        """Learning is over or paused."""


class ProgressBar(Callback):
    """A bar on standard error with the median final distance of the last ten training episodes."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._recent: list[float] = []

    def on_start(self, agent: TDM) -> None:
        """Show the bar."""
        from tqdm import tqdm

        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(total=agent.last_step, initial=agent.steps, unit="step", smoothing=0.05, mininterval=pause_s)

    def on_step(self, agent: TDM) -> None:
        """Move it."""
        self._bar.update()

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Say how the last ten went."""
        self._recent = [*self._recent[-9:], row.final_distance]
        text = f"last ten {np.median(self._recent):.4f} {agent.task.goal.unit}"
        self._bar.set_postfix_str(text, refresh=False)

    def on_end(self, agent: TDM) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class CsvLogger(Callback):
    """Writes ``metrics.csv``: a row for each episode, as `tdm_ros report` draws it.

    Parameters
    ----------
    directory : Path or str
        Created if need be. Rows of steps that the agent has not seen (a killed run had written them after its last
        checkpoint) are dropped when learning starts: they will be written again.
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
        Of the event files; what a killed run had written after the agent's last checkpoint is hidden.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def on_start(self, agent: TDM) -> None:
        """Open a file of events."""
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
        """Close it."""
        self._board.close()


class Checkpoints(Callback):
    """Saves the agent at the end of an episode, so that a run killed at any moment goes on to the very same weights.

    Parameters
    ----------
    directory : Path or str
        As `TDM.save` takes it.
    every_steps : int
        Least number of steps between two [steps].
    """

    def __init__(self, directory: Path | str, every_steps: int = 1000) -> None:
        self.directory, self.every_steps = Path(directory), every_steps
        self.saved_at = 0
        """Step of the last one [steps]."""
        self._tried_at = 0

    def on_start(self, agent: TDM) -> None:
        """Count from here."""
        self.saved_at = self._tried_at = agent.steps

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Save when it is time; where that fails, warn and learn on: there may be room the next time."""
        if agent.steps - self._tried_at < self.every_steps:
            return
        self._tried_at = agent.steps
        try:
            agent.save(self.directory)
            self.saved_at = agent.steps
        except OSError as error:
            warnings.warn(
                f"no checkpoint at step {agent.steps} ({error}): learning goes on, the last one is of step "
                f"{self.saved_at}; make room in {self.directory}",
                stacklevel=2,
            )


class _StopError(Exception):
    """A callback has said that it is enough."""


class Watch:
    """Passes the hooks of one `OnlineTrainer` run on to callbacks, and ends it when one of them says so."""

    def __init__(self, agent: TDM, callbacks: Sequence[Callback]) -> None:
        self._agent, self._callbacks = agent, callbacks
        self._validated: list[EpisodeRow] = []

    def run(self, trainer: OnlineTrainer) -> None:
        """Train to the end, or until a callback stops it."""
        self._size = trainer.schedule.validate_episodes
        started: list[Callback] = []
        try:
            for callback in self._callbacks:
                callback.on_start(self._agent)
                started.append(callback)
            trainer.run()
        except _StopError:
            pass
        finally:
            for callback in started:
                callback.on_end(self._agent)

    def on_step(self) -> None:
        """Hook of the trainer."""
        answers = [callback.on_step(self._agent) for callback in self._callbacks]
        if any(answer is False for answer in answers):
            raise _StopError

    def on_episode(self, row: EpisodeRow) -> None:
        """Hook of the trainer, for training and validation episodes."""
        if row.mode == "validate":
            self._validated.append(row)
            if len(self._validated) == self._size:
                rows, self._validated = tuple(self._validated), []
                for callback in self._callbacks:
                    callback.on_validation(self._agent, rows)
            return
        answers = [callback.on_episode(self._agent, row) for callback in self._callbacks]
        if any(answer is False for answer in answers):
            raise _StopError
