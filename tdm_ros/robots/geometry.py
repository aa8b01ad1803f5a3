"""Geometry of an arm and its surroundings as primitive shapes, for collision and display."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tdm_ros.robots.capsules import CAPSULES
from tdm_ros.robots.description import Robot
from tdm_ros.robots.sawyer import SAWYER, link

FLOOR_M = -0.913
"""Height of the floor in frame base."""

TABLE_NEAR_M, TABLE_FAR_M, TABLE_HALF_WIDTH_M = 0.3, 1.1, 0.65
"""The table top is at z = 0 in frame base and begins in front of the pedestal."""

HAND_HEIGHT_M = 0.09
"""Height of the hand above the table; the fork below it is at half the height of the puck."""

PUCK_RADIUS_M = 0.045
PUCK_HALF_HEIGHT_M = 0.03
PUCK_MASS_KG = 0.2
PUCK_DAMPING_N_S_M = 2.0
PUCK_FRICTION_N = 0.5
"""The puck stops within one or two centimetres."""
PUCK_RGBA = (0.15, 0.35, 0.75, 1.0)

FORK_RADIUS_M = 0.012
_HALF_WIDTH_M = 0.075
_BACK_M = PUCK_RADIUS_M + FORK_RADIUS_M
_FRONT_M = 0.065
"""Distances behind and ahead of the hand: a puck at the back of the fork is directly below the hand."""
_DROP_M = HAND_HEIGHT_M - PUCK_HALF_HEIGHT_M
_LEFT_M, _RIGHT_M = (_HALF_WIDTH_M, -_BACK_M, _DROP_M), (-_HALF_WIDTH_M, -_BACK_M, _DROP_M)

SHORT_M = 1e-6
"""Length below which a capsule is a sphere."""

Triple = tuple[float, float, float]
FORK_BARS_M: tuple[tuple[Triple, Triple], ...] = (
    ((0.0, 0.0, 0.0), (0.0, -_BACK_M, 0.0)),
    ((0.0, -_BACK_M, 0.0), (0.0, -_BACK_M, _DROP_M)),
    (_LEFT_M, _RIGHT_M),
    (_LEFT_M, (_HALF_WIDTH_M, _FRONT_M, _DROP_M)),
    (_RIGHT_M, (-_HALF_WIDTH_M, _FRONT_M, _DROP_M)),
)
"""End points of the fork's bars in the frame of the hand: x to the robot's left, y ahead, z down."""


MATERIALS: dict[str, dict[str, str]] = {
    "red": {"rgba": ".60 .04 .07 1", "specular": ".5", "shininess": ".6"},
    "dark": {"rgba": ".12 .12 .13 1", "specular": ".4", "shininess": ".5"},
    "grey": {"rgba": ".30 .31 .33 1", "specular": ".4", "shininess": ".5"},
    "steel": {"rgba": ".72 .73 .75 1", "specular": ".8", "shininess": ".8"},
    "screen": {"rgba": ".20 .42 .58 1", "emission": ".35"},
    "white": {"rgba": ".97 .97 .97 1", "emission": ".5"},
    "light": {"rgba": ".86 .87 .89 1", "specular": ".4", "shininess": ".5"},
    "wood": {"rgba": ".80 .70 .55 1", "specular": ".1", "shininess": ".2"},
}


class Shape(NamedTuple):
    """Primitive shape; the long axis of a capsule or a cylinder is z."""

    kind: str
    """One of sphere, capsule, cylinder, ellipsoid and box."""
    size_m: tuple[float, ...]
    """(radius); (radius, length of the straight part); half axes (3,); sides (3,) [m]."""
    position_m: Triple = (0.0, 0.0, 0.0)
    rpy_rad: Triple = (0.0, 0.0, 0.0)
    """(3,) each: in the frame of its link; rpy about fixed x, y, z as in URDF."""
    material: str = ""
    """Key of `MATERIALS`; empty if not visible."""


def between(kind: str, radius_m: float, ends_m: tuple[float, ...], material: str = "") -> Shape:
    """Capsule or cylinder between two points, (6,) [m]; a sphere where these are one."""
    start, end = np.reshape(ends_m, (2, 3)).astype(float)
    along = end - start
    if np.abs(along).max() <= SHORT_M:
        x, y, z = map(float, start)
        return Shape("sphere", (radius_m,), (x, y, z), material=material)
    pitch, yaw = np.arctan2(np.hypot(along[0], along[1]), along[2]), np.arctan2(along[1], along[0])
    x, y, z = map(float, (start + end) / 2)
    return Shape(kind, (radius_m, float(np.linalg.norm(along))), (x, y, z), (0.0, float(pitch), float(yaw)), material)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers of a space-separated text."""
    return tuple(float(word) for word in text.split())


