"""The prose of the package is plain technical English: no text that git tracks has words that readers stumbled over."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = {
    r"\b(she|hers|herself)\b": "the operator, they",
    r"\b(earns? its keep|runs? the show|lets? go is to say so|takes? nobody along)\b": "the plain statement",
    r"\blane\b": "quick start, option",
    r"\bwhoever\b": "the operator, every ..., anybody",
    r"\bcan not\b": "cannot",
    r"\b(a|per) (row|line|cycle|file) an? (episode|cycle|node|arm)\b": "one row per episode",
}
"""Patterns, in any case, and what to write instead. `HER`, the algorithm, is another word than `hers`."""
SUFFIXES = (".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".msg", ".srv", ".action", ".xml", ".js")


@pytest.mark.parametrize("pattern", BANNED)
def test_no_text_has_a_banned_word(pattern: str) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = [n for n in listed.stdout.split("\0") if n.endswith(SUFFIXES) and n != "test/test_words.py"]
    if not names:
        pytest.skip("not a git checkout")
    found = []
    for name in names:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        found += [f"{name}:{k}: {line.strip()}" for k, line in enumerate(lines, 1) if re.search(pattern, line, re.I)]
    assert not found, f"write {BANNED[pattern]} instead:\n" + "\n".join(found)
