"""Checks before the start of a system: whether its nodes can start, and where they record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tdm_ros.folder_lock import FolderLock
from tdm_ros.system.run_folder import LOGS, new_run_folder, write_config
from tdm_ros.system.scheduling import check_priority
from tdm_ros.system.starting import check_settings, check_start
from tdm_ros.system.table import PACKAGE, SystemTable, Value


@dataclass(frozen=True)
class Prepared:
    """What a run has before its nodes are started.

    Attributes
    ----------
    folder : Path
        Absolute.
    settings : dict of str to str
        What the nodes need in their environment, too.
    lock : FolderLock
        Keeps other systems from the folder, until it is released or the process ends.
    """

    folder: Path
    settings: dict[str, str]
    lock: FolderLock


def prepare(table: SystemTable, values: dict[str, Value], environ: Mapping[str, str], holder: str) -> Prepared:
    """Check, before anything is made or started, that nodes can start; then make the folder of the run.

    Parameters
    ----------
    table : SystemTable
    values : dict
        Of the arguments; ``run_dir`` becomes the folder that was made.
    environ : mapping of str to str
        The environment that the nodes are started in.
    holder : str
        Name of the program, for the message of a second one that is to write the folder.

    Raises
    ------
    OSError
        If a real-time priority was refused, the folder cannot be made or written, or another system writes it.
    ValueError
        If ROS 2 does not start with this environment and these files of parameters.
    """
    nodes, files = table.started(values), table.params_files(values)
    check_settings(environ)
    if ours := {node.executable for node in nodes if node.package == PACKAGE}:
        check_start(environ, ours, files)
    for node in nodes:
        check_priority(node.priority_of(values))
    folder = new_run_folder(str(values.get("run_dir", "")))
    if "run_dir" in values:
        values["run_dir"] = str(folder)
    lock = FolderLock(folder / LOGS, holder)
    write_config(folder, configuration(table, values), environ)
    return Prepared(folder, {} if "ROS_LOG_DIR" in environ else {"ROS_LOG_DIR": str(folder / LOGS / "ros")}, lock)


def configuration(table: SystemTable, values: Mapping[str, Value]) -> dict[str, object]:
    """Return what is run: the arguments, and what each node is given."""
    nodes = {node.full_name: table.given(node, values) for node in table.started(values)}
    return {
        "system": table.name,
        "arguments": dict(values),
        "nodes": nodes,
        "params_files": {path.name: path.read_text() for path in table.params_files(values)},
    }
