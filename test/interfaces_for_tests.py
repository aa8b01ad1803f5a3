"""Builds messages that only tests need, with the wheels' own generators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def built(source: Path, folder: Path) -> dict[str, str]:
    """Build the interface package in ``source``; return what the environment of its users must have."""
    prefix = Path(sys.prefix)
    command = [str(prefix / "bin" / "colcon"), "--log-base", str(folder / "log"), "build"]
    command += ["--base-paths", str(source), "--merge-install"]
    command += ["--build-base", str(folder / "build"), "--install-base", str(folder / "install")]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"]
    paths = {"PATH": f"{prefix / 'bin'}:{os.environ['PATH']}", "CMAKE_PREFIX_PATH": str(prefix)}
    paths["AMENT_PREFIX_PATH"] = str(prefix)
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    install = folder / "install"
    return {
        "PYTHONPATH": str(next(install.glob("lib/python3*/site-packages"))),
        "LD_LIBRARY_PATH": f"{install / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "AMENT_PREFIX_PATH": f"{install}:{os.environ.get('AMENT_PREFIX_PATH', prefix)}",
    }
