"""Set-up for `make demo` and `make test`: .venv, the pinned packages, the messages.

    python3 tools/bootstrap.py             # ROS 2 Jazzy, in .venv
    python3 tools/bootstrap.py kilted      # another distribution, in .venv-kilted

The Makefile runs it with any Python 3, before anything is installed; standard library only. Each stage, packages and
messages, leaves a stamp with the hash of its inputs: a second run takes a moment, and a change in msg/ or action/
rebuilds the messages only. An interrupted stage starts over (pip keeps its downloads).

The wheels of ROS 2 make the virtual environment an ament prefix, into which messages and node executables are
installed. Programs of .venv's Python find them without a set-up of the shell.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python3"
LOG = ROOT / "build" / "setup.log"
STAMPS = VENV / ".tdm_ros"

PYTHONS = ((3, 11), (3, 13))  # first and last version that the locks in requirements/ have wheels for
DISK_GB = 4  # the environment takes 2.6 GB; pip unpacks beside it
CUDA_DISK_GB = 8  # with a torch for CUDA 6.5 GB
DISTRO = "jazzy"
ROS_LOCKS = {"jazzy": "ros", "kilted": "ros_kilted"}  # the lock of each ROS 2 distribution
LOCKS = [f"requirements/{name}.lock" for name in ("setup", ROS_LOCKS[DISTRO], "python")]
CUDA_LOCK = "requirements/cuda.lock"  # what a torch with CUDA needs besides

# Cause of a failure by words in the output of the command.
CAUSES = {
    ("No space left on device",): (
        f"the disk is full: free at least {DISK_GB} GB, or {CUDA_DISK_GB} where torch comes with CUDA, and run the "
        "same command again."
    ),
    ("DO NOT MATCH THE HASHES",): (
        "a downloaded file is not one that the locks in requirements/ name: empty pip's cache (pip cache purge) and "
        "run the same command again; if it stays, the package registry in use offers other files than PyPI."
    ),
    (
        *("name resolution", "NewConnectionError", "Max retries", "Timeout", "ProxyError", "SSLError"),
        *("Connection refused", "Network is unreachable", "ConnectionResetError", "Connection broken"),
    ): (
        "the package registry cannot be reached: check the network (HTTPS_PROXY, pip's own configuration) "
        "and run the same command again; what has been downloaded is kept."
    ),
    ("No matching distribution", "Could not find a version", "ResolutionImpossible"): (
        "the package registry lacks a pinned version: let pip use PyPI, or a full mirror of it."
    ),
}


class SetupError(Exception):
    """Failure of the set-up; the text is one sentence with the remedy."""


def main() -> int:
    """Bring .venv up to date; return the exit status."""
    try:
        choose(*sys.argv[1:])
        check_machine()
        LOG.parent.mkdir(exist_ok=True)
        with open(LOG.parent / "setup.lock", "w") as lock:
            # A second make waits for the first, and for children of a killed one, which inherit this.
            os.set_inheritable(lock.fileno(), True)
            fcntl.flock(lock, fcntl.LOCK_EX)
            ensure_packages()
            ensure_messages()
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; run the same command again to go on.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"set-up: {error}. Repair that and run the same command again.", file=sys.stderr)
        return 1
    return 0


def choose(distro: str = DISTRO) -> None:
    """Choose the ROS 2 distribution: each has its own environment and build folder. Raises SetupError."""
    global DISTRO, LOCKS, VENV, PYTHON, STAMPS
    if distro not in ROS_LOCKS:
        raise SetupError(f"ROS_DISTRO must be {' or '.join(ROS_LOCKS)}, got {distro}: PyPI has no wheels of others.")
    if distro != DISTRO:
        DISTRO, LOCKS = distro, [LOCKS[0], f"requirements/{ROS_LOCKS[distro]}.lock", LOCKS[2]]
        VENV = ROOT / f".venv-{distro}"
        PYTHON, STAMPS = VENV / "bin" / "python3", VENV / ".tdm_ros"


def check_machine() -> None:
    """Check compiler, Python and platform before anything is downloaded. Raises SetupError."""
    first, last = map(dotted, PYTHONS)
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        raise SetupError(
            f"Python {first} to {last} is needed, {sys.executable} is {platform.python_version()}: install "
            f"python{first} with its venv and dev packages, and run make with PYTHON=python{first}."
        )
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupError(
            f"ROS 2's wheels exist for Linux on x86_64 only, this is {sys.platform} on {platform.machine()}: "
            "install ROS 2 Jazzy and use colcon build and ros2 launch (docs/getting_started.md)."
        )
    python = f"python{dotted(sys.version_info[:2])}"
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise SetupError("a C++ compiler is needed to build the messages: apt install g++")
    if not shutil.which("make"):
        raise SetupError("make is needed to build the messages: apt install make")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        raise SetupError(f"Python.h is needed to build the messages: apt install {python}-dev")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(f"Python's venv module is missing: apt install {python}-venv") from None


def ensure_packages() -> None:
    """Create .venv with every pinned package, unless it is there already. Raises SetupError."""
    key = digest([*LOCKS, CUDA_LOCK], [platform.python_version(), str(ROOT)])
    if is_done("packages", key):
        return
    check_disk(DISK_GB)
    if VENV.exists():
        print(f"set-up: {VENV.name} is unfinished or made from other pins: starting over")
        shutil.rmtree(VENV)
    say("1/4 virtual environment")
    run([sys.executable, "-m", "venv", str(VENV)])
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar=off"]
    # Without build isolation, which would download the build requirements of source packages unchecked.
    locked = [*pip, "--no-build-isolation", "--no-deps", "--require-hashes"]
    setup, ros, python = LOCKS
    run([*locked, "-r", setup])
    say(f"2/4 ROS 2 {DISTRO.title()} wheels, each checked against its hash (a minute or so)")
    run([*locked, "-r", ros])
    say("3/4 torch, mujoco, gymnasium and the rest, by hash, too (a minute or so, longer where torch comes with CUDA)")
    if not install_cpu_torch(locked, python):
        check_disk(CUDA_DISK_GB, "for a torch with CUDA (one without: docs/getting_started.md) ")
        run([*locked, "-r", CUDA_LOCK])
    run([*locked, "-r", python])
    run([*pip, "--no-build-isolation", "--no-deps", "-e", "."])
    run([str(PYTHON), "-m", "pip", "--disable-pip-version-check", "check"])  # the locks are complete
    relocate_exports()
    mark_done("packages", key)


def check_disk(needed_gb: int, purpose: str = "") -> None:
    """Raise SetupError unless that much disk is free."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed_gb:
        raise SetupError(f"{needed_gb} GB of free disk are needed {purpose}and {ROOT} has {free:.1f}: make room there.")


