"""Console program `tdm_ros`: one module per subcommand, imported when it is used.

A verb is a module of this package with `add_arguments(parser)` and `run(arguments)`, which returns the exit
status. The first line of its docstring is its line in `tdm_ros --help`; `tdm_ros <verb> --help` has it all.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import tdm_ros

EPILOG = """\
examples:
  tdm_ros up sawyer_reach                       an arm learns to reach, live, in separate ROS 2 nodes
  tdm_ros up sawyer_reach duration_min:=10      the same, longer; --show-args lists the arguments
  tdm_ros teleop                                drive that arm with the keys of this terminal
  tdm_ros train --task sawyer_reach --steps 5000 --out runs/train
                                                the same learning without ROS
  tdm_ros evaluate runs/train --episodes 100    how close it gets, on goals it has never seen
  tdm_ros calibrate runs/train                  does it know how close it gets?
  tdm_ros robot check ur5e                      is a robot's description fit for use? list, import, simulate
  tdm_ros weights list runs/latest              which weights are kept; rollback goes back to earlier ones
  tdm_ros security init keystore                keys and policies for nodes that authenticate and encrypt (SROS 2)
  tdm_ros data inspect runs/latest              what was recorded; plot, merge, trim, convert, ...

tdm_ros <verb> --help tells more about each.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parsed = build_parser(arguments).parse_args(arguments)
        run = importlib.import_module(f"{__name__}.{parsed.verb}").run
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `tdm_ros.__main__` left it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return int(run(parsed))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; of the verbs, only one that the command line names is imported."""
    parser = argparse.ArgumentParser(
        prog="tdm_ros",
        description=tdm_ros.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"tdm_ros {tdm_ros.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True)
    for verb, docstring in verb_docstrings().items():
        one = verbs.add_parser(
            verb,
            help=docstring.splitlines()[0],
            description=docstring,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if verb in argv:
            importlib.import_module(f"{__name__}.{verb}").add_arguments(one)
    return parser


def verb_docstrings() -> dict[str, str]:
    """Return the docstring of every verb, read without importing it, so that --help is quick."""
    files = sorted({path.stem: path for folder in __path__ for path in Path(folder).glob("[!_]*.py")}.items())
    return {verb: ast.get_docstring(ast.parse(path.read_text())) or verb for verb, path in files}
