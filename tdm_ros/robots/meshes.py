"""Triangles of collision shapes: boxes, cylinders, ellipsoids, and the mesh files that NumPy alone can read."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np

from tdm_ros.robots.description import LARGEST, Array

READABLE = (".stl", ".obj")

SIDES = 24
"""Sides of the prism around a cylinder, which is 0.9 % wider."""

STL = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def segment(a_m: Array, b_m: Array) -> Array:
    """Triangle, (1, 3, 3), without area between two points, (3,): that of a sphere or a capsule."""
    return np.array([[a_m, b_m, b_m]], np.float64)


def box(size_m: Array) -> Array:
    """Triangles, (12, 3, 3), of a box with sides (3,) about the origin."""
    corners = np.array([*product((-0.5, 0.5), repeat=3)]) * size_m
    sides = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    return corners[[corner for a, b, c, d in sides for corner in ((a, b, c), (a, c, d))]]


def cylinder(radius_m: float, length_m: float) -> Array:
    """Triangles, (2 SIDES, 3, 3), of a prism around a cylinder about the z axis, without its end faces."""
    turn = np.arange(SIDES) * 2 * np.pi / SIDES
    wide = radius_m / np.cos(np.pi / SIDES)
    low = np.stack([wide * np.cos(turn), wide * np.sin(turn), np.full(SIDES, -length_m / 2)], axis=1)
    high, to_next = low * [1, 1, -1], np.roll(np.arange(SIDES), -1)
    return np.concatenate([np.stack([low, low[to_next], high], 1), np.stack([high, high[to_next], low[to_next]], 1)])


def ellipsoid(radii_m: Array) -> Array:
    """Triangles without area, (N, 3, 3), at points of an ellipsoid, made 2 % larger so that it is inside of them."""
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, SIDES), np.linspace(-np.pi / 2, np.pi / 2, SIDES // 2))
    unit = np.stack([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], -1).reshape(-1, 3)
    return np.repeat(1.02 * radii_m * unit, 3, axis=0).reshape(-1, 3, 3)


def placed(triangles_m: Array, frame: Array) -> Array:
    """Triangles, (T, 3, 3), moved by a transform, (4, 4)."""
    moved: Array = triangles_m @ frame[:3, :3].T + frame[:3, 3]
    return moved


def read_mesh(path: Path) -> Array:
    """Triangles, (T, 3, 3), of an STL or OBJ file, in its units.

    Raises ValueError, one sentence, if it is of another kind or damaged, OSError if it cannot be opened.
    """
    if path.suffix.lower() not in READABLE:
        raise ValueError(f"{path.name} must be STL or OBJ, got another kind of file: convert it")
    try:
        triangles = _stl(path.read_bytes()) if path.suffix.lower() == ".stl" else _obj(path.read_text())
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{path.name} must be a whole {path.suffix} file, got a damaged one: replace it") from error
    if not len(triangles) or not (np.abs(triangles) <= LARGEST).all():
        raise ValueError(f"{path.name} must have triangles of finite numbers, got {len(triangles)}: replace it")
    return triangles


def _stl(content: bytes) -> Array:
    if len(content) >= 84 and len(content) >= 84 + STL.itemsize * int.from_bytes(content[80:84], "little") > 84:
        count = int.from_bytes(content[80:84], "little")
        return np.frombuffer(content, STL, count, 84)["corners"].astype(np.float64)
    words = [line.split()[1:4] for line in content.decode().splitlines() if line.split()[:1] == ["vertex"]]
    return np.array(words, np.float64).reshape(-1, 3, 3)


def _obj(text: str) -> Array:
    lines = [line.split() for line in text.splitlines()]
    vertices = np.array([line[1:4] for line in lines if line[:1] == ["v"]], np.float64).reshape(-1, 3)
    faces = [[int(word.split("/")[0]) for word in line[1:]] for line in lines if line[:1] == ["f"]]
    triangles = [(face[0], face[i], face[i + 1]) for face in faces for i in range(1, len(face) - 1)]
    corners = np.array(triangles, np.intp).reshape(-1, 3)
    return vertices[np.where(corners > 0, corners - 1, corners)]


def find_mesh(name: str, model: Path) -> Path | None:
    """File that a model refers to (package://, file:// or a path); None if it is nowhere.

    A package is looked for beside the model, in the folders above it, and in AMENT_PREFIX_PATH.
    """
    if name.startswith("file://"):
        candidates = [Path(name.removeprefix("file://"))]
    elif name.startswith(("package://", "model://")):
        package = Path(name.split("://", 1)[1])
        inside = Path(*package.parts[1:])
        shares = [
            Path(prefix, "share") for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix
        ]
        above = [*model.resolve().parents]
        candidates = [folder / package for folder in (*above, *shares)] + [folder / inside for folder in above]
    else:
        candidates = [model.resolve().parent / name]
    return next((path for path in candidates if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False
