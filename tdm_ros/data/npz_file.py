"""Recordings as one .npz file: one NumPy array per field, and the data to restore the log."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tdm_ros.data import plain
from tdm_ros.data.mcap_records import Budget, UnpacksTooFarError
from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.table import INDEX, ROW_COST, Table, to_recording

HEADER = "recording"


def is_ours(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix == ".npz" and path.is_file()


def write_npz(path: Path, table: Table) -> None:
    """Write the table; a crash leaves no file.

    The fields of a transition have their names; strings are UTF-8. ``mcap.*`` say where each stood, ``carried.*`` hold
    what is no row.
    """
    arrays: dict[str, Any] = {
        name: np.asarray(column, np.str_) if column.dtype == object else column
        for name, column in table.columns.items()
    }
    arrays |= {f"mcap.{name}": values for name, values in table.index.items()}
    arrays["mcap.patch"], arrays["mcap.patch_end"] = plain.flat(table.patches)
    carried = plain.carried_columns(table)
    carried["data"], carried["data_end"] = plain.flat(carried["data"])
    arrays |= {f"carried.{name}": values for name, values in carried.items()}
    arrays[HEADER] = np.frombuffer(plain.header(table).encode(), np.uint8)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read_npz(path: Path, budget: Budget) -> Recording:
    """Read what `write_npz` wrote.

    Raises
    ------
    DataError
        If it is damaged, or another program's.
    UnpacksTooFarError
        If the budget does not allow it.
    """
    table = Table()
    try:
        with zipfile.ZipFile(path) as packed:
            for member in packed.infolist():  # no more of it is unpacked than this says
                budget.take(member.file_size, path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if HEADER not in arrays:
            raise DataError(f"{path} is no recording: `tdm_ros data convert` writes those that can be read here")
        plain.take_header(table, arrays.pop(HEADER).tobytes().decode(), str(path))
        budget.take(ROW_COST * (len(arrays["mcap.patch_end"]) + len(arrays["carried.data_end"])), path)
        table.patches = plain.parts(arrays.pop("mcap.patch"), arrays.pop("mcap.patch_end"))
        table.index = {name: arrays.pop(f"mcap.{name}") for name in INDEX if f"mcap.{name}" in arrays}
        carried = {name: arrays.pop(f"carried.{name}") for name in (*INDEX, "data", "data_end")}
        plain.take_carried(table, carried | {"data": plain.parts(carried["data"], carried["data_end"])})
        table.columns = {name: a.astype(object) if a.dtype.kind == "U" else a for name, a in arrays.items()}
        return to_recording(table, str(path))
    except (DataError, UnpacksTooFarError):
        raise
    except (OSError, MemoryError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged: {error}; convert the log again") from error
