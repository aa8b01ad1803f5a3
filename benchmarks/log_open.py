"""Time to open, count, list, describe and end a long log of the collector.

    python -m benchmarks.log_open                      # ten million transitions
    python -m benchmarks.log_open --transitions 1e6 --without-index

One file is written, with 7000 cycles as the collector records them (transition, joint states, frames); the others are
links to it. The files are in the page cache. Without the index, the summary of each file is read.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tdm_ros.data.bag import write_log_metadata
from tdm_ros.data.counting import overview
from tdm_ros.data.log import TRANSITION_TOPIC, count_messages
from tdm_ros.data.log_index import INDEX, add_to_index
from tdm_ros.data.log_writer import LogWriter, McapWriter
from tdm_ros.data.recording import Channel

CYCLES = 7000
"""Cycles per file."""
SIZES = {TRANSITION_TOPIC: 500, "/joint_states": 300, "/tf": 150}
"""Size of a message of each topic [bytes]."""
CHANNELS = [Channel.of_ros(topic, f"package/msg/Type{number}", "uint8[] data\n") for number, topic in enumerate(SIZES)]
T = TypeVar("T")


def make_log(folder: Path, files: int, with_index: bool) -> None:
    """Write a log of this many files."""
    first = folder / "0000.mcap"
    writer = McapWriter(first, CHANNELS)
    for cycle in range(CYCLES):
        for topic, size in SIZES.items():
            writer.write(topic, bytes(size), cycle, flush=topic == "/tf")
    writer.close()
    for number in range(files):
        path = folder / f"{number:04d}.mcap"
        if number:
            os.link(first, path)
        if with_index:
            add_to_index(path, writer.tally)


def timed(what: str, call: Callable[[], T]) -> T:
    """Call, and print the duration."""
    began = time.perf_counter()
    found = call()
    print(f"{what:<24}{time.perf_counter() - began:8.2f} s", flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.log_open", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--transitions", type=float, default=1e7, help="transitions in the log (default: 1e7)")
    parser.add_argument("--without-index", action="store_true", help="read the summaries of the files instead")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name) / "log_mcap", max(1, round(arguments.transitions / CYCLES))
        make_log(folder, files, not arguments.without_index)
        index = 0 if arguments.without_index else (folder / INDEX).stat().st_size
        size = (folder / "0000.mcap").stat().st_size
        print(f"{files * CYCLES:,} transitions, {files} files of {size / 1e6:.1f} MB, index of {index / 1e6:.2f} MB")
        log = timed("open for writing", lambda: LogWriter(folder, CHANNELS))
        timed("count", lambda: count_messages(folder))
        timed("end", log.close)
        timed("list", lambda: overview(folder))
        timed("describe for rosbag2", lambda: write_log_metadata(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
