"""Plot the learning curve of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run folder")


def run(arguments: argparse.Namespace) -> int:
    from tdm_ros.training.metrics import draw_curve

    try:
        print(draw_curve(arguments.run))
    except (ValueError, FileNotFoundError) as error:
        print(f"tdm_ros report: {error}", file=sys.stderr)
        return 2
    return 0
