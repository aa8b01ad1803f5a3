"""Callbacks of `TDM.learn`: progress bar, metrics, TensorBoard, checkpoints."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tdm_ros.training.arguments import as_path, described, whole_number
from tdm_ros.training.metrics import EpisodeRow, MetricsFile
from tdm_ros.training.online import OnlineTrainer

if TYPE_CHECKING:
    from tdm_ros.training.library import TDM


class Callback:
    """Base class of the callbacks of `TDM.learn`; override the methods that you need.

    ``on_start`` and ``on_end`` enclose each call of `TDM.learn`; ``on_end`` is also called after an error. The
    learning stops if a method returns a false value other than ``None``: ``on_step`` at once, which interrupts the
    episode, ``on_episode`` between two episodes, so that a checkpoint made there continues identically.
    """

    def on_start(self, agent: TDM) -> None:
        """Learning starts, or continues, after ``agent.steps`` steps."""

    def on_step(self, agent: TDM) -> bool | None:
        """A step and the updates that are due after it have been made."""

    def on_episode(self, agent: TDM, row: EpisodeRow) -> bool | None:
        """A training episode has ended; ``row.mode == "train"``."""

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        """A validation has ended, with one row per goal."""

    def on_end(self, agent: TDM) -> None:
        """Learning has ended or pauses."""


class _StopTrainingError(Exception):
    """A callback has stopped the learning."""


class CallbackList:
    """Calls the methods of callbacks during one `OnlineTrainer` run, and stops it if one of them returns a false value.

    Parameters as of `TDM.learn`.

    Raises
    ------
    ValueError
        If ``callback`` is something else, or one of its methods has other arguments.
    """

    def __init__(self, agent: TDM, callback: Callback | Sequence[Callback] | None, progress_bar: bool) -> None:
        self._agent = agent
        several = [] if callback is None else callback
        self._callbacks = [*several] if isinstance(several, Sequence) else [several]
        for one in self._callbacks:
            _check_callback(one)
        if progress_bar:
            self._callbacks.append(ProgressBar())
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
        except _StopTrainingError:
            pass
        finally:
            for callback in started:
                callback.on_end(self._agent)

    def on_step(self) -> None:
        """Called by the trainer after each step."""
        self._stop_if_false([callback.on_step(self._agent) for callback in self._callbacks])

    def on_episode(self, row: EpisodeRow) -> None:
        """Called by the trainer after each training and validation episode."""
        if row.mode != "validate":
            self._stop_if_false([callback.on_episode(self._agent, row) for callback in self._callbacks])
            return
        self._validated.append(row)
        if len(self._validated) == self._size:
            rows, self._validated = tuple(self._validated), []
            for callback in self._callbacks:
                callback.on_validation(self._agent, rows)

    def _stop_if_false(self, results: list[bool | None]) -> None:
        if any(result is not None and not result for result in results):
            raise _StopTrainingError


def _check_callback(callback: Any) -> None:
    """Raise `ValueError` if it is not a `Callback`, or one of its methods has other arguments."""
    if not isinstance(callback, Callback):
        remedy = "write a subclass of tdm_ros.training.callbacks.Callback with on_step(self, agent)"
        if isinstance(callback, type) and issubclass(callback, Callback):
            remedy = f"call it, {callback.__name__}()"
        raise ValueError(f"callback must be a Callback or a sequence of them, got {described(callback)}: {remedy}")
    for name, method in inspect.getmembers(Callback, inspect.isfunction):
        expected, given = list(inspect.signature(method).parameters), inspect.signature(getattr(callback, name))
        try:
            given.bind(*expected[1:])
        except TypeError:
            raise ValueError(
                f"{type(callback).__name__}.{name} must take the arguments {', '.join(expected[1:])}, got {given}: "
                f"write def {name}({', '.join(expected)})"
            ) from None


class ProgressBar(Callback):
    """Progress bar on standard error, with the median final distance of the last ten training episodes."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._recent: list[float] = []

    def on_start(self, agent: TDM) -> None:
        from tqdm import tqdm

        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(total=agent.last_step, initial=agent.steps, unit="step", smoothing=0.05, mininterval=pause_s)

    def on_step(self, agent: TDM) -> None:
        self._bar.update()

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        self._recent = [*self._recent[-9:], row.final_distance]
        text = f"last ten {np.median(self._recent):.4f} {agent.task.goal.unit}"
        self._bar.set_postfix_str(text, refresh=False)

    def on_end(self, agent: TDM) -> None:
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
        self.directory = as_path("directory", directory)

    def on_start(self, agent: TDM) -> None:
        self._file = MetricsFile(self.directory, agent.steps)

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        self._file.append(row)

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        for row in rows:
            self._file.append(row)

    def on_end(self, agent: TDM) -> None:
        self._file.close()


class TensorBoardLogger(Callback):
    """Writes final distances and losses as TensorBoard scalars over environment steps.

    Parameters
    ----------
    directory : Path or str
        Of the event files; TensorBoard hides what a killed run has written after its last checkpoint.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = as_path("directory", directory)

    def on_start(self, agent: TDM) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(self.directory, purge_step=agent.steps + 1 if agent.steps else None)

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        self._board.add_scalar("train/final_distance", row.final_distance, row.step)
        self._board.add_scalar("loss/critic", agent.learner.losses.critic, row.step)
        self._board.add_scalar("loss/actor", agent.learner.losses.actor, row.step)

    def on_validation(self, agent: TDM, rows: tuple[EpisodeRow, ...]) -> None:
        median = float(np.median([row.final_distance for row in rows]))
        self._board.add_scalar("validate/final_distance", median, rows[-1].step)

    def on_end(self, agent: TDM) -> None:
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
        self.directory, self.every_steps = as_path("directory", directory), whole_number("every_steps", every_steps, 1)
        self.saved_at = 0
        """Step of the last checkpoint [steps]."""
        self._tried_at = 0

    def on_start(self, agent: TDM) -> None:
        self.saved_at = self._tried_at = agent.steps

    def on_episode(self, agent: TDM, row: EpisodeRow) -> None:
        """Save if a checkpoint is due; if that fails, warn and continue: the next one may succeed."""
        if agent.steps - self._tried_at < self.every_steps:
            return
        self._tried_at = agent.steps
        try:
            agent.save(self.directory)
            self.saved_at = agent.steps
        except (OSError, FloatingPointError) as error:
            warnings.warn(
                f"no checkpoint at step {agent.steps} ({error}): learning continues, the last one is of step "
                f"{self.saved_at}; free disk space for {self.directory}",
                stacklevel=2,
            )