def text(values: tuple[float, ...]) -> str:
    """Space-separated text of numbers, rounded to a micrometre or a microradian."""
    return " ".join(f"{round(value, 6) + 0.0:g}" for value in values)


def _tube(material: str, radius_m: float, ends: str, kind: str = "capsule") -> Shape:
    return between(kind, radius_m, numbers(ends), material)


def _disc(material: str, radius_m: float, low_m: float, high_m: float) -> Shape:
    """Flat cylinder around z of its link, for the caps and rings of the joints."""
    return _tube(material, radius_m, f"0 0 {low_m} 0 0 {high_m}", "cylinder")


def _box(material: str, half_sizes: str, pos: str) -> Shape:
    return _shape("box", material, tuple(2 * half for half in numbers(half_sizes)), pos)


def _shape(kind: str, material: str, size_m: tuple[float, ...], pos: str, rpy: str = "0 0 0") -> Shape:
    (x, y, z), (roll, pitch, yaw) = numbers(pos), numbers(rpy)
    return Shape(kind, size_m, (x, y, z), (roll, pitch, yaw), material)


def _eye(y_m: float) -> list[Shape]:
    white = _shape("cylinder", "white", (0.034, 0.004), f".055 {y_m} .115", _AHEAD)
    return [white, _shape("cylinder", "dark", (0.017, 0.004), f".057 {y_m} .110", _AHEAD)]


_AHEAD = "0 1.5708 0"

VISUAL_GEOMS: dict[str, list[Shape]] = {
    "right_arm_base_link": [_disc("grey", 0.105, -0.005, 0.03), _disc("dark", 0.088, 0.03, 0.075)],
    "right_l0": [
        _disc("red", 0.082, 0.0, 0.06),
        _disc("steel", 0.083, 0.06, 0.066),
        _tube("dark", 0.078, "0 0 .066 0 0 .235"),
        _tube("dark", 0.07, "0 0 .225 .081 .02 .235"),
    ],
    "head": [
        _disc("grey", 0.045, -0.01, 0.05),
        _shape("ellipsoid", "red", (0.05, 0.135, 0.10), "0 0 .11"),
        _box("dark", ".016 .142 .096", "0.036 0 .11"),
        _box("screen", ".002 .126 .080", "0.052 0 .11"),
        *_eye(-0.052),
        *_eye(0.052),
        _shape("cylinder", "dark", (0.014, 0.04), ".025 0 .216", _AHEAD),
    ],
    "right_l1": [
        _tube("dark", 0.07, "0 0 -.045 0 0 .10"),
        _disc("red", 0.062, -0.122, -0.09),
        _disc("steel", 0.0715, -0.05, -0.043),
        _tube("dark", 0.066, "0 0 .10 0 -.09 .1425"),
    ],
    "right_l2": [
        _disc("steel", 0.0665, -0.052, -0.045),
        _tube("dark", 0.064, "0 0 -.12 0 0 -.052", "cylinder"),
        _tube("red", 0.06, "0 0 -.045 0 0 .16"),
        _tube("dark", 0.057, "0 0 .2 0 -.01 .26"),
    ],
    "right_l3": [
        _tube("dark", 0.058, "0 0 -.10 0 0 .0"),
        _disc("red", 0.05, 0.045, 0.063),
        _disc("steel", 0.0595, -0.004, 0.002),
        _tube("dark", 0.054, "0 0 -.1265 0 -.08 -.1265"),
    ],
    "right_l4": [
        _disc("steel", 0.0535, -0.036, -0.03),
        _tube("red", 0.05, "0 0 0 0 0 .18"),
        _tube("dark", 0.047, "0 0 .19 0 .012 .272"),
    ],
    "right_l5": [
        _tube("dark", 0.048, "0 0 -.015 0 0 .10"),
        _disc("red", 0.041, -0.07, -0.055),
        _disc("steel", 0.0495, 0.03, 0.035),
        _tube("dark", 0.046, "0 0 .105 0 -.06 .105"),
    ],
    "right_l6": [_disc("grey", 0.044, -0.035, 0.008), _disc("steel", 0.036, 0.008, 0.0245)],
}
"""Visible shapes of each link: red tubes, dark joint barrels, steel rings."""

_WHEELS = ((0.2, 0.28), (0.2, -0.28), (-0.44, 0.28), (-0.44, -0.28))
_LEGS = ((0.36, 0.58), (0.36, -0.58), (1.04, 0.58), (1.04, -0.58))

