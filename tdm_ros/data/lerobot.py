"""Transitions in LeRobot's layout v3.0, written with pyarrow alone: meta/info.json, tasks, episodes, data, statistics.

A frame is a commanded transition, an episode an unbroken piece of them. The goal is ``observation.environment_state``,
which LeRobot's policies take as an input. Texts (run, arm, task) are in meta/tdm_ros.
Source: huggingface/lerobot, LeRobotDataset v3.0 (Apache-2.0); without videos, in one data file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.data.mcap_records import Budget
from tdm_ros.data.parquet import damage_as_data_error, pyarrow, read_columns, write_columns
from tdm_ros.data.recording import DataError
from tdm_ros.data.table import VECTORS, Dataset, Table, commanded_pieces, dataset, known_tasks, rate_hz

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES, DATA = "meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"
TEXT_ROWS = "meta/tdm_ros/rows.parquet"
NAMES = {
    "observation": "observation.state",
    "desired_goal": "observation.environment_state",
    "action": "action",
    "next_observation": "next.state",
    "terminated": "next.terminated",
    "truncated": "next.truncated",
}
"""Fields of a transition and their names in LeRobot; the others are ``tdm.<field>``."""
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def is_lerobot(path: Path) -> bool:
    """Whether a folder has LeRobot's layout."""
    return (path / INFO).is_file()


def write_lerobot(folder: Path, table: Table) -> None:
    """Write the table, whose rows must be those of `commanded_pieces` in their order, into a new folder.

    Raises DataError if there is no frame, or frames of several tasks.
    """
    tasks = sorted(set(table.columns["task"]))
    if len(tasks) != 1:
        raise DataError(
            f"a LeRobot dataset has commanded transitions of one task, got {tasks or 'none'}: "
            "convert to npz or parquet, or trim the recording first"
        )
    fps = rate_hz(table.columns)
    features, columns = _frames(table, fps)
    pieces = commanded_pieces(table)
    write_columns(folder / DATA, columns)
    write_columns(folder / TEXT_ROWS, {name: one for name, one in table.columns.items() if one.dtype == object})
    sentence = f"{tasks[0].partition(':')[0]}: reach the goal in observation.environment_state"
    _write_tasks(folder / TASKS, sentence)
    numeric = {name: columns[name] for name in features if columns[name].dtype != bool}
    _write_episodes(folder / EPISODES, pieces, sentence, numeric)
    stats = {name: _statistics(values) for name, values in numeric.items()}
    (folder / STATS).write_text(json.dumps(stats, indent=4), encoding="utf-8")
    info = {
        "codebase_version": VERSION,
        "robot_type": tasks[0].partition("_")[0],
        "total_episodes": len(pieces),
        "total_frames": len(table),
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(pieces)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    (folder / INFO).write_text(json.dumps(info, indent=4), encoding="utf-8")


def _frames(table: Table, fps: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """LeRobot's description of each column, and the columns."""
    pieces = commanded_pieces(table)
    sizes = [len(piece) for piece in pieces]
    columns = {
        NAMES.get(name, f"tdm.{name}"): column for name, column in table.columns.items() if column.dtype != object
    }
    frame = np.concatenate([np.arange(size) for size in sizes]).astype(np.int64)
    last = np.zeros(len(table), bool)
    last[np.cumsum(sizes) - 1] = True
    columns |= {
        "next.done": last,
        "timestamp": (frame / fps).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(len(sizes)), sizes).astype(np.int64),
        "index": np.arange(len(table), dtype=np.int64),
        "task_index": np.zeros(len(table), np.int64),
    }
    columns = {name: column for name, column in columns.items() if column.ndim == 1 or column.shape[1]}
    features = {
        name: {
            "dtype": str(column.dtype),
            "shape": [1] if column.ndim == 1 else [column.shape[1]],
            "names": _names(table, name, column),
        }
        for name, column in columns.items()
    }
    return features, columns


def _names(table: Table, feature: str, column: NDArray[Any]) -> list[str] | None:
    """Names of the numbers of a vector, if the task is one of this package."""
    task = known_tasks().get(str(table.columns["task"][0]))
    field = next((key for key, value in NAMES.items() if value == feature), feature.removeprefix("tdm."))
    part = VECTORS.get(field)
    if task is None or part is None or column.shape[1:] != (getattr(task, part).size,):
        return None
    return list(getattr(task, part).names)


def _write_tasks(path: Path, sentence: str) -> None:
    """Write the table of tasks, with the metadata by which pandas uses its column as index."""
    pa, parquet = pyarrow()
    columns = [{"name": name, "field_name": name, "metadata": None} for name in ("task_index", "task")]
    columns[0] |= {"pandas_type": "int64", "numpy_type": "int64"}
    columns[1] |= {"pandas_type": "unicode", "numpy_type": "object"}
    index = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    pandas = {"index_columns": ["task"], "column_indexes": [index], "columns": columns, "pandas_version": "2.2.0"}
    made = pa.table({"task_index": pa.array([0], pa.int64()), "task": [sentence]})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(made.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)


def _write_episodes(
    path: Path, pieces: list[NDArray[np.int64]], sentence: str, numeric: dict[str, NDArray[Any]]
) -> None:
    pa, _ = pyarrow()
    sizes = [len(piece) for piece in pieces]
    ends = np.cumsum(sizes, dtype=np.int64)
    zeros = pa.array(np.zeros(len(sizes), np.int64))
    columns: dict[str, Any] = {
        "episode_index": pa.array(np.arange(len(sizes), dtype=np.int64)),
        "tasks": pa.array([[sentence]] * len(sizes), pa.list_(pa.string())),
        "length": pa.array(np.array(sizes, np.int64)),
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": pa.array(ends - sizes),
        "dataset_to_index": pa.array(ends),
        "meta/episodes/chunk_index": zeros,
        "meta/episodes/file_index": zeros,
    }
    each = [{name: _statistics(values[piece]) for name, values in numeric.items()} for piece in pieces]
    for name in numeric:
        for key in each[0][name]:
            columns[f"stats/{name}/{key}"] = pa.array([one[name][key] for one in each])
    write_columns(path, columns)


def _statistics(values: NDArray[Any]) -> dict[str, list[float] | list[int]]:
    wide = values.reshape(len(values), -1).astype(np.float64)
    found: dict[str, list[float] | list[int]] = {
        name: getattr(np, name)(wide, axis=0).tolist() for name in ("min", "max", "mean", "std")
    }
    found["count"] = [len(values)]
    return found | {name: np.quantile(wide, share, axis=0).tolist() for name, share in QUANTILES.items()}


def read_lerobot(folder: Path, budget: Budget) -> Dataset:
    """Read the columns that `write_lerobot` writes.

    Raises DataError if another program made it, it is damaged, pyarrow is missing, or the budget does not allow it.
    """
    pyarrow()
    if not (folder / TEXT_ROWS).is_file():
        raise DataError(
            f"{folder} is a LeRobot dataset of another program: it has no goals and no cycles of a tdm_ros arm; "
            "give one that `tdm_ros data convert` wrote"
        )
    fields = {value: key for key, value in NAMES.items()}
    with damage_as_data_error(folder):
        texts, data = read_columns(folder / TEXT_ROWS, budget), read_columns(folder / DATA, budget)
        found = {fields.get(name, name.removeprefix("tdm.")): column for name, column in data.items()}
        return dataset(str(folder), found | texts)
