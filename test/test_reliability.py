"""Each promise of docs/reliability.md names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    line
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
    if line.startswith("| ") and line != "| promise | test |"
]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:60] for row in ROWS])
def test_promise_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.split("|")[2])
    assert named, f"{row} names no test"
    for file, name in named:
        tree = ast.parse((ROOT / "test" / file).read_text())
        found = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
        assert name in found, f"{file} has no {name}"


def test_there_are_promises() -> None:
    assert len(ROWS) > 20