TABLE_GEOMS = [
    _box("wood", ".4 .65 .018", ".7 0 -.018"),
    *(_box("grey", ".025 .025 .438", f"{x} {y} -.474") for x, y in _LEGS),
]
PEDESTAL_GEOMS = [
    _tube("dark", 0.165, "-.02 0 -.60 -.02 0 -.03", "cylinder"),
    _tube("grey", 0.18, "-.02 0 -.03 -.02 0 -.005", "cylinder"),
    _box("dark", ".10 .17 .24", "-.285 0 -.38"),
    _box("red", ".102 .172 .02", "-.285 0 -.2"),
    _box("grey", ".36 .32 .05", "-.12 0 -.80"),
    _box("dark", ".20 .22 .09", "-.10 0 -.67"),
    *(_shape("sphere", "dark", (0.045,), f"{x} {y} -.868") for x, y in _WHEELS),
]
"""Both in frame base."""

STAND_NEAR_M = -0.35
"""Near end of the table below an arm that stands on it."""
STAND_GEOMS = [_box("wood", ".725 .65 .018", ".375 0 -.018")] + [
    _box("grey", ".025 .025 .438", f"{x} {y} -.474") for x in (-0.29, 1.04) for y in (-0.58, 0.58)
]
MATERIAL_OF = {"body": "dark", "upper": "light", "elbow": "light", "wrist": "steel"}
"""Material of a link that is drawn as its capsules, by their group."""


def table_m(robot: Robot) -> tuple[float, float, float]:
    """Near end, far end and half width of the table [m]; its top is at z = 0 in the base frame."""
    return (TABLE_NEAR_M if has_stand(robot) else STAND_NEAR_M), TABLE_FAR_M, TABLE_HALF_WIDTH_M


def size(robot: Robot) -> float:
    """Distance of the farthest corner of the goal box [m], by which views of arms are scaled."""
    return float(np.linalg.norm(np.max(np.abs(robot.goal_box_m), axis=0)))


def surroundings(robot: Robot) -> list[Shape]:
    """Visible shapes around an arm: the table that it stands at, with its pedestal, or on."""
    return TABLE_GEOMS + PEDESTAL_GEOMS if has_stand(robot) else STAND_GEOMS


def has_stand(robot: Robot) -> bool:
    """Whether the arm has a stand of its own, described by static capsules; else it stands on the table."""
    return any(capsule.group == "static" for capsule in robot.capsules)


def link_visuals(robot: Robot, name: str) -> list[Shape]:
    """Visible shapes of a link, in its frame (of one fixed to the base, in the base frame); else its capsules."""
    if robot.name in DRAWN:
        return DRAWN[robot.name].get(name, [])
    count, frame = robot.place(name)
    turn, origin = (frame[:3, :3], frame[:3, 3]) if count == 0 else (np.eye(3), np.zeros(3))
    return [
        between(
            "capsule",
            capsule.radius_m,
            tuple((np.reshape(capsule.ends_m, (2, 3)) @ turn.T + origin).ravel().tolist()),
            MATERIAL_OF.get(capsule.group, "grey"),
        )
        for capsule in robot.capsules
        if capsule.link == name
    ]


DRAWN = {"sawyer": VISUAL_GEOMS}
"""Visible shapes of links, by robot, where they are not the capsules."""


def collisions(name: str) -> list[Shape]:
    """Collision shapes of a link: its capsules or, for static links without any, the vendor's primitives."""
    if name in CAPSULES:
        return [between("capsule", capsule.radius_m, capsule.ends_m) for capsule in CAPSULES[name]]
    if not name.startswith(("pedestal", "controller_box")):
        return []
    return [_vendor(entry) for entry in link(name)["collision"]]


def visuals(name: str) -> list[Shape]:
    """Visible shapes of a link."""
    return PEDESTAL_GEOMS if name == "pedestal" else VISUAL_GEOMS.get(name, [])


def fork_bars_m() -> list[tuple[float, ...]]:
    """End points of the fork's bars, (6,) [m] each, in the frame of right_l6."""
    turn, origin = SAWYER.hand[:3, :3], SAWYER.hand[:3, 3]
    return [(*(origin + turn @ start), *(origin + turn @ end)) for start, end in FORK_BARS_M]


def _vendor(entry: dict) -> Shape:
    """Collision primitive from the vendor's table."""
    sizes = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}[entry["shape"]]
    size_m = tuple(number for key in sizes for number in numbers(entry["dims"][key]))
    return _shape(entry["shape"], "", size_m, entry["xyz"], entry["rpy"])
