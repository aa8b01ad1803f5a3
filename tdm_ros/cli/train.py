"""Learn a task in a bare simulation, without ROS; with --data, from recordings first.

Writes to --out: curve.png, metrics.csv, config.json, checkpoint/ and TensorBoard events. Ctrl-C saves what was
learned; the same command goes on from there, as it does, with the same result, after a crash. A task of your own:
`--task gym:ID` for any goal-conditioned Gymnasium environment, `--task module:factory` for a callable that returns one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--task", default="sawyer_reach", help="a name (docs/tasks.md), gym:ID or module:factory")
    add("--steps", type=int, default=5000, help="environment steps in all (default: %(default)s)")
    add("--seed", type=int, default=0, help="of goals, weights and noise (default: %(default)s)")
    add("--horizon", type=int, help="longest steps_left [steps]; 0: a one-step model (default: the task's)")
    add("--out", type=Path, required=True, help="directory to write, or to go on from")
    add(
        "--validate-every",
        type=int,
        default=500,
        help="steps between validations, 0: never (default: %(default)s)",
    )
    add(
        "--save-every",
        type=int,
        default=1000,
        help="steps between checkpoints, which are made between episodes (default: %(default)s)",
    )
    add(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="recordings to learn from before the first step: runs, logs, or Parquet or LeRobot datasets; "
        "--steps 0 learns from them alone",
    )
    add(
        "--offline-steps",
        type=int,
        metavar="N",
        help="gradient updates on the recordings (default: as many as their steps would allow if taken here)",
    )
    add("--action-noise", type=float, default=0.0, help="standard deviation [action units, the range is 2]")
    add("--observation-noise", type=float, default=0.0, help="standard deviation [parts of that of random play]")
    add("--compiled", action="store_true", help="let torch.compile make the update: faster, needs a C++ compiler")
    add("--device", default="cpu", help="where to learn: cpu, or cuda, cuda:1 for a GPU (default: %(default)s)")
    add("--preset", help="settings to start from: default, or paper, the authors' own (default: default)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of TdmConfig, as hidden=256; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train; return the exit status."""
    from tdm_ros.envs.wrappers import Noise
    from tdm_ros.files import FolderInUseError
    from tdm_ros.training.session import TrainingSession, configured

    try:
        session = TrainingSession(
            arguments.task,
            arguments.out,
            configured(arguments.set, arguments.steps, arguments.preset),
            arguments.seed,
            arguments.horizon,
            arguments.validate_every,
            arguments.save_every,
            Noise(arguments.action_noise, arguments.observation_noise) or None,
            arguments.data,
            arguments.offline_steps,
            arguments.compiled,
            arguments.device,
        )
        return session.run()
    except (ValueError, FileNotFoundError, FolderInUseError) as error:
        print(f"tdm_ros train: {error}", file=sys.stderr)
        return 2
