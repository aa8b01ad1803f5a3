"""Results of many runs as tidy rows, and their interquartile means over seeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import trim_mean

from benchmarks.cases import Run, table_name
from benchmarks.trial import RESULT, SCHEMA

COLUMNS = (
    "task",
    "agent",
    "seed",
    "steps",
    "mean",
    "median",
    "p95",
    "success",
    "goals",
    "updates",
    "wall_s",
    "cpu_s",
    "device",
    "selected_mode",
)


INTERVAL, RESAMPLES = 0.95, 2000


class Spread(NamedTuple):
    """A score over seeds."""

    iqm: float
    """Interquartile mean."""
    low: float
    high: float
    """Bounds of its `INTERVAL`; of one seed its score."""
    seeds: int


def interquartile_mean(values: Sequence[float]) -> Spread:
    """Mean of the middle half of the values, with a percentile bootstrap interval.

    A value is cut off at each end for four values; of three or fewer it is the mean.

    Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
    """
    middle = float(trim_mean(values, 0.25))
    if len(values) == 1:
        return Spread(middle, middle, middle, 1)
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(trim_mean(drawn, 0.25, axis=1), [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Spread(middle, float(low), float(high), len(values))


def read_result(run: Run, out: Path) -> dict[str, Any] | None:
    """The result of a run, or None if it has not been measured.

    Raises
    ------
    ValueError
        If another version wrote it.
    """
    path = run.folder(out) / RESULT
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result["schema"] != SCHEMA:
        raise ValueError(f"{path} has schema {result['schema']}, this version reads {SCHEMA}; remove it")
    return result


def measured(out: Path) -> list[Run]:
    """All runs with a result below a folder, by task, agent and seed."""
    runs = []
    for path in sorted(out.glob(f"*/*/seed_*/{RESULT}")):
        result = json.loads(path.read_text(encoding="utf-8"))
        runs.append(Run(**{spec.name: result.get(spec.name, spec.default) for spec in fields(Run)}))
    return sorted(runs, key=lambda run: (run.task, run.steps, run.agent, run.seed))


def tidy(runs: Sequence[Run], out: Path) -> list[dict[str, Any]]:
    """One row for each run and mark that has been measured, with `COLUMNS`."""
    rows = []
    for run in runs:
        result = read_result(run, out)
        for row in result["rows"] if result else ():
            every = {**asdict(run), "device": result.get("device", "cpu"), "selected_mode": "", **row}
            rows.append({name: every[name] for name in COLUMNS})
    return rows


def write_csv(rows: Sequence[dict[str, Any]], out: Path, task: str, steps: int) -> Path:
    """Write the rows of one table to a CSV file."""
    path = out / f"{table_name(task, steps)}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def spread(rows: Sequence[dict[str, Any]], agent: str, steps: int, column: str = "mean") -> Spread | None:
    """Interquartile mean over the seeds of ``agent`` at a mark; None if none has been measured.

    ``column`` "mean" is the mean final score over the goals, as in the paper.
    """
    values = [row[column] for row in rows if row["agent"] == agent and row["steps"] == steps]
    return interquartile_mean(values) if values else None
