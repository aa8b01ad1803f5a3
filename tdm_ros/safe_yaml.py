"""Reader of YAML that anybody may have written: every error is a `yaml.YAMLError`, depth and size are bounded."""

from __future__ import annotations

from typing import Any

import yaml

DEEPEST = 50
"""Largest number of nested lists and mappings."""
LARGEST = 100_000
"""Largest number of values, with each alias counted as all that it stands for."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OTHERS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML raises for a tag that does not fit its value, an impossible date, or digits without end."""


def read_yaml(text: str | bytes) -> Any:
    """Return the content of a YAML text; bytes are UTF-8.

    Raises yaml.YAMLError if it is none, is nested deeper than `DEEPEST`, or has more than `LARGEST` values.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        _check_size(text)
        return yaml.load(text, _LOADER)
    except _OTHERS as error:
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from error


def _check_size(text: str) -> None:
    """Raise yaml.YAMLError for a text that would exhaust stack or memory: the C library ends the process then."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"the alias *{event.anchor} is within what it stands for, or stands for nothing")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = count - before
        if len(open_nodes) > DEEPEST or count > LARGEST:
            raise yaml.YAMLError(f"it must have at most {DEEPEST} levels and {LARGEST} values, got more")
