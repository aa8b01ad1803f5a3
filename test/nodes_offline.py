"""Program for a network namespace with loopback alone: starts nodes there, and waits until each of them works.

ip netns exec NAME python test/nodes_offline.py FOLDER NODE...
"""

from __future__ import annotations

import re
import socket
import sys
import urllib.request
from pathlib import Path

import conftest  # noqa: F401 (the environment of ROS 2)
from ros_bench import bench


def main(folder: Path, names: list[str]) -> None:
    interfaces = [name for _, name in socket.if_nameindex()]
    assert interfaces == ["lo"], f"a namespace with loopback alone is needed, got {interfaces}"
    from tdm_ros.msg import ArmState

    with bench(folder) as made:
        states = made.collect(ArmState, "arm_state")
        for name in names:
            made.start(name)
        made.until(lambda: set(names) <= set(made.diagnostics) and (len(states) > 20 or "arm" not in names), 90.0)
        if "console" in names:
            made.until(lambda: "in a browser" in made.output("console"), 60.0)
            address = re.search(r"open (http\S+) in a browser", made.output("console"))
            assert address is not None
            assert urllib.request.urlopen(address[1], timeout=20).status == 200
        assert all(process.poll() is None for process in made.processes.values())
    print("all work:", *names)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
