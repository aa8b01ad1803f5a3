"""Environment of a ROS 1 process that a ROS 2 process starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

_ROS2 = ("AMENT_", "COLCON_", "RMW_", "ROS_", "FASTRTPS_", "FASTDDS_", "CYCLONEDDS_", "ZENOH_")
_PATHS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH", "VIRTUAL_ENV")


def ros1_environment(
    environ: Mapping[str, str], master_uri: str, host_ip: str = "", python_path: Sequence[str] = ()
) -> dict[str, str]:
    """Return an environment without ROS 2, and with what ROS 1 needs.

    ROS 1 and ROS 2 both have packages called std_msgs, sensor_msgs and so on: whichever is first on the path
    breaks the other.

    Parameters
    ----------
    environ : mapping of str to str
        Of the ROS 2 process.
    master_uri : str
        Like "http://robot.local:11311".
    host_ip : str
        This machine's address on the robot's network, to which the robot connects back. Empty where its host
        name will do.
    python_path : sequence of str
        Folders of the SDK and its messages; stubs of what it needs and we do not have come last.

    Raises
    ------
    ValueError
        If `master_uri` is not an http address.
    """
    if not master_uri.startswith("http://"):
        raise ValueError(f"master_uri must be like http://robot.local:11311, got {master_uri!r}")
    env = {name: value for name, value in environ.items() if not name.startswith(_ROS2) and name not in _PATHS}
    ours = {os.path.realpath(prefix) for prefix in (sys.prefix, *_prefixes(environ)) if prefix != sys.base_prefix}
    words = environ.get("PATH", os.defpath).split(os.pathsep)
    env["PATH"] = os.pathsep.join(word for word in words if os.path.dirname(os.path.realpath(word)) not in ours)
    env["ROS_MASTER_URI"] = master_uri
    if host_ip:
        env["ROS_IP"] = host_ip
    if python_path:
        env["PYTHONPATH"] = os.pathsep.join(python_path)
    return env


def _prefixes(environ: Mapping[str, str]) -> list[str]:
    return [prefix for prefix in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
