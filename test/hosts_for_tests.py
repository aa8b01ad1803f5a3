"""Two hosts on one machine, for what crosses a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

IP = shutil.which("ip") or "/usr/sbin/ip"
HOSTS = ("tdmA", "tdmB")


def ip(*words: str) -> str:
    """Run `ip`; return what it complained about, or ""."""
    try:
        done = subprocess.run([IP, *words], capture_output=True, text=True, timeout=10)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: two hosts, as far as DDS can tell."""
    first, second = (f"{name}{os.getpid()}" for name in HOSTS)
    cable = f"ve{os.getpid()}"
    steps = [
        ("netns", "add", first),
        ("netns", "add", second),
        ("link", "add", f"{cable}a", "netns", first, "type", "veth", "peer", "name", f"{cable}b", "netns", second),
    ]
    for host, end, number in ((first, "a", 1), (second, "b", 2)):
        steps += [
            ("-n", host, "addr", "add", f"10.213.0.{number}/24", "dev", f"{cable}{end}"),
            ("-n", host, "link", "set", f"{cable}{end}", "up"),
            ("-n", host, "link", "set", "lo", "up"),
        ]
    try:
        for step in steps:
            if problem := ip(*step):
                pytest.skip(f"no network namespaces here: ip {' '.join(step)}: {problem}")
        _wait_for_addresses((first, second))
        yield first, second
    finally:
        for host in (first, second):
            ip("netns", "delete", host)


@pytest.fixture
def offline() -> Iterator[str]:
    """A network namespace with loopback alone: a host without a network."""
    name = f"tdmO{os.getpid()}"
    try:
        for step in (("netns", "add", name), ("-n", name, "link", "set", "lo", "up")):
            if problem := ip(*step):
                pytest.skip(f"no network namespaces here: ip {' '.join(step)}: {problem}")
        yield name
    finally:
        ip("netns", "delete", name)


def _wait_for_addresses(names: tuple[str, ...]) -> None:
    """For a second or two a new interface checks that its address is nobody else's: DDS is deaf if it starts then."""
    end_s = time.monotonic() + 10.0
    while time.monotonic() < end_s:
        said = [subprocess.run([IP, "-n", name, "addr"], capture_output=True, text=True).stdout for name in names]
        if not any("tentative" in text for text in said):
            return
        time.sleep(0.1)
