"""Learn a task in a bare simulation, without ROS; with --data, from recordings first.

Writes to --out: curve.png, metrics.csv, config.json, checkpoint/ and TensorBoard events. Ctrl-C saves the run; the same
command continues it, also after a crash, to the same result. Other tasks: `--task gym:ID` for any goal-conditioned
Gymnasium environment, `--task module:factory` for a callable that returns one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--task",
        default="sawyer_reach",
        help="a name (docs/tasks.md), reach:ROBOT, push:ROBOT, gym:ID or module:factory",
    )
    add("--total-timesteps", "--steps", type=int, default=5000, metavar="N", help="environment steps (%(default)s)")
    add("--seed", type=int, default=0, help="of goals, weights and noise (%(default)s)")
    add("--horizon", type=int, help="longest steps_left [steps]; 0: a one-step model (the task's own)")
    add("--out", type=Path, required=True, help="run folder to write or to continue")
    add("--validate-every", type=int, default=500, help="steps between validations, 0: none (%(default)s)")
    add("--save-every", type=int, default=1000, help="steps between checkpoints, at ends of episodes (%(default)s)")
    add(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="recordings to learn from before the first step: run folders, logs, or Parquet or LeRobot datasets; "
        "with --steps 0 nothing else",
    )
    add("--offline-steps", type=int, metavar="N", help="gradient updates on the recordings (gradient_steps each)")
    add("--env-action-noise", type=float, default=0.0, help="standard deviation of noise on executed actions [-1..1]")
    add("--env-observation-noise", type=float, default=0.0, help="the same on observations [std of random motion]")
    add("--compiled", action="store_true", help="compile the update with torch.compile; needs a C++ compiler")
    add("--device", default="cpu", help="device of the updates: cpu, or cuda, cuda:1 for a GPU (%(default)s)")
    add("--preset", default="default", help="initial learner settings: default, or paper (%(default)s)")
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """One option per field of `TdmConfig`."""
    from tdm_ros.tdm.config import TdmConfig

    group = parser.add_argument_group("learner settings", "fields of TdmConfig, described in docs/api.md")
    defaults = TdmConfig()
    for name, kind in get_type_hints(TdmConfig).items():
        if name == "total_timesteps":
            continue
        default = getattr(defaults, name)
        options: dict[str, Any] = {"type": kind, "metavar": type(default).__name__.upper()}
        if kind is bool:
            options = {"action": argparse.BooleanOptionalAction}
        elif choices := get_args(kind):
            options = {"choices": choices}
        elif name == "goals":
            options, default = {"type": json.loads, "metavar": "JSON"}, "fields of GoalMix"
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, dest=f"setting_{name}", default=None, help=f"({default})", **options)


def configured(arguments: argparse.Namespace) -> Any:
    """The `TdmConfig` of the preset, the learner settings and the number of steps, or a ValueError."""
    from dataclasses import replace

    from tdm_ros.tdm.config import TdmConfig

    config = TdmConfig.preset(arguments.preset)
    given = {name.removeprefix("setting_"): value for name, value in vars(arguments).items() if name[:8] == "setting_"}
    settings = {name: value for name, value in given.items() if value is not None}
    try:
        if "goals" in settings:
            settings["goals"] = replace(config.goals, **settings["goals"])
        return replace(config, **settings, total_timesteps=arguments.total_timesteps)
    except TypeError as error:
        raise ValueError(f"--goals must be a JSON object with fields of GoalMix: {error}") from error


def run(arguments: argparse.Namespace) -> int:
    from tdm_ros.envs.wrappers import Noise
    from tdm_ros.files import FolderInUseError
    from tdm_ros.training.session import TrainingSession

    try:
        session = TrainingSession(
            arguments.task,
            arguments.out,
            configured(arguments),
            arguments.seed,
            arguments.horizon,
            arguments.validate_every,
            arguments.save_every,
            Noise(arguments.env_action_noise, arguments.env_observation_noise) or None,
            arguments.data,
            arguments.offline_steps,
            arguments.compiled,
            arguments.device,
        )
        return session.run()
    except (ValueError, FileNotFoundError, FolderInUseError) as error:
        print(f"tdm_ros train: {error}", file=sys.stderr)
        return 2
