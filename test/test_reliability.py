"""Each promise of docs/reliability.md and SECURITY.md names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("docs/reliability.md", "SECURITY.md")


def rows(page: str) -> list[str]:
    """Rows of the tables of promises on a page."""
    tables = (ROOT / page).read_text().split("| promise | test |\n|---|---|\n")[1:]
    return [line for table in tables for line in table.split("\n\n")[0].splitlines()]


ROWS = [row for page in PAGES for row in rows(page)]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:60] for row in ROWS])
def test_promise_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`((?:intera/)?test_\w+\.py)::(test_\w+)`", row.split("|")[2])
    assert named, f"{row} names no test"
    for file, name in named:
        tree = ast.parse((ROOT / "test" / file).read_text())
        found = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
        assert name in found, f"{file} has no {name}"


@pytest.mark.parametrize("page", PAGES)
def test_there_are_promises(page: str) -> None:
    assert len(rows(page)) > 20
