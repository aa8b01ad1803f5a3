"""A training run on disk: configuration, progress bar, metrics, TensorBoard, checkpoints, the curve."""

from __future__ import annotations

import ast
import json
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import numpy as np

import tdm_ros
from tdm_ros.sim.goal_env import GoalEnv, make_goal_env
from tdm_ros.tasks import TaskSpec
from tdm_ros.tdm.actor import NumpyActor
from tdm_ros.tdm.config import TdmConfig
from tdm_ros.training.checkpoint import INDEX, load_actor, load_learner, save_checkpoint
from tdm_ros.training.learner import Learner
from tdm_ros.training.metrics import EpisodeRow, MetricsFile, read_metrics
from tdm_ros.training.online import OnlineTrainer, Schedule
from tdm_ros.training.report import draw_curve

CHECKPOINT = "checkpoint"
SAVE_EVERY_STEPS = 1000


class _InterruptedError(Exception):
    """A person pressed Ctrl-C; raised between two steps."""


class TrainingSession:
    """Trains a task into a directory, or goes on with what is there.

    Parameters
    ----------
    task_name : str
        As `make_goal_env` takes it.
    out : Path
    config : TdmConfig
        Its ``total_steps`` is where the run ends.
    seed : int
    horizon : int, optional
        Longest ``steps_left`` [steps]; by default the task's own.
    validate_every : int
        Steps between looks at the validation goals; 0: never.

    Raises
    ------
    ValueError
        If the task or a setting is unknown, or ``out`` holds a run of another task, seed or configuration.
    """

    def __init__(
        self,
        task_name: str,
        out: Path,
        config: TdmConfig,
        seed: int = 0,
        horizon: int | None = None,
        validate_every: int = 500,
    ) -> None:
        self.out, self.steps = out, config.total_steps
        env, task = make_goal_env(task_name, horizon)
        self.learner = self._learner(Learner(task, config, seed))
        schedule = Schedule(self.steps, validate_every)
        test_env = make_goal_env(task_name, horizon)[0]
        self.trainer = OnlineTrainer(env, test_env, self.learner, schedule, self._on_episode, self._on_step)
        self._task_name = task_name
        self._stop = False
        self._recent: list[float] = []

    def _learner(self, fresh: Learner) -> Learner:
        folder = self.out / CHECKPOINT
        if not (folder / INDEX).exists():
            return fresh
        found = load_learner(folder, fresh.task)
        for name in ("task", "config", "seed"):
            old, new = getattr(found, name), getattr(fresh, name)
            if old != new:
                raise ValueError(f"{folder} was trained with {name} {old}, asked for {new}; give another --out")
        return found

    def run(self) -> int:
        """Train to the end; return 0, or 130 after Ctrl-C. Either way the checkpoint and the curve are written."""
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm

        self.out.mkdir(parents=True, exist_ok=True)
        self._write_config()
        self._metrics = MetricsFile(self.out)
        self.trainer.episode = sum(row.mode == "train" for row in read_metrics(self.out))
        self._board = SummaryWriter(self.out / "tensorboard")
        before = signal.signal(signal.SIGINT, self._on_interrupt)
        pause_s = 0.1 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=self.steps, initial=self.learner.transitions, unit="step", smoothing=0.05, mininterval=pause_s
        )
        status = 0
        try:
            self.trainer.run()
        except _InterruptedError:
            status = 130
        finally:
            signal.signal(signal.SIGINT, before)
            self._bar.close()
            self._board.close()
            self._metrics.close()
        save_checkpoint(self.out / CHECKPOINT, self.learner)
        if status:
            print(
                f"stopped at step {self.learner.transitions}; the same command goes on from there",
                file=sys.stderr,
            )
        if self.trainer.episode:
            print(f"curve: {draw_curve(self.out, self._title(), self.learner.task.goal.unit)}", file=sys.stderr)
        print(f"checkpoint: {self.out / CHECKPOINT}", file=sys.stderr)
        return status

    def _title(self) -> str:
        learner = self.learner
        return f"{learner.task.name}, horizon {learner.task.horizon}, seed {learner.seed}"

    def _write_config(self) -> None:
        learner = self.learner
        packages = {name: version(name) for name in ("torch", "numpy", "gymnasium", "mujoco", "safetensors")}
        content = {
            "task": learner.task.to_json(),
            "task_name": self._task_name,
            "learner": learner.config.to_json(),
            "seed": learner.seed,
            "schedule": asdict(self.trainer.schedule),
            "versions": {"tdm_ros": tdm_ros.__version__, "python": platform.python_version(), **packages},
        }
        (self.out / "config.json").write_text(json.dumps(content, indent=1), encoding="utf-8")

    def _on_interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._stop = True

    def _on_step(self) -> None:
        learner = self.learner
        self._bar.update()
        if learner.transitions % SAVE_EVERY_STEPS == 0:
            save_checkpoint(self.out / CHECKPOINT, learner)
        if self._stop:
            raise _InterruptedError

    def _on_episode(self, row: EpisodeRow) -> None:
        self._metrics.append(row)
        self._board.add_scalar(f"{row.mode}/final_distance", row.final_distance, row.step)
        if row.mode == "train":
            self._recent = [*self._recent[-9:], row.final_distance]
            losses = self.learner.losses
            self._board.add_scalar("loss/critic", losses.critic, row.step)
            self._board.add_scalar("loss/actor", losses.actor, row.step)
            unit = self.learner.task.goal.unit
            self._bar.set_postfix_str(f"last ten {np.median(self._recent):.4f} {unit}", refresh=False)


def load_run(run_dir: Path) -> tuple[GoalEnv, TaskSpec, NumpyActor]:
    """Load what an evaluation needs: the environment, its task and the policy of a run (or of its checkpoint).

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint.
    ValueError
        If it is damaged, or its environment can not be made.
    """
    folder = run_dir / CHECKPOINT if (run_dir / CHECKPOINT).is_dir() else run_dir
    actor, task = load_actor(folder)
    env, found = make_goal_env(_environment_of(folder.parent, task), task.horizon)
    if found.fingerprint != task.fingerprint:
        raise ValueError(f"{folder} was learned for {task.fingerprint}, its environment is now {found.fingerprint}")
    return env, task, actor


def _environment_of(run_dir: Path, task: TaskSpec) -> str:
    """The name that `make_goal_env` knows the task by: as the run wrote it, else one of our own tasks."""
    config = run_dir / "config.json"
    if config.exists():
        name = json.loads(config.read_text(encoding="utf-8")).get("task_name")
        if name:
            return str(name)
    return task.name.removesuffix("_velocity")


def configured(settings: Sequence[str], steps: int) -> TdmConfig:
    """Make the configuration that ``NAME=VALUE`` settings and a number of steps ask for.

    Raises
    ------
    ValueError
        If a setting has no value, an unknown name, or is out of range.
    """
    config = TdmConfig(total_steps=steps)
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            config = replace(config, **{name: ast.literal_eval(text)})
        except (TypeError, SyntaxError) as error:
            known = ", ".join(asdict(config))
            raise ValueError(f"a setting is NAME=VALUE with one of {known}, got {setting!r}") from error
    return config
