"""Writes the files of the description in the root of the repository: ``python -m tdm_ros.description``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tdm_ros.description.files import write


def main() -> None:
    """Write them below a folder."""
    parser = argparse.ArgumentParser(description="Write URDF, worlds and the bridge's configuration.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to (default: here)")
    for path in write(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
