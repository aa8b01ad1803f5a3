"""Write requirements/*.lock: every distribution that set-up installs, with the hashes of its files.

    python3 tools/lock.py               # after a change in requirements/ or constraints.txt
    python3 tools/lock.py ros_kilted    # only that of another ROS 2 distribution

Needs Python 3.11, 3.12 and 3.13 on the PATH, each with its venv module, and a package registry. For each of them pip
resolves the requirements twice, with the configuration of this machine and with none (then it uses PyPI), installs
nothing, and reports the files that it would take. A lock has the hashes of all of these files: a machine whose pip
takes another build of torch (+cpu from a local folder) is accepted, too. Hashes that the lock had for the same version
are kept, so that a machine without such a folder may write it. Standard library only.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
LOCKS = {
    "setup": ["pip", "setuptools", "wheel"],
    "ros": ["-r", "requirements/ros.txt"],
    "python": [
        part
        for name in ("runtime", "console", "data", "security", "dev", "benchmarks", "docs")
        for part in ("-r", f"requirements/{name}.txt")
    ],
}
"""Arguments of pip by the name of the lock. A lock does not repeat the distributions of the locks before it."""
OTHERS = {"ros_kilted": ["-r", "requirements/ros_kilted.txt"]}
"""The same for ROS 2 distributions other than the first; each is installed in place of `ros`, after `setup`."""
CUDA = re.compile(r"nvidia-|cuda-|triton$")
"""Distributions that only a torch with CUDA needs; they have their own lock."""
HEAD = """\
# Exactly these files, by hash, for CPython 3.11 to 3.13 on Linux x86_64; written by tools/lock.py, not by hand.
# pip install --require-hashes --no-deps -r requirements/{}.lock
"""
Lock = dict[str, tuple[str, set[str], set[str]]]
"""Version, hashes, and Pythons that need it, by the name of the distribution."""


def main() -> int:
    """Write every lock; return the exit status."""
    missing = [f"python{version}" for version in PYTHONS if not shutil.which(f"python{version}")]
    if missing:
        print(
            f"tools/lock.py needs Python {', '.join(PYTHONS)}; not on the PATH: {', '.join(missing)}", file=sys.stderr
        )
        return 1
    chosen = sys.argv[1:] or [*LOCKS, *OTHERS]
    with tempfile.TemporaryDirectory() as folder:
        pips = {version: list(make_pips(version, Path(folder) / version)) for version in PYTHONS}
        pins = ROOT / "constraints.txt"
        locks = resolve(pips, LOCKS, pins) if set(chosen) & {*LOCKS} else {}
        for other in set(chosen) & {*OTHERS}:
            own = Path(folder) / "constraints.txt"  # constraints.txt pins the packages of the first distribution
            own.write_text("".join(line for line in pins.open() if not line.startswith(("ros-", "colcon-ros"))))
            locks[other] = resolve(pips, {"setup": LOCKS["setup"], other: OTHERS[other]}, own)[other]
    for name, entries in locks.items():
        path = FOLDER / f"{name}.lock"
        path.write_text(HEAD.format(name) + "\n" + as_text(entries, read(path)))
        print(f"{path.relative_to(ROOT)}: {len(entries)} distributions")
    return 0


def resolve(pips: dict, wanted: dict[str, list[str]], pins: Path) -> dict[str, Lock]:
    """Return the locks, by name, and one for what a torch with CUDA needs."""
    found: Lock = {}
    locks: dict[str, Lock] = {name: {} for name in (*wanted, "cuda")}
    for lock, arguments in wanted.items():
        for version, name, release, hash_ in files(pips, arguments, pins):
            if name not in found:
                locks["cuda" if CUDA.match(name) else lock][name] = found[name] = (release, set(), set())
            if found[name][0] != release:
                raise SystemExit(f"{name} is {found[name][0]} and {release}: pin it in constraints.txt")
            found[name][1].add(hash_)
            found[name][2].add(version)
    return locks


def make_pips(version: str, folder: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield command and environment of pip, with the configuration of this machine and without."""
    subprocess.run([f"python{version}", "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), "pip"], check=True)
    yield pip, dict(os.environ)
    # Certificates and time-outs do not change the index.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    kept |= {key: os.environ[key] for key in ("PIP_CERT", "PIP_DEFAULT_TIMEOUT") if key in os.environ}
    yield pip, kept | {"PIP_CONFIG_FILE": os.devnull}


def files(pips: dict, wanted: list[str], pins: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield Python version, name, version and SHA-256 of every file that pip would install."""
    for version, configurations in pips.items():
        for pip, environ in configurations:
            command = [*pip, "--dry-run", "--ignore-installed", "--report", "-", "-c", str(pins), *wanted]
            ran = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, check=True)
            for entry in json.loads(ran.stdout)["install"]:
                name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
                release = entry["metadata"]["version"].partition("+")[0]
                yield version, name, release, entry["download_info"]["archive_info"]["hashes"]["sha256"]


def as_text(entries: Lock, old: dict[str, set[str]]) -> str:
    """Return the lines of a lock."""
    text = ""
    for name, (release, hashes, pythons) in sorted(entries.items()):
        markers = " or ".join(f'python_version == "{version}"' for version in sorted(pythons))
        text += f"{name}=={release}" + (f" ; {markers}" if len(pythons) < len(PYTHONS) else "")
        known = hashes | old.get(f"{name}=={release}", set())
        text += "".join(f" \\\n    --hash=sha256:{hash_}" for hash_ in sorted(known)) + "\n"
    return text


def read(path: Path) -> dict[str, set[str]]:
    """Return the hashes of a lock, by `name==version`."""
    text = path.read_text() if path.exists() else ""
    entries = re.findall(r"^([\w.-]+==[^\s;]+).*((?:\n    --hash=sha256:\w+.*)+)", text, re.MULTILINE)
    return {name: set(re.findall(r"sha256:(\w+)", lines)) for name, lines in entries}


if __name__ == "__main__":
    sys.exit(main())
