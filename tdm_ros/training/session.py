"""Training run in a folder: recordings, configuration, progress bar, metrics, TensorBoard, checkpoints, curve."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from tdm_ros.envs.goal_env import GoalEnv
from tdm_ros.envs.wrappers import Noise
from tdm_ros.files import FolderLock
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.callbacks import Callback, Checkpoints, CsvLogger, ProgressBar, TensorBoardLogger
from tdm_ros.training.checkpoint import INDEX, load_actor, load_learner
from tdm_ros.training.environment import (
    CHECKPOINT,
    checkpoint_folder,
    prepare_env,
    recorded_name,
    recorded_noise,
    write_json,
)
from tdm_ros.training.experience import read_experience
from tdm_ros.training.learner import Learner
from tdm_ros.training.library import TDM
from tdm_ros.training.metrics import FILE_NAME, UNSCORED, EpisodeRow, draw_curve, read_metrics

FILE = "recordings.json"


class Recordings:
    """Recordings that a run learns from before its first step; ``updates`` as for `TDM.learn_from`."""

    def __init__(self, paths: Sequence[Path], updates: int | None = None) -> None:
        self._paths, self._updates = [str(path.resolve()) for path in paths], updates

    def check_same(self, out: Path) -> None:
        """Raise ValueError, with both lists, if the run in a folder began with other recordings."""
        record = out / FILE
        found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {"paths": [], "updates": None}
        if (found["paths"], found["updates"]) != (self._paths, self._updates):
            raise ValueError(
                f"{out} was trained with recordings {found['paths']} and updates {found['updates']}, got "
                f"{self._paths} and {self._updates}; give another --out"
            )

    def learn(self, agent: TDM, out: Path) -> bool:
        """Learn from them and save the agent, unless that has been done; False after Ctrl-C.

        Raises ValueError if they cannot be used.
        """
        if not self._paths or agent.learner.transitions:
            return True
        from tqdm import tqdm

        found = read_experience([Path(path) for path in self._paths], agent.task, progress=True)
        for problem in found.problems:
            print(f"left out: {problem}", file=sys.stderr)
        count = len(found.steps)
        updates = agent.learner.config.gradient_steps * count if self._updates is None else self._updates
        print(f"{count} transitions from {len(self._paths)} recordings, {updates} updates", file=sys.stderr)
        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        try:
            with tqdm(total=updates, unit="update", smoothing=0.05, mininterval=pause_s) as bar:
                agent.learn_from(found, updates, bar.update)
        except KeyboardInterrupt:
            print("stopped while learning from recordings; the same command restarts", file=sys.stderr)
            return False
        out.mkdir(parents=True, exist_ok=True)
        content = {"paths": self._paths, "updates": self._updates, "transitions": count, "repeated": found.repeated}
        write_json(out / FILE, content)
        agent.save(out)
        return True


def _settings(learner: Learner, noise: Noise | None) -> dict[str, Any]:
    """Settings that a run must keep, by the options of `tdm_ros train` that give them; its task is checked before."""
    config = {f"--{name.replace('_', '-')}": value for name, value in asdict(learner.config).items()}
    noise = noise or Noise()
    noises = {"--env-action-noise": noise.action, "--env-observation-noise": noise.observation}
    return {"--horizon": learner.task.horizon, "--seed": learner.seed, **config, **noises}


class TrainingSession:
    """Training of a task in the run folder ``out``; continues an existing run.

    If it is killed, the same call continues from the last checkpoint, which was made between two episodes, and ends
    with the same weights as an uninterrupted run. The run ends at ``total_timesteps`` of the configuration.
    ``validate_every`` is the number of steps between two validations, 0: none, ``save_every`` the minimum number
    between two checkpoints [steps]. ``recordings`` are learned from before the first step, by ``offline_steps``
    updates, as for `TDM.learn_from`; the other arguments as for `TDM`. Raises ValueError if the task, a setting or the
    device is unknown, or ``out`` is a run of another task, seed, configuration or recordings. Raises FolderInUseError
    if another process writes ``out``.
    """

    def __init__(
        self,
        task_name: str,
        out: Path,
        config: TdmConfig,
        seed: int = 0,
        horizon: int | None = None,
        validate_every: int = 500,
        save_every: int = 1000,
        noise: Noise | None = None,
        recordings: Sequence[Path] = (),
        offline_steps: int | None = None,
        compiled: bool = False,
        device: str = "cpu",
    ) -> None:
        if config.total_timesteps < (0 if recordings else 1):
            raise ValueError(f"total_timesteps must be >= 1, got {config.total_timesteps}; 0 needs recordings")
        if offline_steps is not None and not recordings:
            raise ValueError(f"offline_steps is {offline_steps}, but no recording was given")
        if save_every < 1:
            raise ValueError(f"save_every must be >= 1 step, got {save_every}")
        self.out, self.validate_every, self.save_every = out, validate_every, save_every
        folder = out / CHECKPOINT
        self._recordings = Recordings(recordings, offline_steps)
        self._lock = FolderLock(out, "tdm_ros train")
        try:
            found = load_learner(folder, compiled=compiled, device=device) if (folder / INDEX).exists() else None
            env = prepare_env(task_name, horizon, noise, (folder, found.task) if found else None)
            self.agent = TDM(env, config, seed, horizon, noise=noise, compiled=compiled, device=device)
            if found:
                self._continue(folder, found)
        except BaseException:
            self._lock.release()
            raise

    def _continue(self, folder: Path, found: Learner) -> None:
        fresh = self.agent.learner
        self._recordings.check_same(self.out)
        kept = _settings(found, recorded_noise(folder))
        given = _settings(fresh, self.agent.noise)
        differ = [f"{name} (kept {kept[name]}, given {given[name]})" for name in given if kept[name] != given[name]]
        if differ:
            raise ValueError(
                f"the run in {self.out} was begun with other settings: {', '.join(differ)}: give the kept ones to "
                "continue it, or another --out for a new run"
            )
        self.agent.learner = found

    def run(self) -> int:
        """Train to the end; return 0, 130 after Ctrl-C, or 1 if the result could not be saved.

        The first Ctrl-C ends the run after the present episode, with checkpoint and curve, a second one immediately;
        the same command then continues from the last checkpoint. Raises ValueError if the environment returns values
        that are not finite or of the wrong size.
        """
        try:
            return self._run()
        finally:
            self._lock.release()

    def _run(self) -> int:
        if not self._recordings.learn(self.agent, self.out):
            return 130
        agent, stop, checkpoints = self.agent, _StopOnInterrupt(), Checkpoints(self.out, self.save_every)
        callbacks = [ProgressBar(), CsvLogger(self.out), TensorBoardLogger(self.out / "tensorboard"), checkpoints, stop]
        left = agent.learner.config.total_timesteps - agent.steps
        if left > 0:
            try:
                agent.learn(left, callbacks, self.validate_every)
            except KeyboardInterrupt:
                print(f"stopped; the same command continues from step {checkpoints.saved_at}", file=sys.stderr)
                return 130
            try:
                agent.save(self.out)
            except OSError as error:
                print(
                    f"{self.out} could not be saved ({error}): free disk space; the same command continues from step "
                    f"{checkpoints.saved_at}",
                    file=sys.stderr,
                )
                return 1
        if stop.requested:
            print(f"stopped at step {agent.steps}; the same command continues from there", file=sys.stderr)
        if (self.out / FILE_NAME).exists() and any(row.end not in UNSCORED for row in read_metrics(self.out)):
            title = f"{agent.task.name}, horizon {agent.task.horizon}, seed {agent.learner.seed}"
            print(f"curve: {draw_curve(self.out, title, agent.task.goal.unit)}", file=sys.stderr)
        print(f"checkpoint: {self.out / CHECKPOINT}", file=sys.stderr)
        return 130 if stop.requested else 0


class _StopOnInterrupt(Callback):
    """Stops the learning on Ctrl-C: after the present episode; a second Ctrl-C stops immediately."""

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def on_start(self, agent: TDM) -> None:
        self._before = signal.signal(signal.SIGINT, self._on_interrupt)

    def on_episode(self, agent: TDM, row: EpisodeRow) -> bool:
        return not self.requested

    def on_end(self, agent: TDM) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this episode; press Ctrl-C again to stop immediately", file=sys.stderr)


def load_run(run_dir: Path) -> tuple[GoalEnv, TaskSpec, NumpyActor]:
    """Load environment, task and policy of a run folder or of a checkpoint folder.

    Raises FileNotFoundError if there is no checkpoint. Raises ValueError if the checkpoint is damaged, or its
    environment cannot be made.
    """
    folder = checkpoint_folder(run_dir)
    actor, task = load_actor(folder)
    prepared = prepare_env(recorded_name(folder, task), task.horizon, recorded_noise(folder), (folder, task))
    return prepared.env, task, actor
