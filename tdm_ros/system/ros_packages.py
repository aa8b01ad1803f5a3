"""ROS packages that only some launch files need: whether each is installed, and the remedy if not."""

from __future__ import annotations

from collections.abc import Sequence


def require(packages: Sequence[str], what: str, instead: str = "") -> None:
    """Make sure that ROS finds packages.

    Parameters
    ----------
    packages : sequence of str
    what : str
        What needs them, as a person typed it.
    instead : str
        Alternative, if there is one.

    Raises
    ------
    RuntimeError
        If some are missing; the text says which, and how to get them.
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
