"""Links and joints of a model file, as its readers give them: a tree, of which an arm is one chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdm_ros.robots.description import Array, Inertia


def raise_if_any(path: Path, problems: Sequence[str]) -> None:
    """Raise a ValueError with all that is wrong with a model file or its options, a line each if there are several."""
    if problems:
        several = f"{len(problems)} things must be corrected:"
        raise ValueError(f"{path}: " + (problems[0] if len(problems) == 1 else "\n  ".join([several, *problems])))


class Note(NamedTuple):
    """Sentence, without its full stop, on what is not in a model file or cannot be used."""

    about: str
    """Key of the description that it is about."""
    text: str
    assumed: bool = False
    """Whether something was assumed in its place."""
    link: str = ""
    """Link of a note about one: it matters only if the arm has it."""


class Part(NamedTuple):
    """Collision shape in its link's frame: all points within a radius of triangles, (T, 3, 3) [m]."""

    triangles_m: Array
    radius_m: float = 0.0


@dataclass
class Link:
    """Link of a model file; the inertia is None if the file has none."""

    name: str
    inertia: Inertia | None = None
    parts: list[Part] = field(default_factory=list)


@dataclass
class Joint:
    """Joint of a model file: its frame in that of the parent link, (4, 4), which is that of the child at zero."""

    name: str
    kind: str
    """revolute, continuous, fixed, or another one of the file format."""
    parent: str
    child: str
    origin: Array
    axis: Array = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))
    """(3,): in the frame of the child."""
    limits: dict[str, float] = field(default_factory=dict)
    """Numbers of the file by the description's names (`lower_rad`, `effort_n_m`, ...); missing ones are left out."""
    mimic: str = ""
    """Joint that this one follows."""


@dataclass
class Tree:
    """Content of a model file, and what its reader could not use."""

    name: str
    path: Path
    links: dict[str, Link]
    joints: list[Joint]
    notes: list[Note] = field(default_factory=list)

    def path_to(self, base: str, tip: str) -> list[Joint]:
        """Joints from the base link to the tip link. Raises ValueError if there is no such chain."""
        raise_if_any(self.path, self._unknown(base=base, tip=tip))
        above = {joint.child: joint for joint in self.joints}
        found: list[Joint] = []
        at = tip
        while at != base and at in above and len(found) <= len(self.joints):
            found.insert(0, above[at])
            at = above[at].parent
        if at != base or not found:
            chain = " > ".join([at, *(joint.child for joint in found)])
            raise ValueError(
                f"{self.path}: --tip must be a link that joints connect to --base {base}, got {tip}, which hangs on "
                f"{chain}: choose one of these as the base, or another tip"
            )
        return found

    def _unknown(self, **options: str) -> list[str]:
        """One sentence for each option that gives no link of the file."""
        sentences = []
        for option, link in options.items():
            if link not in self.links:
                near = get_close_matches(link, self.links, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                sentences.append(f"--{option} must be a link of the file, got {link!r}{hint}")
        if sentences:
            sentences[-1] += f": choose from {', '.join(self.links)}"
        return sentences
