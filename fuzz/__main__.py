"""Search for inputs that make a parser or handler fail, with atheris (libFuzzer), from the committed corpus on.

    python -m fuzz --list
    python -m fuzz log wire --seconds 600
    python -m fuzz --seconds 60                     # every target, one after the other
    python -m fuzz --replay                         # the committed corpus once, without atheris
    python -m fuzz urdf --input runs/fuzz/urdf/crash-...

Needs requirements/fuzz.txt. What is found stays in --out: an input that fails, and the inputs that reach new code.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fuzz.target import CORPUS, Target
from tdm_ros.bringup.environment import ros_environment, without_shared_memory

GROUPS = ("recordings", "learned", "models", "sockets", "nodes")
INSTRUMENTED = ["tdm_ros", "mcap", "mcap_ros2"]
MEMORY_MB = 3000
HANG_S = 300
"""Wall-clock time after which an input counts as a hang; `Target.one_input` bounds processor time [s]."""
CORPUS_BYTES = 3_000
"""Largest size of the inputs of one target that `keep` adds to the corpus."""
CORPUS_FILES, NODE_FILES = 20, 8
"""Their largest number; an input of a node comes with many good messages."""


def targets() -> dict[str, Target]:
    """Every target by name."""
    modules = [__import__(f"fuzz.{group}", fromlist=["TARGETS"]) for group in GROUPS]
    return {target.name: target for module in modules for target in module.TARGETS}


def names() -> list[str]:
    """Names of the targets, without the import of what they test."""
    found = []
    for group in GROUPS:
        text = Path(__file__).with_name(f"{group}.py").read_text(encoding="utf-8")
        found += re.findall(r'^    Target\("(\w+)"', text, re.MULTILINE)
        found += [f"node_{name}" for name in re.findall(r'"(\w+)"', text.partition("NAMES = (")[2].partition(")")[0])]
    return found


def search(name: str, folder: Path, words: Sequence[str]) -> None:
    """Search with atheris in this process, which ends then."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        target = targets()[name]
        seeds = target.seeds()  # imports the node, if the target is one
    found, artifacts = folder / "corpus", folder
    found.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (found / f"seed-{number}").write_bytes(seed)
    options = [f"-max_len={target.max_len}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1"]
    committed = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    atheris.Setup([name, *options, f"-artifact_prefix={artifacts}/", *words, str(found), *committed], target.one_input)
    atheris.Fuzz()


def run(name: str, out: Path, seconds: float) -> dict[str, Any]:
    """Search in a process of its own; return how many inputs were tried, and what was found."""
    folder, begin_s = out / name, time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    known = {path.name for path in folder.iterdir()}
    words = [sys.executable, "-m", "fuzz", name, "--search", "--out", str(out), f"--seconds={seconds:g}"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace")
    text = done.stdout + done.stderr
    (folder / "log.txt").write_text(text, encoding="utf-8")
    tried = re.findall(r"stat::number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)", text, re.MULTILINE)
    new = sorted(path.name for path in folder.iterdir() if re.match(r"(crash|timeout|oom|leak)-", path.name))
    result = {
        "target": name,
        "executions": int(tried[-1]) if tried else 0,
        "seconds": round(time.monotonic() - begin_s, 1),
        "findings": [one for one in new if one not in known],
        "rc": done.returncode,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    with (out / "executions.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    return result


def replay(chosen: Sequence[Target]) -> None:
    """Hand every committed input, and the seeds, to its target."""
    for target in chosen:
        inputs = [path.read_bytes() for path in target.corpus()]
        for data in (b"", *target.seeds(), *inputs):
            target.one_input(data)
        print(f"{target.name}: {len(inputs)} inputs", flush=True)


def keep(name: str, out: Path) -> None:
    """Copy inputs that reached new code into the committed corpus: alike of each power of two in size."""
    by_size: dict[int, list[bytes]] = {}
    for path in sorted((out / name / "corpus").iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        by_size.setdefault(path.stat().st_size.bit_length(), []).append(path.read_bytes())
    left, files = CORPUS_BYTES, NODE_FILES if name.startswith("node_") else CORPUS_FILES
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    for data in (one for row in zip_longest(*by_size.values()) for one in row if one is not None):
        if len(data) <= left and files:
            left, files = left - len(data), files - 1
            (CORPUS / name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


def main(words: Sequence[str] | None = None) -> int:
    """Replay, search or list; 1 if a search found something."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="names; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each target [s] (default 60)")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    parser.add_argument("--replay", action="store_true", help="try the committed corpus once")
    parser.add_argument("--input", type=Path, help="try this file once")
    parser.add_argument("--keep", action="store_true", help="choose the committed corpus from what was found")
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if unknown := sorted({*asked.targets} - {*names()}):
        parser.error(f"targets must be among {', '.join(names())}, got {', '.join(unknown)}")
    chosen = asked.targets or names()
    if asked.list:
        print("\n".join(names()))
    elif asked.replay or asked.input:
        every = targets()
        if asked.input:
            every[chosen[0]].one_input(asked.input.read_bytes())
        else:
            replay([every[name] for name in chosen])
    elif asked.keep:
        for name in chosen:
            keep(name, asked.out)
    elif importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -c constraints.txt -r requirements/fuzz.txt")
    elif asked.search:
        folder = asked.out / chosen[0]
        search(chosen[0], folder, [f"-max_total_time={asked.seconds:.0f}"])
    else:
        results = [run(name, asked.out, asked.seconds) for name in chosen]
        for one in results:
            said = ", ".join(one["findings"]) or (
                f"it failed, see {asked.out / one['target']}/log.txt" if one["rc"] else "none"
            )
            print(f"{one['target']}: {one['executions']} executions, findings: {said}")
        return int(any(one["findings"] or one["rc"] for one in results))
    return 0


if __name__ == "__main__":
    os.environ.update(ros_environment(os.environ))
    os.environ.update(without_shared_memory(os.environ))
    sys.exit(main())
