"""Environment variables with which nodes find ROS 2, the messages of this package and each other."""

from __future__ import annotations

import os
import random
import socket
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from pathlib import Path

# Many small processes share few cores: a pool of threads in each of them slows all.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
LIVE_LINES = "TDM_ROS_LIVE_LINES"
"""How a node prints its live line: "each" prints all for `Console`, "some" one in `LIVE_EVERY`, as text."""
PATHS = ("AMENT_PREFIX_PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
"""Variables to which a setup.bash of ROS 2 adds its prefix."""
INDEX = Path("share") / "ament_index" / "resource_index"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")  # the second one for Fast DDS before 3
LOOPBACK = Path(__file__).with_name("loopback.xml")
ONLY = "ROS_LOCALHOST_ONLY"  # deprecated: 1 overrides the range with LOCALHOST
PEERS = "ROS_STATIC_PEERS"
CLOSED = ("LOCALHOST", "OFF")  # discovery ranges without other hosts
NETWORKS = ("localhost", "subnet")
"""Values of the argument `network`: nodes are discovered on this machine only, or by every host of the network."""
DOMAINS = range(1, 101)  # the ports of higher domains are in the range of the temporary ports of Linux


def ros_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for ROS 2 processes, made from the present one.

    A virtual environment with the wheels of ROS 2 is an ament prefix, into which the messages are installed. Variables
    that are set are kept: those of a sourced ROS 2, unless it is for another Python, ROS_DOMAIN_ID, the discovery
    range, numbers of threads.
    """
    env = dict(environ)
    for prefix in foreign_prefixes(environ):
        for name in filter(env.__contains__, PATHS):
            kept = [text for text in env[name].split(os.pathsep) if text and not Path(text).is_relative_to(prefix)]
            env[name] = os.pathsep.join(kept)
    prefixes = ament_prefixes(env)
    if prefixes:
        env["AMENT_PREFIX_PATH"] = os.pathsep.join(map(str, prefixes))
    scripts = str(Path(sys.prefix) / "bin")
    if scripts not in env.get("PATH", "").split(os.pathsep):
        env["PATH"] = os.pathsep.join([scripts, env.get("PATH", os.defpath)])
    env.setdefault(RANGE, "LOCALHOST")
    if "ROS_DOMAIN_ID" not in env:
        env["ROS_DOMAIN_ID"] = str(free_domain())
    for name in ONE_THREAD:
        env.setdefault(name, "1")
    return env


def foreign_prefixes(environ: Mapping[str, str]) -> list[Path]:
    """Return the prefixes of a sourced ROS 2 that this Python cannot import, where it has a ROS 2 of its own."""
    own = Path(sys.prefix)
    if not (own / INDEX / "packages" / "rclpy").is_file():
        return []
    places = [Path(text) for text in environ.get("PYTHONPATH", "").split(os.pathsep) if text]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    foreign = [
        place for place in places if (place / "rclpy").is_dir() and not [*(place / "rclpy").glob(f"_rclpy*{suffix}")]
    ]
    return [prefix for prefix in ament_prefixes(environ) if any(place.is_relative_to(prefix) for place in foreign)]


def discovery(environ: Mapping[str, str], network: str) -> dict[str, str]:
    """Return the discovery range for a value of the argument `network`; a ValueError says how the two contradict.

    The nodes execute commands of every host that discovers them, so that the argument is needed besides the
    environment. A profile of Fast DDS that the environment names is kept.
    """
    alone = environ.get(ONLY) == "1"
    asked = "LOCALHOST" if alone else environ.get(RANGE, "LOCALHOST")
    opened = [f"{RANGE}={asked}"] if asked not in CLOSED else []
    opened += [f"{PEERS}={environ[PEERS]}"] if environ.get(PEERS) and not alone else []
    profiles = [name for name in PROFILES if name in environ]
    if network == "subnet":
        if alone:
            raise ValueError(f"network:=subnet was given, but {ONLY}=1 excludes other hosts: unset it")
        if any(environ[name] == str(LOOPBACK) for name in profiles):
            raise ValueError(f"network:=subnet was given, but {profiles[0]} names the profile for localhost: unset it")
        return {RANGE: "SUBNET" if asked in CLOSED else asked}
    if opened and not profiles:
        raise ValueError(
            f"{' and '.join(opened)} would let other hosts discover and command this system, and the argument network "
            "is localhost: unset the variable, or give network:=subnet on every host (SECURITY.md has the consequences)"
        )
    return {RANGE: asked}


def without_shared_memory(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which nodes communicate by UDP only; none where the environment selects a transport.

    With shared memory, a publisher waits for each new subscriber, 0.33 s and more, in which no command is executed. ROS
    always adds shared memory to the range LOCALHOST; a profile that has the loopback interface only replaces it.

    Source: Fast DDS 2.14, `SharedMemGlobal::Port::healthy_check`; rmw_fastrtps 8.4, `participant.cpp`.
    """
    rmw = environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if "fastrtps" not in rmw or any(
        name in environ for name in (*PROFILES, "FASTDDS_BUILTIN_TRANSPORTS", "ROS_STATIC_PEERS")
    ):
        return {}
    if environ.get(ONLY) == "1" or environ.get(RANGE) == "LOCALHOST":
        if not LOOPBACK.is_file():  # without it nodes would use every interface
            raise FileNotFoundError(f"{LOOPBACK} is missing: run `make build`, or `colcon build`, again")
        bound = {"RMW_IMPLEMENTATION": rmw}  # the profile is for this one only
        if ONLY in environ:
            bound[ONLY] = ""  # 1 would add shared memory again
        newer = any((prefix / "share" / "fastdds").is_dir() for prefix in ament_prefixes(environ))
        names = PROFILES[:1] if newer else PROFILES  # Fast DDS 3 warns of the second one
        return {RANGE: "SUBNET", **dict.fromkeys(names, str(LOOPBACK)), **bound}
    return {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}


def ament_prefixes(environ: Mapping[str, str]) -> list[Path]:
    """Return the install prefixes of ROS 2 packages in order of precedence; that of this Python may be one."""
    prefixes = [Path(text) for text in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if text]
    own = Path(sys.prefix)
    if (own / "share" / "ament_index").is_dir() and own not in prefixes:
        prefixes.append(own)
    return prefixes


def find_in_prefixes(relative: str, environ: Mapping[str, str]) -> Path:
    """Return the first file of that relative path under an install prefix; a FileNotFoundError has the remedy."""
    prefixes = ament_prefixes(environ)
    for prefix in prefixes:
        if (prefix / relative).exists():
            return prefix / relative
    where = f"in {', '.join(map(str, prefixes))}" if prefixes else "(AMENT_PREFIX_PATH names no install prefix)"
    raise FileNotFoundError(
        f"{relative} was not found {where}. Messages, nodes and tables are built with colcon and are in no wheel: in a "
        "checkout of tdm_ros run `make build` and use .venv/bin/tdm_ros, or, with ROS 2 Jazzy sourced, run `colcon "
        "build` and source install/setup.bash"
    )


def check_same_install(prefix: Path) -> None:
    """Raise a ValueError if the running code is not that of an install prefix, of which tables and nodes are."""
    running = Path(__file__).resolve()
    packages = [prefix / lib / "python*" / "*-packages" / "tdm_ros" for lib in ("lib", "local/lib")]
    found = [path for package in packages for path in glob(str(package / running.parent.name / running.name))]
    installed = [Path(path).resolve() for path in found]
    if running in installed:
        return
    ours = shadowed(prefix) or (running.parents[1] if installed else None)
    if ours is None:
        return
    raise ValueError(
        f"tdm_ros of {prefix} is sourced, this program is of {ours}: use a terminal in which the other one is not "
        f"sourced, or run {prefix / 'bin' / 'tdm_ros'}"
    )


def shadowed(prefix: Path) -> Path | None:
    """Return the prefix of this Python if it has a tdm_ros that ``prefix`` hides; None otherwise."""
    own = Path(sys.prefix)
    return own if own != prefix and (own / INDEX / "packages" / "tdm_ros").is_file() else None


def export_line(environ: Mapping[str, str]) -> str:
    """Line for another terminal, after which its ROS 2 programs discover nodes of an environment."""
    given = {"ROS_DOMAIN_ID": environ.get("ROS_DOMAIN_ID") or "0", RANGE: environ.get(RANGE) or "LOCALHOST"}
    return "export " + " ".join(f"{name}={value}" for name, value in given.items())


def free_domain(candidates: Iterable[int] = ()) -> int:
    """Return a ROS domain without a DDS participant on this machine, judged by the port of the first participant.

    Source: DDS-RTPS 2.2, 9.6.1.1: the first participant of domain d listens on port 7410 + 250 d.
    """
    domains = list(candidates) or random.sample(DOMAINS, len(DOMAINS))
    for domain in domains:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise OSError(f"none of {len(domains)} ROS domains is free: stop other ROS 2 nodes, or set ROS_DOMAIN_ID")


def require(packages: Sequence[str], what: str, instead: str = "") -> None:
    """Raise a RuntimeError, with the command that installs them, if ROS does not find some packages.

    ``what`` is the argument that needs them, as it was typed, ``instead`` an alternative.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    missing = []
    for package in packages:
        try:
            get_package_share_directory(package)
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        names = " ".join(f"ros-$ROS_DISTRO-{package.replace('_', '-')}" for package in missing)
        other = f", or {instead}" if instead else ""
        raise RuntimeError(f"{what} needs the ROS packages {', '.join(missing)}: apt install {names}{other}")