def install_cpu_torch(locked: list, lock: str) -> bool:
    """Install the torch of the lock from pip's find-links, where a build without CUDA may lie; return whether it did.

    With --require-hashes pip would rather take the build of the index, since only the index states its hash beforehand.
    """
    pin = re.search(r"^torch==(?:.*\\\n)*.*\n", (ROOT / lock).read_text(), re.MULTILINE)
    own = LOG.parent / "torch.lock"
    assert pin is not None
    own.write_text(pin.group())
    with contextlib.suppress(SetupError):
        run([*locked, "--no-index", "-r", str(own)])
    return any(VENV.glob("lib/python*/site-packages/torch-*+cpu.dist-info"))


def relocate_exports() -> None:
    """Replace the Python of the build container by this one in the CMake exports of the wheels."""
    version = dotted(sys.version_info[:2])
    tag = "cp" + version.replace(".", "")
    built_in = f"/opt/python/{tag}-{tag}"
    site_packages = VENV / "lib" / f"python{version}" / "site-packages"
    here = {
        f"{built_in}/include/python{version}": sysconfig.get_path("include"),
        f"{built_in}/lib/python{version}/site-packages": str(site_packages),
    }
    for path in VENV.glob("share/*/cmake/*Export*.cmake"):
        text = path.read_text()
        for old, new in here.items():
            text = text.replace(old, new)
        path.write_text(text)


def ensure_messages() -> None:
    """Build the messages with colcon and install them, and the node executables, into .venv. Raises SetupError."""
    sources = ["CMakeLists.txt", "package.xml", *names_in("msg"), *names_in("action")]
    sources += names_in("tools/tf2_msgs")
    # Links to these are installed: only their names matter.
    linked = [name for folder in ("tdm_ros", "config", "launch", "urdf", "worlds") for name in names_in(folder)]
    key = digest(sources, [*linked, (STAMPS / "packages").read_text()])
    if is_done("messages", key):
        return
    say("4/4 messages and node executables, with colcon (half a minute)")
    base = "build" if VENV.name == ".venv" else f"build/{DISTRO}"
    building = ROOT / base / "tdm_ros"
    unfinished = building / "unfinished"
    if unfinished.exists():
        shutil.rmtree(building)
    building.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    colcon = [str(VENV / "bin" / "colcon"), "--log-base", "build/log", "build"]
    colcon += ["--base-paths", ".", "tools/tf2_msgs", "--packages-select", "tdm_ros", "tf2_msgs"]
    colcon += ["--build-base", base, "--install-base", str(VENV)]
    colcon += ["--merge-install", "--symlink-install", "--cmake-clean-cache"]
    colcon += ["--event-handlers", "console_direct+"]
    colcon += ["--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={PYTHON}"]
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(colcon, {"PATH": path, "AMENT_PREFIX_PATH": str(VENV), "CMAKE_PREFIX_PATH": str(VENV)})
    unfinished.unlink()
    mark_done("messages", key)


def run(command: list, extra_env: "dict | None" = None) -> None:
    """Run one command with its output in the log. Raises SetupError with the cause of a failure."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env.update(extra_env or {})
    with open(LOG, "w") as log:
        ran = subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, close_fds=False)
    if ran.returncode:
        raise SetupError(explain(command, ran.returncode, LOG.read_text(errors="replace")))


def explain(command: list, status: int, output: str) -> str:
    """One sentence with the cause of a failure, from the output of the command."""
    for words, sentence in CAUSES.items():
        if any(word in output for word in words):
            return sentence
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    last = (errors or output.strip().splitlines() or ["it printed nothing"])[-1][:200]
    program = "pip" if "pip" in command else Path(command[0]).name
    return f"{program} failed with status {status}: {last} (its output: {LOG})"


def names_in(folder: str) -> list:
    """Sorted paths of the files below a folder, relative to the checkout, without caches of Python."""
    paths = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if "__pycache__" not in path.parts)


def digest(files: list, more: list) -> str:
    """Return the hash of some files of the checkout and of further strings."""
    parts = [(ROOT / name).read_bytes() for name in files] + [text.encode() for text in more]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def is_done(stage: str, key: str) -> bool:
    """Whether a stage was completed from the same inputs."""
    with contextlib.suppress(FileNotFoundError):
        return (STAMPS / stage).read_text() == key
    return False


def mark_done(stage: str, key: str) -> None:
    """Write the stamp of a completed stage atomically."""
    STAMPS.mkdir(exist_ok=True)
    fresh = STAMPS / f"{stage}.new"
    fresh.write_text(key)
    fresh.replace(STAMPS / stage)


def say(text: str) -> None:
    """Announce a long step."""
    print(f"set-up {text}", flush=True)


def dotted(version: tuple) -> str:
    """Write (3, 11) as 3.11."""
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(main())
