"""Transitions in Parquet files, which Hugging Face's `datasets` loads: data/train-*.parquet, one column per field.

Needs pyarrow, an extra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.data.mcap_records import Budget
from tdm_ros.data.recording import DataError
from tdm_ros.data.table import ROW_COST, Columns, Dataset, Table, dataset

WIDEST = 8
"""Size of a number [bytes]."""
REMEDY = "pip install pyarrow (the extra 'data' of this package: pip install '.[data]')"
ROWS = "data/train-00000-of-00001.parquet"
CARD = """\
---
task_categories: [robotics]
tags: [tdm_ros]
---
{rows} transitions of {task}, exported by `tdm_ros data convert`.
`datasets.load_dataset("parquet", data_dir="data")` reads the columns.
"""


def pyarrow() -> tuple[Any, Any]:
    """Modules pyarrow and pyarrow.parquet. Raises DataError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"Parquet needs pyarrow, which is not installed: {REMEDY}; npz needs nothing") from error
    return pyarrow, pyarrow.parquet


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a Parquet file of NumPy or Arrow arrays; (N, D) becomes lists of D, objects become strings."""
    pa, parquet = pyarrow()
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: _array(one) if isinstance(one, np.ndarray) else one for name, one in columns.items()}
    parquet.write_table(pa.table(arrays), path, compression="zstd")


def _array(column: NDArray[Any]) -> Any:
    pa, _ = pyarrow()
    if column.dtype == object:
        return pa.array(column.tolist(), pa.string())
    if column.ndim == 1:
        return pa.array(column)
    values = pa.array(np.ascontiguousarray(column).reshape(-1))
    if column.shape[1] == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(column) + 1, np.int32)), values)
    return pa.FixedSizeListArray.from_arrays(values, column.shape[1])


def read_columns(path: Path, budget: Budget) -> Columns:
    """Read a Parquet file within a bound, since a few bytes can represent any number of equal values.

    Raises DataError if the budget does not allow it.
    """
    pa, parquet = pyarrow()
    schema = parquet.read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        for number, group in enumerate(groups):
            budget.take(group.total_byte_size, path)
            # Of a damaged column this raises an error; the method `column` of pyarrow 26 would end the process.
            next(file.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None)
            budget.take(-group.total_byte_size, path)  # its columns are counted one by one below
        for part in (group.column(number) for group in groups for number in range(group.num_columns)):
            budget.take(max(part.total_uncompressed_size, WIDEST * part.num_values), path)
        budget.take(ROW_COST * file.metadata.num_rows, path)
        table = file.read()
    return {name: _column(table[name], budget, path) for name in table.column_names}


def _column(found: Any, budget: Budget, path: Path) -> NDArray[Any]:
    """Column of a file as NumPy array, the inverse of `_array`."""
    pa, _ = pyarrow()
    if pa.types.is_dictionary(found.type):
        budget.take(sum(_unpacked_size(chunk) for chunk in found.chunks), path)
        dense = [chunk.dictionary_decode() for chunk in found.chunks]
        found = pa.chunked_array(dense, found.type.value_type)
    whole = found.combine_chunks()
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        return np.array([*whole.to_pylist(), None], object)[:-1]
    if pa.types.is_fixed_size_list(whole.type):
        return np.asarray(whole.flatten()).reshape(len(whole), whole.type.list_size)
    if pa.types.is_list(whole.type):
        return np.asarray(whole.flatten()).reshape(len(whole), -1 if len(whole) and len(whole.flatten()) else 0)
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _unpacked_size(chunk: Any) -> int:
    """Bytes of the values of a dictionary array, each as often as it occurs."""
    import pyarrow.compute as pc

    lengths = np.asarray(pc.fill_null(pc.binary_length(chunk.dictionary), 0)).astype(np.int64)
    indices = np.asarray(chunk.indices.drop_null())
    return int(np.bincount(indices, minlength=len(lengths)) @ lengths) if len(lengths) else 0


@contextmanager
def damage_as_data_error(folder: Path) -> Iterator[None]:
    """Turn what damaged files raise into a `DataError` with the remedy."""
    pa, _ = pyarrow()
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError, pa.ArrowException) as error:
        raise DataError(f"{folder} is damaged: {error}; convert the log again") from error


def is_parquet(path: Path) -> bool:
    """Whether a folder has the layout of this module."""
    return path.is_dir() and any((path / "data").glob("*.parquet"))


def write_parquet(folder: Path, table: Table) -> None:
    """Write the table into a new folder. The header's stamp is ``stamp_ns``."""
    write_columns(folder / ROWS, table.columns)
    card = CARD.format(rows=len(table), task=", ".join(sorted(set(table.columns["task"]))))
    (folder / "README.md").write_text(card, encoding="utf-8")


def read_parquet(folder: Path, budget: Budget) -> Dataset:
    """Read a folder with the columns that `write_parquet` writes.

    Raises DataError if a column is missing, it is damaged, pyarrow is missing, or the budget does not allow it.
    """
    with damage_as_data_error(folder):
        parts = [read_columns(path, budget) for path in sorted((folder / "data").glob("*.parquet"))]
        return dataset(str(folder), {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
