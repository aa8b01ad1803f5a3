"""Inspect, trim, merge, validate, export and prune recordings.

A recording is a run folder, its log_mcap/, an MCAP file (also of `ros2 bag record`), or a Parquet or LeRobot dataset
that `convert` wrote. Nothing is overwritten, and `prune` alone removes files. A damaged file gives a sentence and every
whole message in it.

Exit status: 0, success; 1, done, but something is damaged or wrong (one sentence per finding on standard error);
2, nothing could be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdm_ros.data.recording import Recording
    from tdm_ros.data.table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="verb", required=True)

    def verb(name: str, text: str, nargs: int | str = 1, out: str = "") -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        limit = "memory that a recording may take when unpacked (default: 20 times its size, at least 1)"
        made.add_argument("--unpack-limit", type=_bytes_of_gigabytes, metavar="GB", help=limit)
        made.add_argument("paths", nargs=nargs, type=Path, default=[Path("runs")], metavar="PATH")
        if out:
            made.add_argument("--out", type=Path, required=True, help=out)
        return made

    one = verb("list", "list the recordings below some folders (default: runs)", "*")
    one.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    one = verb("inspect", "count what recordings contain: sources, episodes, goals reached, interventions, gaps", "+")
    one.add_argument("--json", action="store_true", help="print a JSON list instead of text")
    verb("plot", "plot a recording: sources of commands, final distances, trajectory, actions", out="image file, .png")
    merged = "join recordings of one task in the order of time; duplicate messages are kept once"
    verb("merge", merged, "+", out="a new folder")
    one = verb("trim", "keep a part of a recording", out="a new folder")
    one.add_argument("--start", type=float, help="seconds after the first transition")
    one.add_argument("--end", type=float, help="seconds after the first transition")
    one.add_argument("--episodes", help="numbers and ranges, for example 3,5-8; 0: motions home")
    one.add_argument("--sources", nargs="+", metavar="SOURCE", help="policy, human, random, reset, safety")
    verb("validate", "check that recordings are whole, in order, finite and of one known task", "+")
    exported = "export a log or bag as a bag, NumPy arrays, or a Hugging Face or LeRobot dataset"
    one = verb("convert", exported, out="a new folder; for npz a file")
    one.add_argument("--to", required=True, choices=("mcap", "npz", "parquet", "lerobot"))
    one = verb("prune", "remove the oldest files of a log that nobody writes, by size or by age")
    one.add_argument("--keep-gb", type=float, default=float("inf"), metavar="GB", help="largest size that remains")
    one.add_argument("--keep-days", type=float, default=float("inf"), metavar="DAYS", help="largest age of a file")


def run(arguments: argparse.Namespace) -> int:
    try:
        return int(globals()[f"_{arguments.action}"](arguments))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        print(f"tdm_ros data {arguments.action}: {error}", file=sys.stderr)
        return 2


def _list(arguments: argparse.Namespace) -> int:
    from tdm_ros.data.counting import as_table, overview
    from tdm_ros.data.sources import find

    rows = [overview(path, arguments.unpack_limit) for path in find(arguments.paths)]
    print(json.dumps(rows, indent=1) if arguments.json else as_table(rows))
    return _status([problem for row in rows for problem in row["problems"]])


def _inspect(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from tdm_ros.data.inspection import inspect
    from tdm_ros.data.summary import as_text

    found = [inspect(path, arguments.unpack_limit) for path in arguments.paths]
    print(json.dumps(list(map(asdict, found)), indent=1) if arguments.json else "\n\n".join(map(as_text, found)))
    return _status([sentence for one in found for sentence in one.problems], [n for one in found for n in one.notes])


def _plot(arguments: argparse.Namespace) -> int:
    from tdm_ros.data.picture import draw
    from tdm_ros.data.summary import summarise

    (recording,) = _read(arguments.paths, arguments)
    table = _table(recording)
    print(draw(arguments.out, recording, table, summarise(recording, table)))
    return _status(recording.problems)


def _merge(arguments: argparse.Namespace) -> int:
    from tdm_ros.data.bag import write_bag
    from tdm_ros.data.edit import merge

    whole, repeated = merge(_read(arguments.paths, arguments), str(arguments.out))
    write_bag(arguments.out, whole)
    print(f"{arguments.out}: {len(whole.messages)} messages, {repeated} duplicates are left out")
    return _status(whole.problems)


def _trim(arguments: argparse.Namespace) -> int:
    from tdm_ros.data.bag import write_bag
    from tdm_ros.data.edit import Selection, numbers, sources, trim

    selection = Selection(
        arguments.start,
        arguments.end,
        None if arguments.episodes is None else numbers(arguments.episodes),
        None if arguments.sources is None else sources(arguments.sources),
    )
    (recording,) = _read(arguments.paths, arguments)
    kept = trim(recording, selection)
    write_bag(arguments.out, kept)
    print(f"{arguments.out}: {len(kept.messages)} of {len(recording.messages)} messages")
    return _status(recording.problems)


def _validate(arguments: argparse.Namespace) -> int:
    from tdm_ros.data.recording import DataError
    from tdm_ros.data.sources import read_nonempty
    from tdm_ros.data.summary import check

    sound = True
    for path in arguments.paths:
        try:
            recording = read_nonempty(path, True, arguments.unpack_limit)
            sentences, notes = check(recording, _table(recording)), recording.notes
        except DataError as error:
            sentences, notes = [str(error)], ()
        sound = sound and not sentences
        print(f"{path}: {'invalid' if sentences else 'valid'}", *(f"  {one}" for one in (*sentences, *notes)), sep="\n")
    return 0 if sound else 1


def _prune(arguments: argparse.Namespace) -> int:
    import math
    import time

    from tdm_ros.data.prune import prune

    given = [one for one in (arguments.keep_gb, arguments.keep_days) if one != math.inf]
    if not given or not all(one >= 0 for one in given):
        raise ValueError("what remains must be given, as --keep-gb or --keep-days, a number >= 0")
    removed = prune(arguments.paths[0], arguments.keep_gb * 1e9, time.time() - arguments.keep_days * 86400)
    print(f"{arguments.paths[0]}: {len(removed)} files are removed", *map(str, removed), sep="\n  ")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tdm_ros.data.export import export

    (recording,) = _read(arguments.paths, arguments)
    with tqdm(unit="transition", leave=False, disable=None) as bar:
        made = export(recording, arguments.to, arguments.out, bar.update)
    discarded = f", {made.discarded} that the operator discarded are left out" if made.discarded else ""
    print(f"{arguments.out}: {made.transitions} transitions{discarded}")
    return _status(recording.problems)


def _read(paths: Sequence[Path], arguments: argparse.Namespace) -> list[Recording]:
    from tdm_ros.data.sources import read_nonempty

    return [read_nonempty(path, True, arguments.unpack_limit) for path in paths]


def _bytes_of_gigabytes(text: str) -> int:
    with suppress(ValueError):
        if 0 < (value := float(text)) < float("inf"):
            return int(min(value, 1e9) * 1e9)
    raise argparse.ArgumentTypeError(f"must be a number of GB above 0, got {text!r}")


def _table(recording: Recording) -> Table:
    from tqdm import tqdm

    from tdm_ros.data.table import to_table

    with tqdm(unit="transition", leave=False, disable=None) as bar:
        return to_table(recording, bar.update)


def _status(problems: Sequence[str], notes: Sequence[str] = ()) -> int:
    """Print findings on standard error; return the exit status."""
    for sentence in (*problems, *notes):
        print(sentence, file=sys.stderr)
    return 1 if problems else 0
