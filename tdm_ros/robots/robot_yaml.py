"""Text of a description file, with comments on what is assumed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import yaml

from tdm_ros.robots.tree import Note

WIDTH = 118

COMMENTS = {
    "joints": "Names, frames, axes and limits: of the file, but for what is said here.",
    "fixed_links": "Links that no joint of the chain moves by itself, with mass or a shape.",
    "links": "Masses, centres of mass, moments of inertia: of the file, but for what is said here.",
    "capsules": "Fitted to the collision shapes of the file: every point of them is inside a capsule of its link.",
    "home_rad": "Assumption, by computation: hand in front, pointing down, joints near the middle of their limits.",
    "goal_box_m": "Assumption, by computation: damped least squares reaches {share} of 500 random points of it from"
    " home, free of self-collision. The top of the table is assumed at z = 0 of the base frame.",
    "hand_box_m": "Assumption: the goal box with some room around it.",
    "drivers": "None is known.",
}
SPACED = ("joints", "fixed_links", "links", "capsules", "home_rad")
"""Keys with an empty line before them."""


def text_of(content: dict[str, Any], notes: Sequence[Note], share: float) -> str:
    """Text of a description file; notes become comments above their keys, the share is that of goals reached."""
    lines: list[str] = []
    for key, value in content.items():
        if key == "fixed_links" and not value:
            continue
        comments = [COMMENTS[key].format(share=f"{share:.1%}")] if key in COMMENTS else []
        if key != "home_rad":
            comments += [
                f"{'Assumption' if note.assumed else 'Note'}: {note.text}." for note in notes if note.about == key
            ]
        lines += [""] if key in SPACED else []
        lines += [line for comment in comments for line in _wrapped(comment, "# ", "#   ")]
        lines += _entry(key, value)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _scalar(value: float | str) -> str:
    if isinstance(value, str):
        return yaml.safe_dump(value, width=10**6, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    text = repr(float(value))
    return text if "e" not in text or "." in text else text.replace("e", ".0e")  # else YAML reads text


def _flow(value: Any) -> str:
    """Value on one line; spaces within lists of numbers are replaced, so that these are not wrapped."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}:\0{_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\0".join(map(_flow, value)) + "]"
    return _scalar(value).replace(" ", "\0")


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = [_wrapped(_flow(item), "  - ", "     ") for item in value]
    elif isinstance(value, dict) and value and all(isinstance(item, dict) for item in value.values()):
        rows = [[f"  {_scalar(name)}:", *_wrapped(_flow(item), "    ", "     ")] for name, item in value.items()]
    else:
        return [line.replace("\0", " ") for line in _wrapped(_flow(value), f"{key}: ", "  ")]
    return [f"{key}:", *(line.replace("\0", " ") for row in rows for line in row)]
