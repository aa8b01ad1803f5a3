"""List the weights that a run keeps, or go back to earlier ones.

A checkpoint folder keeps the newest weights, those before them, and older ones, one per doubling of the age. `rollback`
makes earlier ones the current ones, which the next start of the run continues from; it deletes nothing: later ones are
moved to checkpoint/rolled-back-N/. End the run first. Transitions stay in the log, and are learned from again.

Exit status: 0, success; 1, the current weights are damaged; 2, nothing could be done.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdm_ros.training.generations import Generation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="verb", required=True)
    one = verbs.add_parser("list", help="list the weights, newest first, and whether they are good")
    one.add_argument("run", type=Path, help="run folder, or its checkpoint folder")
    one = verbs.add_parser("rollback", help="make earlier weights the current ones")
    one.add_argument("run", type=Path, help="run folder, or its checkpoint folder")
    one.add_argument(
        "--to", default="", metavar="NAME", help="a name of the list (default: the newest good ones before)"
    )


def run(arguments: argparse.Namespace) -> int:
    from tdm_ros.training.environment import checkpoint_folder

    folder = checkpoint_folder(arguments.run)
    try:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist; give the folder of a run that has learned")
        return _list(folder) if arguments.action == "list" else _roll_back(folder, arguments.to)
    except (ValueError, OSError) as error:
        print(f"tdm_ros weights {arguments.action}: {error}", file=sys.stderr)
        return 2


def _list(folder: Path) -> int:
    from tdm_ros.training.checkpoint import problem_of
    from tdm_ros.training.generations import INDEX, generations, read_index

    current, found = (read_index(folder / INDEX) or {}).get("weights"), generations(folder)
    if not found:
        raise ValueError(
            f"{folder} has no weights with an index: older versions kept none; it has one after the next save"
        )
    print(f"{'':2}{'name':<28}{'saved':<21}{'transitions':>11}{'updates':>10}  {'after':<28}state")
    status = 0
    for one in found:
        problem, is_current = problem_of(one), one.files[1].name == current
        status = status or int(is_current and bool(problem))
        print(_row(one, is_current, problem))
    return status


def _row(one: Generation, is_current: bool, problem: str) -> str:
    index = one.index
    parent = str(index.get("parent", "")).removesuffix(".safetensors") or "-"
    numbers = f"{index.get('transitions', '?'):>11}{index.get('updates', '?'):>10}"
    state = f"damaged: {problem}" if problem else "good"
    return f"{'* ' if is_current else '  '}{one.name:<28}{index.get('saved', '?'):<21}{numbers}  {parent:<28}{state}"


def _roll_back(folder: Path, to: str) -> int:
    from tdm_ros.files import FolderLock
    from tdm_ros.training.checkpoint import roll_back_checkpoint

    with ExitStack() as locks:  # the trainer locks the checkpoint folder, `tdm_ros train` the folder above
        for one in (folder, folder.parent):
            locks.callback(FolderLock(one, "tdm_ros weights rollback").release)
        target = roll_back_checkpoint(folder, to)
    print(f"{folder} is at {target.name}; later weights are in {folder}/rolled-back-*")
    return 0
