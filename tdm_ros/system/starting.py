"""Start a node, as its executable does; when that cannot work, one sentence says why and what to do."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping

from tdm_ros.system.environment import ament_prefixes

ROS_MODULES = ("rclpy", "rcl_interfaces", "lifecycle_msgs", "std_srvs", "rosidl_", "rpyutils", "ament_index_python")
RENDERERS = {"osmesa": "libosmesa6", "egl": "libegl1", "glfw": "libglfw3"}
"""Values of MUJOCO_GL, and the Debian package of each one's library."""
DOMAINS = range(233)
"""ROS domains that DDS has ports for. Source: DDS-RTPS 2.2, 9.6.1.1."""


def start(node: str) -> int:
    """Import a node and run it until it ends; return its exit status.

    Parameters
    ----------
    node : str
        Name of a module of `tdm_ros.nodes`.
    """
    try:
        check_settings(os.environ)
        main = importlib.import_module(f"tdm_ros.nodes.{node}").main
    except Exception as error:
        report(node, error)
        return 1
    return int(main())


def report(who: str, error: Exception) -> None:
    """Print why something failed: one sentence where the cause is known, else the traceback, too."""
    sentence = explain(error, os.environ)
    expected = isinstance(error, ValueError | OSError)
    print(f"{who}: {sentence or (error if expected else repr(error))}", file=sys.stderr, flush=True)
    if not sentence and not expected:
        traceback.print_exception(error)


def check_settings(environ: Mapping[str, str]) -> None:
    """Check what ROS would take without a word, or end the process for.

    Raises
    ------
    ValueError
        If ROS_DOMAIN_ID is no domain, or RMW_IMPLEMENTATION is not installed; the text says what to do.
    """
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
    """Return why a program of this package cannot start, and the remedy; empty if the cause is not known."""
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
    if "log directory" in text:
        return f"ROS 2 cannot write its logs ({text}): set ROS_LOG_DIR to a folder that you may write"
    if "rcl" in type(error).__module__ or type(error).__name__ == "RCLError":
        return f"ROS 2 does not start: {text.strip()}. See ROS_* in the environment, and the arguments after --ros-args"
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
    return (
        f"the Python package {package} was not found by Python {version} ({sys.executable}): python3 -m pip install -r "
        "requirements/runtime.txt -c constraints.txt, in a checkout of tdm_ros; or rosdep install --from-paths ."
    )
