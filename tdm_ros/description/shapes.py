"""Primitive shapes in the frame of a link, for collision and display, independent of the format."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tdm_ros.description.looks import PAINT, PEDESTAL_PAINT, Paint
from tdm_ros.description.room import FORK_BARS_M
from tdm_ros.robot.capsules import CAPSULES
from tdm_ros.robot.kinematics import rotation_from_rpy
from tdm_ros.robot.sawyer import joint_above, link

Triple = tuple[float, float, float]


class Shape(NamedTuple):
    """One primitive; the long axis of a capsule or a cylinder is z.

    Parameters
    ----------
    kind : str
        sphere, capsule, cylinder, ellipsoid or box.
    size_m : tuple of float
        (radius); (radius, length of the straight part); half axes (3,); whole sides (3,) [m].
    position_m, rpy_rad : (3,)
        In the frame of its link; rpy about fixed x, y, z as in URDF.
    material : str
        A key of `looks.MATERIALS`; empty for what is not seen.
    """

    kind: str
    size_m: tuple[float, ...]
    position_m: Triple = (0.0, 0.0, 0.0)
    rpy_rad: Triple = (0.0, 0.0, 0.0)
    material: str = ""


def collisions(name: str) -> list[Shape]:
    """What a link is touched by: its capsules or, where it has none and nothing moves, the vendor's primitives."""
    if name in CAPSULES:
        return [between("capsule", capsule.radius_m, capsule.ends_m) for capsule in CAPSULES[name]]
    if not name.startswith(("pedestal", "controller_box")):
        return []
    return [_vendor(entry) for entry in link(name)["collision"]]


def visuals(name: str) -> list[Shape]:
    """What is seen of a link."""
    return [seen(paint) for paint in (PEDESTAL_PAINT if name == "pedestal" else PAINT.get(name, ()))]


def seen(paint: Paint) -> Shape:
    """A shape from the way in which the table of looks describes it, which is MuJoCo's."""
    size = numbers(paint.size)
    if paint.ends:
        return between(paint.shape, size[0], numbers(paint.ends), paint.material)
    if paint.shape == "box":
        size = tuple(2 * half for half in size)
    elif paint.shape == "cylinder":
        size = (size[0], 2 * size[1])
    x, y, z = numbers(paint.pos)
    roll, pitch, yaw = numbers(paint.euler or "0 0 0")
    return Shape(paint.shape, size, (x, y, z), (roll, pitch, yaw), paint.material)


def between(kind: str, radius_m: float, ends_m: tuple[float, ...], material: str = "") -> Shape:
    """A capsule or a cylinder from one point to another, (6,) [m]."""
    start, end = np.reshape(ends_m, (2, 3)).astype(float)
    along = end - start
    pitch, yaw = np.arctan2(np.hypot(along[0], along[1]), along[2]), np.arctan2(along[1], along[0])
    x, y, z = map(float, (start + end) / 2)
    return Shape(kind, (radius_m, float(np.linalg.norm(along))), (x, y, z), (0.0, float(pitch), float(yaw)), material)


def fork_bars_m() -> list[tuple[float, ...]]:
    """Both ends of each bar of the fork, (6,) [m], in the frame of right_l6 that carries it."""
    hand = joint_above("right_hand")
    turn, origin = rotation_from_rpy(numbers(hand["rpy"])), np.array(numbers(hand["xyz"]))
    return [(*(origin + turn @ start), *(origin + turn @ end)) for start, end in FORK_BARS_M]


def numbers(text: str) -> tuple[float, ...]:
    """The numbers in a text."""
    return tuple(float(word) for word in text.split())


def text(values: tuple[float, ...]) -> str:
    """Numbers as a text, to a micrometre or a microradian."""
    return " ".join(f"{round(value, 6) + 0.0:g}" for value in values)


def _vendor(entry: dict) -> Shape:
    """A collision primitive of the vendor's table."""
    dims, position, rpy = entry["dims"], numbers(entry["xyz"]), numbers(entry["rpy"])
    sizes = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}[entry["shape"]]
    size = tuple(number for key in sizes for number in numbers(dims[key]))
    return Shape(entry["shape"], size, (position[0], position[1], position[2]), (rpy[0], rpy[1], rpy[2]))
