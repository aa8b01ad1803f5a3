"""Full text of a message definition, dependencies included, as MCAP's `ros2msg` encoding wants it."""

from __future__ import annotations

import re
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

SEPARATOR = "\n" + "=" * 80 + "\n"
_FIELD = re.compile(r"^\s*([A-Za-z]\w*)/(?:msg/)?([A-Za-z]\w*)\b")


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
    for text in parts:  # grows while we read it
        for line in text.splitlines():
            if (match := _FIELD.match(line)) and match.groups() not in known:
                known.append((match.group(1), match.group(2)))
                parts.append(_text(*known[-1]))
    blocks = [parts[0]]
    blocks += [f"MSG: {p}/{n}\n{text}" for (p, n), text in zip(known[1:], parts[1:], strict=True)]
    return SEPARATOR.join(blocks)
