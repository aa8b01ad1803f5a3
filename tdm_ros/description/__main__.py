"""Write the description's files anew: ``python -m tdm_ros.description``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tdm_ros.description.files import write


def main() -> None:
    """Write them below a folder."""
    parser = argparse.ArgumentParser(description="Write URDF, worlds and the bridge's configuration.")
    root = Path(__file__).resolve().parent.parent.parent
    parser.add_argument("folder", nargs="?", type=Path, default=root, help="where to (default: %(default)s)")
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
