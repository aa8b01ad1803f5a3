"""Make Python modules of message definitions with ROS 1's own generator, and print their MD5 sums as JSON.

    python3 make_messages.py FOLDER_WITH_msg_AND_srv TARGET     (a ROS 1 Python)

The folder's name is the package's; the definitions that it builds on are looked for in ROS_SHARE (/usr/share).
"""

import importlib
import json
import os
import sys
from pathlib import Path

import genpy.generate_initpy
import genpy.generator

SHARE = Path(os.environ.get("ROS_SHARE", "/usr/share"))


def main(source: Path, target: Path) -> dict[str, str]:
    """Return the MD5 sum of each message and service."""
    package = source.name
    search = {package: [str(source / "msg")]}
    for name in ("std_msgs", "geometry_msgs", "sensor_msgs"):
        search[name] = [str(SHARE / name / "msg")]
    sums = {}
    for kind, generator in (("msg", genpy.generator.MsgGenerator), ("srv", genpy.generator.SrvGenerator)):
        folder = target / package / kind
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(str(path) for path in (source / kind).glob(f"*.{kind}"))
        if generator().generate_messages(package, files, str(folder), search):
            sys.exit(f"genpy could not make the {kind} of {package}: its message is above")
        genpy.generate_initpy.write_modules(str(folder))
    (target / package / "__init__.py").touch()
    sys.path.insert(0, str(target))
    for kind in ("msg", "srv"):
        module = importlib.import_module(f"{package}.{kind}")
        for path in (source / kind).glob(f"*.{kind}"):
            sums[path.stem] = getattr(module, path.stem)._md5sum
    return sums


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
