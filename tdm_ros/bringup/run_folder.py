"""Folder of one run: a new one, the link to the latest, and a record of configuration and versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

LOGS = "log"  # subfolder of a run folder with the output of the nodes
PACKAGES = ("tdm_ros", "gymnasium", "mcap", "mujoco", "mujoco-core", "numpy", "rclpy", "safetensors", "torch")
"""Distributions whose versions are recorded."""


def new_run_folder(wish: str, now: time.struct_time | None = None) -> Path:
    """Make the folder of a run and the link `runs/latest` to it; return its absolute path.

    ``wish`` is its path, with `~`; an existing run continues. If it is empty, a new `runs/<date-time>` is made, of the
    local time, or of ``now``. There is no link if ``wish`` is given and the present folder is not writable (as that of
    a system service); any other failure is an OSError.
    """
    runs = Path("runs").absolute()
    try:
        folder = Path(wish).expanduser().resolve() if wish else _make_unique(runs, now)
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the run cannot be recorded ({error}): give run_dir:=<folder>, one that you may write"
        ) from error
    try:
        runs.mkdir(exist_ok=True)
        _point_to(runs / "latest", folder)
    except OSError as error:
        if not wish or isinstance(error, FileExistsError):
            raise
    return folder


def write_config(folder: Path, content: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Write `config.json`: the content, and versions, machine and commit.

    An existing one, of an earlier run in this folder, is renamed to `config-1.json` and so on.
    """
    record = content | {
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "python": sys.version,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "commit": _commit(),
        "ros": {name: value for name, value in sorted(environ.items()) if name.startswith(("ROS_", "RMW_"))},
    }
    path = folder / "config.json"
    if path.exists():
        path.rename(folder / f"config-{len(list(folder.glob('config*.json')))}.json")
    path.write_text(json.dumps(record, indent=2) + "\n")


def _make_unique(parent: Path, now: time.struct_time | None) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", now or time.localtime())
    names = [stamp, *(f"{stamp}-{number}" for number in range(2, 100))]
    for name in names:
        with suppress(FileExistsError):
            (parent / name).mkdir(parents=True)
            return parent / name
    raise FileExistsError(f"{parent} holds {len(names)} runs of this second: try again")


def _point_to(link: Path, folder: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} must be a link to the latest run, it is another file: move it away")
    fresh = link.with_name(f".latest-{os.getpid()}")
    fresh.symlink_to(os.path.relpath(folder, link.parent))
    fresh.replace(link)


def _version(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _commit() -> str | None:
    """Return the git commit of this code, with `-dirty` if it has changed since; None without git."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "describe"]
    command += ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return None
