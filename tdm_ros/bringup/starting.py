"""Start of a node, as its executable does; a failure gives one sentence with the reason and the remedy.

As a program it is the check before the start of a system: it starts ROS 2 as every node does, and ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

from tdm_ros.bringup.environment import ament_prefixes
from tdm_ros.bringup.process import check_priority
from tdm_ros.bringup.run_folder import LOGS, new_run_folder, write_config
from tdm_ros.bringup.table import PACKAGE, NodeEntry, SystemTable, Value, as_ros_text, matches, names_for, sections_of
from tdm_ros.files import FolderLock

ROS_MODULES = ("rclpy", "rcl_interfaces", "lifecycle_msgs", "std_srvs", "rosidl_", "rpyutils", "ament_index_python")
RENDERERS = {"osmesa": "libosmesa6", "egl": "libegl1", "glfw": "libglfw3"}
"""Debian package of the library of each value of MUJOCO_GL."""
NEEDS = {
    "arm": ("mujoco", "gymnasium"),
    "trainer": ("torch", "safetensors"),
    "policy": ("safetensors",),
    "planner": ("safetensors", "scipy"),
}
"""Python packages that a node needs besides those of `NEEDED_BY_ALL`."""
NEEDED_BY_ALL = ("numpy", "yaml", "mcap", "mcap_ros2", "lz4", "zstandard")
DOMAINS = range(233)
"""ROS domains for which DDS has ports. Source: DDS-RTPS 2.2, 9.6.1.1."""


def start(node: str) -> int:
    """Import a node, a module of `tdm_ros.nodes`, and run it to its end; return the exit status."""
    try:
        check_settings(os.environ)
        main = importlib.import_module(f"tdm_ros.nodes.{node}").main
    except Exception as error:
        report(node, error)
        return 1
    return int(main())


def report(program: str, error: Exception) -> None:
    """Print the reason of a failure: one sentence if the cause is known, else with the traceback."""
    sentence = explain(error, os.environ)
    expected = isinstance(error, ValueError | OSError)
    print(f"{program}: {sentence or (error if expected else repr(error))}", file=sys.stderr, flush=True)
    if not sentence and not expected:
        traceback.print_exception(error)


def check_start(
    environ: Mapping[str, str], nodes: Mapping[str, str], params_files: Sequence[Path], robot: str = ""
) -> None:
    """Let the Python of the nodes start ROS 2 with files of parameters, as each node will, and end.

    ``nodes`` has the executable of each by fully qualified name; it is empty for one that is not started, or of another
    package, ``robot`` the name or file of a description that is read, too. A ValueError has the reason of a failure and
    the remedy.
    """
    python = shutil.which("python3", path=environ.get("PATH")) or sys.executable
    with tempfile.TemporaryDirectory() as folder:
        pairs = ",".join(f"{name}={executable}" for name, executable in nodes.items())
        files = [str(path.absolute()) for path in params_files]
        command = [python, "-m", "tdm_ros.bringup.starting", pairs, robot, *files]
        env = {"ROS_LOG_DIR": folder, **environ}
        # Not in the present folder, from which Python would import modules.
        process = None
        try:
            with _interrupt_deferred():
                process = subprocess.Popen(command, env=env, cwd="/", stdout=DEVNULL, stderr=PIPE, text=True)
            _, errors = process.communicate()
        except BaseException:
            if process is not None:
                process.kill()
                process.wait()
            raise
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.startswith(_CHECK)]
        raise ValueError(lines[-1].removeprefix(_CHECK) if lines else f"nodes cannot be started:\n{errors.strip()}")


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Raise a KeyboardInterrupt at the end of the block instead of within it.

    Within the constructor of a process it would leave a process that nobody knows, and that goes on.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone receives signals
        yield
        return
    received = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: received.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received.is_set():
        signal.raise_signal(signal.SIGINT)


def check(nodes: Mapping[str, str], robot: str, params_files: Sequence[str]) -> int:
    """Start ROS 2, check parameters and description; return the exit status, and print the reason of a failure."""
    try:
        check_settings(os.environ)
        needed = dict.fromkeys([*NEEDED_BY_ALL, *(module for node in nodes.values() for module in NEEDS.get(node, ()))])
        if missing := [module for module in needed if importlib.util.find_spec(module) is None]:
            raise ValueError(_install(missing))
        if "MUJOCO_GL" in os.environ and "mujoco" in needed:
            importlib.import_module("mujoco")
        rclpy, _ = map(importlib.import_module, ("rclpy", "tdm_ros.msg"))
        rclpy.init(args=["--ros-args", *(word for path in params_files for word in ("--params-file", path))])
        rclpy.shutdown()
        check_parameters(nodes, params_files)
        if robot:
            importlib.import_module("tdm_ros.robots.description").load_robot(robot)
    except Exception as error:
        own = str(error) if isinstance(error, ValueError) else repr(error)
        print(f"{_CHECK}{explain(error, os.environ) or own}", file=sys.stderr)
        return 1
    return 0


def check_parameters(nodes: Mapping[str, str], params_files: Sequence[str]) -> None:
    """Raise a ValueError if a section or parameter of files is of no node; ROS ignores these silently."""
    parameters = importlib.import_module("tdm_ros.nodes.parameters")
    known = {*parameters.NODES, *(name.rpartition("/")[2] for name in nodes)}
    for path in params_files:
        patterns: dict[str, list[str]] = {}
        for pattern, _ in sections_of(path):
            patterns.setdefault(pattern.rpartition("/")[2], []).append(pattern)
        for last, own in patterns.items():
            started = [name for name in nodes if name.rpartition("/")[2] == last]
            if last not in known and not last.startswith("*"):
                raise ValueError(f"{path}: no node is called {last}; expected {', '.join(sorted(known))}, or /**")
            if started and not any(matches(pattern, name) for pattern in own for name in started):
                raise ValueError(f"{path}: {', '.join(own)} applies to none of {', '.join(started)}: write /**/{last}")
    for name, executable in nodes.items():
        if executable not in parameters.NODES:
            continue
        try:
            parameters.check_names(executable, *names_for(name, params_files))
        except ValueError as error:
            raise ValueError(f"{', '.join(map(str, params_files))}: {error}") from None


_CHECK = "cannot start: "


def check_settings(environ: Mapping[str, str]) -> None:
    """Raise a ValueError, with the remedy, for settings that ROS accepts silently, or that end the process."""
    domain = environ.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isascii() and domain.isdecimal() and int(domain) in DOMAINS):
        raise ValueError(
            f"ROS_DOMAIN_ID must be a whole number in [0, {DOMAINS[-1]}], got {domain!r}: export another, or unset it"
        )
    rmw = environ.get("RMW_IMPLEMENTATION", "")
    index = "share/ament_index/resource_index/rmw_typesupport"
    folders = [folder for prefix in ament_prefixes(environ) if (folder := prefix / index).is_dir()]
    known = sorted({path.name for folder in folders for path in folder.iterdir()} - {"rmw_implementation"})
    if rmw and known and rmw not in known:
        raise ValueError(
            f"RMW_IMPLEMENTATION={rmw} is not installed, there is {', '.join(known)}: unset RMW_IMPLEMENTATION, or "
            f"install it (apt install ros-$ROS_DISTRO-{rmw.replace('_', '-')})"
        )


def explain(error: BaseException, environ: Mapping[str, str]) -> str:
    """Reason why a program of this package cannot start, with the remedy; empty if the cause is not known."""
    text = str(error)
    where = "".join(traceback.format_tb(error.__traceback__))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if "MUJOCO_GL" in environ and ("MUJOCO_GL" in text or "/OpenGL/" in where or "/mujoco/rendering/" in where):
        value = environ["MUJOCO_GL"]
        wanted = f"install its library (apt install {RENDERERS[value]}), or " if value in RENDERERS else ""
        return (
            f"MUJOCO_GL={value} cannot be used ({text}): {wanted}unset MUJOCO_GL, which only pictures need "
            f"(values: {', '.join(RENDERERS)})"
        )
    if "_rclpy_pybind11" in text or "C extension" in text:
        return (
            f"the ROS 2 that is sourced ({environ.get('ROS_DISTRO', 'AMENT_PREFIX_PATH, PYTHONPATH')}) is for another "
            f"Python than this one ({version}, {sys.executable}): use a terminal in which it is not sourced, or unset "
            "AMENT_PREFIX_PATH, PYTHONPATH and LD_LIBRARY_PATH"
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(error.name, version)
    if found := re.search(r"--params-file (.*?)'\. Error: (.*?),? (?:at|near) line(?:_num)? (\d+)", text, re.DOTALL):
        path, what, line = found.groups()
        what = what.replace("Error parsing a event", "this is not YAML")
        if "Sequence should be of same type" in what:
            return f"{path}, line {line}: an array has numbers of one type: write each with a point, as in [0.0, 1.5]"
        return (
            f"{path}, line {line}: {what}; expected names of nodes (or /**), below each of them ros__parameters, and "
            "below that its parameters"
        )
    if "log directory" in text:
        return f"ROS 2 cannot write its logs ({text}): set ROS_LOG_DIR to a folder that you may write"
    if "rcl" in type(error).__module__ or type(error).__name__ == "RCLError":
        text = " ".join(text.split())
        return f"ROS 2 does not start: {text}. See ROS_* in the environment, and the arguments after --ros-args"
    return ""


def _missing(module: str, version: str) -> str:
    package = module.partition(".")[0]
    if package == "tdm_ros":
        return (
            f"{module} was not found: messages and nodes are built with colcon, they are in no wheel. In a checkout: "
            "`make build`, or `colcon build` and source install/setup.bash"
        )
    if module.startswith(ROS_MODULES) or package.endswith("_msgs"):
        return (
            f"the ROS 2 package {package} was not found by Python {version} ({sys.executable}): source ROS 2's "
            "setup.bash, or use .venv/bin of `make build`"
        )
    return _install([package])


def _install(packages: Sequence[str]) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"Python {version} ({sys.executable}) does not find {', '.join(packages)}: in a checkout of tdm_ros, "
        "python3 -m pip install -r requirements/runtime.txt (docs/getting_started.md, With ROS 2 installed)"
    )


if __name__ == "__main__":
    sys.exit(check(dict(pair.split("=") for pair in sys.argv[1].split(",")), sys.argv[2], sys.argv[3:]))


@dataclass(frozen=True)
class Prepared:
    """State of a run before its nodes are started."""

    folder: Path  # absolute
    settings: dict[str, str]  # additional environment of the nodes
    lock: FolderLock  # excludes other systems from the folder until it is released or the process ends


def prepare(
    table: SystemTable, values: dict[str, Value], environ: Mapping[str, str], holder: str, parent: str = ""
) -> Prepared:
    """Check that the nodes can start; then make the folder of the run.

    The environment is that of the nodes; the value of ``run_dir`` becomes the path of the folder. ``holder`` is the
    name of the program, for the error of a second one in the same folder; ``parent`` the namespace that the launch file
    is included in. An OSError or ValueError has the reason why the system cannot start.
    """
    nodes, files = table.started(values), table.params_files(values)
    check_settings(environ)
    space = table.namespace(values, parent)
    executables = {f"{space}/{node.name}": "" for node in table.nodes if not node.per_arm}  # each may have a section
    executables |= {f"{space}/{node.full_name}": node.executable if node.package == PACKAGE else "" for node in nodes}
    if any(executables.values()):
        check_start(environ, executables, files, _robot_of(values, nodes))
    for node in nodes:
        check_priority(node.priority_of(values))
    folder = new_run_folder(str(values.get("run_dir", "")))
    if "run_dir" in values:
        values["run_dir"] = str(folder)
    lock = FolderLock(folder / LOGS, holder)
    record = {
        "system": table.name,
        "arguments": plain(values),
        "nodes": {node.full_name: plain(table.given(node, values)) for node in nodes},
        "params_files": {path.name: path.read_text() for path in files},
    }
    write_config(folder, record, environ)
    return Prepared(folder, {} if "ROS_LOG_DIR" in environ else {"ROS_LOG_DIR": str(folder / LOGS / "ros")}, lock)


def _robot_of(values: dict[str, Value], nodes: Sequence[NodeEntry]) -> str:
    """Description that the nodes take, "" if none; the path of a file becomes absolute."""
    if not any("robot" in node.parameters for node in nodes):
        return ""
    robot = str(values["robot"])
    values["robot"] = str(Path(robot).expanduser().absolute()) if robot.endswith(".yaml") else robot
    return str(values["robot"])


def plain(values: Mapping[str, Value]) -> dict[str, Value]:
    """Values as JSON has them: infinity, which it lacks, as the text of YAML."""
    return {name: as_ros_text(value) if value == math.inf else value for name, value in values.items()}
