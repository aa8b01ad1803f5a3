"""The environment in which nodes find ROS 2, our messages and each other: computed here, and only here."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# Many small processes on few cores: a thread pool in each of them would only fight the others.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")  # the second one for Fast DDS before 3
LOOPBACK = Path(__file__).with_name("loopback.xml")
PEERS = "ROS_STATIC_PEERS"
CLOSED = ("LOCALHOST", "OFF")
"""Discovery ranges that let no other host in."""
NETWORKS = ("localhost", "subnet")
"""Values of the argument `network`: who may discover a system's nodes, this machine alone or every host."""
DOMAINS = range(1, 101)  # above, the ports of DDS run into those that Linux hands out by itself


def ros_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for ROS 2 processes, made from the present one.

    A virtual environment that holds the ROS 2 wheels is an ament prefix, and our messages are installed into
    it: its prefix and its `bin` are all that must be known. What the environment says already is respected: a
    sourced ROS 2, a ROS_DOMAIN_ID, a discovery range, numbers of threads.
    """
    env = dict(environ)
    prefixes = ament_prefixes(environ)
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


def discovery(environ: Mapping[str, str], network: str) -> dict[str, str]:
    """Return the discovery range that belongs to a value of the argument `network`.

    The nodes obey whoever discovers them, so that the environment alone never lets other hosts in. What a profile of
    Fast DDS that an operator has set says is left to the operator.

    Raises
    ------
    ValueError
        If the environment and the argument do not agree; the text says what to do.
    """
    asked = environ.get(RANGE, "LOCALHOST")
    opened = [f"{RANGE}={asked}"] if asked not in CLOSED else []
    opened += [f"{PEERS}={environ[PEERS]}"] if environ.get(PEERS) else []
    profiles = [name for name in PROFILES if name in environ]
    if network == "subnet":
        if any(environ[name] == str(LOOPBACK) for name in profiles):
            raise ValueError(f"network:=subnet was given, but {profiles[0]} names the profile for localhost: unset it")
        return {RANGE: "SUBNET" if asked in CLOSED else asked}
    if opened and not profiles:
        raise ValueError(
            f"{' and '.join(opened)} would let other hosts discover and command this system, and the argument network "
            "is localhost: unset the variable, or give network:=subnet on every host (SECURITY.md says what that opens)"
        )
    return {RANGE: asked}


def without_shared_memory(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what must be set so that nodes talk by UDP alone; nothing where the environment says how they talk.

    Through shared memory, a publisher that meets a new listener waits until that one is seen to be awake: 0.33 s and
    more, in which an arm is not looked after. The range LOCALHOST can not be had without it (ROS gives Fast DDS its
    own transports then), so it is put in other words: any range, but on the loopback interface alone.

    Raises
    ------
    FileNotFoundError
        If the package is not whole.

    Source: Fast DDS 2.14, `SharedMemGlobal::Port::healthy_check`; rmw_fastrtps 8.4, `participant.cpp`.
    """
    rmw = environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if "fastrtps" not in rmw or any(
        name in environ for name in (*PROFILES, "FASTDDS_BUILTIN_TRANSPORTS", "ROS_STATIC_PEERS")
    ):
        return {}
    if environ.get(RANGE) == "LOCALHOST":
        if not LOOPBACK.is_file():  # without it they would talk to the whole network
            raise FileNotFoundError(f"{LOOPBACK} is missing: run `make build`, or `colcon build`, again")
        bound = {"RMW_IMPLEMENTATION": rmw}  # another one knows no such profile
        return {RANGE: "SUBNET", **dict.fromkeys(PROFILES, str(LOOPBACK)), **bound}
    return {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}


def ament_prefixes(environ: Mapping[str, str]) -> list[Path]:
    """Return the install prefixes of ROS 2 packages, the first choice first; Python's own may be one."""
    prefixes = [Path(text) for text in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if text]
    own = Path(sys.prefix)
    if (own / "share" / "ament_index").is_dir() and own not in prefixes:
        prefixes.append(own)
    return prefixes


def find_in_prefixes(relative: str, environ: Mapping[str, str]) -> Path:
    """Return the first file of that relative path under an install prefix.

    Raises
    ------
    FileNotFoundError
        If no prefix has it; the text says what to do.
    """
    prefixes = ament_prefixes(environ)
    for prefix in prefixes:
        if (prefix / relative).exists():
            return prefix / relative
    places = ", ".join(map(str, prefixes)) or "no prefix at all"
    raise FileNotFoundError(
        f"{relative} was not found in {places}: run `make build`, or `colcon build` and source its setup.bash"
    )


def free_domain(candidates: Iterable[int] | None = None) -> int:
    """Return a ROS domain in which no DDS participant of this machine is, as far as its ports tell.

    Source: DDS-RTPS 2.2, 9.6.1.1: the first participant of domain d listens on port 7410 + 250 d.

    Raises
    ------
    OSError
        If none of the candidates is free.
    """
    domains = list(DOMAINS if candidates is None else candidates)
    if candidates is None:
        random.shuffle(domains)
    for domain in domains:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise OSError(f"none of {len(domains)} ROS domains is free: stop other ROS 2 nodes, or set ROS_DOMAIN_ID")
