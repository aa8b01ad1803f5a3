"""Recordings as a folder that Hugging Face's `datasets` loads: data/train-*.parquet, one column per field."""

from __future__ import annotations

from pathlib import Path

from tdm_ros.data import arrow
from tdm_ros.data.mcap_records import Budget, UnpacksTooFarError
from tdm_ros.data.recording import DataError, Recording
from tdm_ros.data.table import Table, to_recording

ROWS = "data/train-00000-of-00001.parquet"
CARRIED = "recording/messages.parquet"
CARD = """\
---
task_categories: [robotics]
tags: [tdm_ros]
---
{rows} transitions of {task}. `datasets.load_dataset("parquet", data_dir="data")` reads the columns;
`tdm_ros data convert` makes the MCAP log again, byte by byte, with the columns `mcap.*` and `recording/`.
"""


def is_ours(path: Path) -> bool:
    """Whether the folder is laid out so."""
    return (path / CARRIED).is_file() and (path / "data").is_dir()


def write_parquet(folder: Path, table: Table) -> None:
    """Write the table into a new folder. The header's stamp is ``stamp_ns``."""
    columns = {name: arrow.array(column) for name, column in table.columns.items()}
    arrow.write(folder / ROWS, columns | arrow.index_columns(table))
    arrow.write_carried(folder / CARRIED, table)
    tasks = sorted(set(table.columns["task"])) if "task" in table.columns else []
    card = CARD.format(rows=len(table), task=", ".join(tasks) or "no task")
    (folder / "README.md").write_text(card, encoding="utf-8")


def read_parquet(folder: Path, budget: Budget) -> Recording:
    """Read what `write_parquet` wrote.

    Raises
    ------
    DataError
        If it is damaged, or pyarrow is missing.
    UnpacksTooFarError
        If the budget does not allow it.
    """
    pa, _ = arrow.pyarrow()
    try:
        table: Table = arrow.read_carried(folder / CARRIED, budget)
        rows = arrow.read(folder / ROWS, budget)
        arrow.take_index(table, rows)
        names = [name for name in rows.column_names if not name.startswith("mcap.")]
        table.columns = {name: arrow.column(rows[name]) for name in names}
        return to_recording(table, str(folder))
    except (DataError, UnpacksTooFarError):
        raise
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise DataError(f"{folder} is damaged: {error}; convert the log again") from error
