"""Arrow tables of recordings, for formats based on Parquet files. Needs pyarrow, an extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdm_ros.data import plain
from tdm_ros.data.mcap_records import Budget
from tdm_ros.data.recording import DataError
from tdm_ros.data.table import INDEX, ROW_COST, Table

WIDEST = 8
"""Size of a number [bytes]."""
REMEDY = "pip install pyarrow (the extra 'data' of this package: pip install '.[data]')"


def pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet.

    Raises
    ------
    DataError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"Parquet needs pyarrow, which is not installed: {REMEDY}; npz needs nothing") from error
    return pyarrow, pyarrow.parquet


def array(column: NDArray[Any]) -> Any:
    """A column: (N, D) becomes lists of D, objects strings."""
    pa, _ = pyarrow()
    if column.dtype == object:
        return pa.array(column.tolist(), pa.string())
    if column.ndim == 1:
        return pa.array(column)
    values = pa.array(np.ascontiguousarray(column).reshape(-1))
    if column.shape[1] == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(column) + 1, np.int32)), values)
    return pa.FixedSizeListArray.from_arrays(values, column.shape[1])


def column(found: Any) -> NDArray[Any]:
    """Undo `array`."""
    pa, _ = pyarrow()
    whole = found.combine_chunks()
    if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
        return np.array([*whole.to_pylist(), None], object)[:-1]
    if pa.types.is_fixed_size_list(whole.type):
        return np.asarray(whole.flatten()).reshape(len(whole), whole.type.list_size)
    if pa.types.is_list(whole.type):
        return np.zeros((len(whole), 0), whole.type.value_type.to_pandas_dtype())
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def read(path: Path, budget: Budget) -> Any:
    """Read a Parquet file, but not beyond a bound: a few bytes can stand for any number of equal values.

    Raises
    ------
    UnpacksTooFarError
        If the budget does not allow it.
    """
    pa, parquet = pyarrow()
    schema = parquet.read_schema(path)
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        for part in (group.column(number) for group in groups for number in range(group.num_columns)):
            budget.take(max(part.total_uncompressed_size, WIDEST * part.num_values), path)
        budget.take(ROW_COST * file.metadata.num_rows, path)
        found = file.read()
    for number, name in enumerate(found.column_names):
        column = found[name]
        if pa.types.is_dictionary(column.type):
            budget.take(sum(_unpacked_size(chunk) for chunk in column.chunks), path)
            dense = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)
            found = found.set_column(number, schema.field(name), dense)
    return found


def _unpacked_size(chunk: Any) -> int:
    """Bytes of the values of a dictionary array, each as often as it occurs."""
    import pyarrow.compute as pc

    lengths = np.asarray(pc.fill_null(pc.binary_length(chunk.dictionary), 0)).astype(np.int64)
    indices = np.asarray(chunk.indices.drop_null())
    return int(np.bincount(indices, minlength=len(lengths)) @ lengths) if len(lengths) else 0


def index_columns(table: Table) -> dict[str, Any]:
    """Where the rows stood, and their patches."""
    pa, _ = pyarrow()
    columns = {f"mcap.{name}": array(values) for name, values in table.index.items()}
    return columns | {"mcap.patch": pa.array(table.patches, pa.binary())}


def take_index(table: Table, found: Any) -> None:
    """Fill ``index`` and ``patches`` from a table with `index_columns`."""
    table.index = {name: column(found[f"mcap.{name}"]) for name in INDEX if f"mcap.{name}" in found.column_names}
    table.patches = found["mcap.patch"].to_pylist()


def write(path: Path, columns: dict[str, Any]) -> None:
    """Write a Parquet file."""
    pa, parquet = pyarrow()
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, compression="zstd")


def write_carried(path: Path, table: Table) -> None:
    """Write what is no row, with the header in the file's metadata."""
    pa, parquet = pyarrow()
    columns = plain.carried_columns(table)
    data = pa.array(columns.pop("data"), pa.binary())
    made = pa.table({**{name: pa.array(values) for name, values in columns.items()}, "data": data})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(made.replace_schema_metadata({plain.FORMAT: plain.header(table)}), path, compression="zstd")


def read_carried(path: Path, budget: Budget) -> Table:
    """A table without rows from what `write_carried` wrote."""
    found = read(path, budget)
    table = Table()
    plain.take_header(table, (found.schema.metadata or {}).get(plain.FORMAT.encode(), b"{}").decode(), str(path))
    columns = {name: found[name].to_pylist() for name in found.column_names}
    plain.take_carried(table, columns)
    return table
