"""Full text of a message definition with its dependencies, in MCAP's encoding `ros2msg`."""

from __future__ import annotations

import re
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

SEPARATOR = "\n" + "=" * 80 + "\n"
_FIELD = re.compile(r"^\s*(?:([A-Za-z]\w*)/(?:msg/)?)?([A-Z]\w*)(?:\[[^\]]*\])?\s+\w")
"""A field of another message: the package, where it is another one, and the name."""


def _text(package: str, name: str) -> str:
    return (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")


def definition(type_name: str) -> str:
    """Text of ``package/msg/Name`` followed by those of all types that it uses.

    Raises
    ------
    FileNotFoundError, LookupError
        If a definition is not installed.
    """
    package, _, name = type_name.split("/")
    parts = [_text(package, name)]
    known = [(package, name)]
    for (within, _), text in zip(known, parts, strict=False):  # both grow while we read them
        for line in text.splitlines():
            if match := _FIELD.match(line):
                used = match.group(1) or within, match.group(2)
                if used not in known:
                    known.append(used)
                    parts.append(_text(*used))
    blocks = [parts[0]]
    blocks += [f"MSG: {p}/{n}\n{text}" for (p, n), text in zip(known[1:], parts[1:], strict=True)]
    return SEPARATOR.join(blocks)
