"""Description of a robot arm, read from `config/robots/NAME.yaml`: joints, limits, inertias, shapes, home, boxes."""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from tdm_ros.safe_yaml import read_yaml

Array = NDArray[np.float64]
Point = tuple[float, float, float]
Box = tuple[Point, Point]
"""Lower and upper corner, in the base frame [m]."""


class Inertia(NamedTuple):
    """Mass, centre of mass, (3,), and moments about it, (6,): ixx, iyy, izz, ixy, ixz, iyz in the link's axes."""

    mass_kg: float
    com_m: Array
    inertia_kg_m2: Array


class Capsule(NamedTuple):
    """Collision capsule in its link's frame: end points [m], radius [m] and contact group."""

    link: str
    ends_m: tuple[float, ...]
    radius_m: float
    group: str


@dataclass(frozen=True, eq=False)
class Robot:
    """Chain of J revolute joints from base to hand; its arrays are read-only."""

    name: str
    source: str
    base_frame: str
    hand_frame: str
    joint_names: tuple[str, ...]
    link_names: tuple[str, ...]
    """Source and licence of the numbers; frames of base and hand; joints, and the link that each of them moves."""
    origins: Array
    axes: Array
    """(J, 4, 4), (J, 3): fixed part of each joint's transform, in the link before, and unit vectors."""
    hand: Array
    """(4, 4): transform of the hand in the last link."""
    lower_rad: Array
    upper_rad: Array
    velocity_rad_s: Array
    acceleration_rad_s2: Array
    effort_n_m: Array
    damping_n_m_s_rad: Array
    friction_n_m: Array
    rotor_inertia_kg_m2: Array
    """(J,) each: limits, and damping, dry friction and rotors of the simulated joints."""
    fixed_links: Mapping[str, tuple[str, Array]]
    """Links that no joint moves: parent, and transform in its frame, (4, 4)."""
    links: Mapping[str, Inertia]
    capsules: tuple[Capsule, ...]
    home_rad: Array
    goal_box_m: Box
    hand_box_m: Box
    """Where goals of the hand are sampled, and where it may be."""
    drivers: Mapping[str, Any]
    home_box_m: Box | None = None
    """Where the hand may be on the drive home; None: `hand_box_m`, and more above, ahead and to the sides."""
    inertia_least_kg_m2: Array | None = None
    inertia_most_kg_m2: Array | None = None
    """(J,) each: range of the inertia at each joint, for limits on torques; None if unknown."""

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @cached_property
    def drive_home_box_m(self) -> Box:
        """Box of the hand on the drive home: the straight line in joint space leaves that of commands."""
        (x, y, z), (far_x, far_y, far_z) = self.hand_box_m
        wide, deep, high = (far_y - y) / 3, (far_x - x) / 5, (far_z - z) / 2
        return self.home_box_m or ((x, y - wide, z), (far_x + deep, far_y + wide, far_z + high))

    @cached_property
    def turns(self) -> tuple[Array, Array, Array]:
        """Rotations about the axes, (J, 4, 4) each: constant part, factor of the cosine, factor of the sine."""
        constant, cosine, sine = np.zeros((3, len(self.axes), 4, 4))
        constant[:, 3, 3] = 1.0
        constant[:, :3, :3] = self.axes[:, :, None] * self.axes[:, None]
        cosine[:, :3, :3] = np.eye(3) - constant[:, :3, :3]
        sine[:, :3, :3] = np.cross(self.axes[:, None], np.eye(3)).transpose(0, 2, 1)
        return constant, cosine, sine

    def place(self, link: str) -> tuple[int, Array]:
        """Number of joints that move a link, and its transform, (4, 4), in the link of the last one (0: the base)."""
        frame = np.eye(4)
        while link in self.fixed_links:
            link, fixed = self.fixed_links[link]
            frame = fixed @ frame
        return self.link_names.index(link) + 1 if link in self.link_names else 0, frame


def rotation_from_rpy(rpy_rad: ArrayLike) -> Array:
    """Rotation matrix, (3, 3), of roll, pitch, yaw about fixed x, y, z (the URDF's order), (3,) [rad]."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad), np.sin(rpy_rad)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def transform(xyz_m: ArrayLike, rpy_rad: ArrayLike) -> Array:
    """Transform, (4, 4), with this position and orientation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_from_rpy(rpy_rad), xyz_m
    return matrix


FOLDER = Path("config", "robots")
EXAMPLE = f"{FOLDER}/sawyer.yaml is an example"
KEYS = "name source base_frame hand_frame joints hand fixed_links links capsules home_rad goal_box_m hand_box_m "
KEYS += "home_box_m drivers"
TINY = 1e-9
LARGEST = 1e15
"""Largest size of a number; the squares of larger ones might not be finite."""
_SHOWN = reprlib.Repr()
_SHOWN.maxlist = _SHOWN.maxtuple = _SHOWN.maxdict = 20
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 500
_SHOWN.maxlevel = 3
ESTIMATED = ("inertia_least_kg_m2", "inertia_most_kg_m2")
LEAST = {"lower_rad": -inf, "upper_rad": -inf, "damping_n_m_s_rad": 0, "friction_n_m": 0, "rotor_inertia_kg_m2": 0}
LEAST |= dict.fromkeys(("velocity_rad_s", "acceleration_rad_s2", "effort_n_m", *ESTIMATED), TINY)
"""Least values of a joint's numbers; those of ESTIMATED need not be given."""
POSE = "xyz_m rpy_rad "
GIVEN = {
    "": KEYS.replace("fixed_links ", "").removesuffix("home_box_m drivers"),
    "joints": f"name link {POSE}axis " + " ".join(key for key in LEAST if key not in ESTIMATED),
    "hand": POSE,
    "fixed_links": f"{POSE}parent",
    "links": "mass_kg com_m inertia_kg_m2",
    "capsules": "link ends_m radius_m group",
    **dict.fromkeys(("goal_box_m", "hand_box_m", "home_box_m"), "low high"),
}
"""Keys that must be given at the top, in an entry, and in each entry of a list or mapping of them."""


def robot_files() -> dict[str, Path]:
    """Installed descriptions by the robot's name; those of this checkout or install take precedence."""
    here, ament = Path(__file__).parents, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = [*here, Path(sys.prefix), *(Path(prefix) for prefix in ament if prefix)]
    folders = [here[2] / FOLDER, *(prefix / "share" / "tdm_ros" / FOLDER for prefix in prefixes)]
    return {path.stem: path for folder in reversed(folders) for path in folder.glob("*.yaml") if path.is_file()}


@cache
def load_robot(name_or_path: str | Path) -> Robot:
    """Robot of a name, or of a description file, whose path ends with .yaml; read once.

    Raises ValueError, one sentence with the remedy, if there is no such file or its content is wrong.
    """
    known, path = robot_files(), Path(name_or_path)
    path = path if path.suffix == ".yaml" else known.get(str(name_or_path), Path())
    try:
        content = read_yaml(path.read_bytes())
    except OSError as error:
        names, given = ", ".join(sorted(known)), str(name_or_path)
        names = names or "(none is installed: run `make build`, or install tdm_ros again)"
        remedy = ""
        if given.endswith((".urdf", ".xml", ".mjcf", ".xacro")):
            remedy = f": make one of it first, `tdm_ros robot import {given} --base LINK --tip LINK`"
        elif given.endswith(".yaml"):
            remedy = ", which cannot be read: correct the path"
        elif close := get_close_matches(given, known, 1):
            remedy = f": did you mean {close[0]}?"
        raise ValueError(f"robot must be {names} or the path of a .yaml file, got {given!r}{remedy}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML: correct it, {EXAMPLE} ({' '.join(str(error).split())})") from error
    return robot_from(content, f"{path}: ")


def robot_from(content: Any, where: str) -> Robot:
    """Robot of a description file's content; ``where`` begins the sentence of a ValueError if it is wrong."""
    return _robot(_Entry(content, where))


def _is_flat(given: Any) -> bool:
    """Whether a value is no list of lists, of which a few aliases could make any number."""
    return not isinstance(given, list) or not any(isinstance(one, (list, dict)) for one in given)


class _Entry:
    """Mapping of a description file, whose values are checked as they are read."""

    def __init__(self, content: Any, where: str) -> None:
        self.content, self.where = content, where
        if not isinstance(content, dict):
            raise ValueError(
                f"{where.rstrip(': .')} must be a mapping, got {_SHOWN.repr(content)}: correct it, {EXAMPLE}"
            )

    def check(self, right: object, key: str, expected: str) -> None:
        if not right:
            got = _SHOWN.repr(self.content[key]) if key in self.content else "nothing: it is missing"
            raise ValueError(f"{self.where}{key} must be {expected}, got {got}: correct the file, {EXAMPLE}")

    def value(self, key: str) -> Any:
        self.check(self.content.get(key) is not None, key, "given")
        return self.content[key]

    def text(self, key: str) -> str:
        self.check(isinstance(self.value(key), str), key, "text")
        return str(self.content[key])

    def numbers(self, key: str, *shape: int, least: float = -inf) -> Array:
        given = self.value(key)
        try:
            numbers = np.array(given if _is_flat(given) else np.nan, np.float64)
        except (ArithmeticError, TypeError, ValueError):
            numbers = np.array(np.nan)
        right = numbers.shape == shape and (np.abs(numbers) <= LARGEST).all() and (numbers >= least).all()
        expected = f"{shape[0]} finite numbers" if shape else "a finite number"
        self.check(right, key, expected if least == -inf else f"{expected}, {least:g} or more")
        return numbers

    def transform(self) -> Array:
        return transform(self.numbers("xyz_m", 3), self.numbers("rpy_rad", 3))

    def entry(self, key: str) -> _Entry:
        return _Entry(self.value(key), f"{self.where}{key}.")

    def entries(self, key: str) -> list[_Entry]:
        self.check(isinstance(self.value(key), list), key, "a list")
        return [_Entry(item, f"{self.where}{key}[{i}].") for i, item in enumerate(self.content[key])]


def _check_given(top: _Entry) -> None:
    """Raise a ValueError with all keys that are missing, if there are several: of one, the reading itself tells."""
    content, missing = top.content, []
    for name, keys in GIVEN.items():
        value = content.get(name) if name else content
        places: dict[str, Any] = {}
        if isinstance(value, list):
            places = {f"{name}[{i}].": item for i, item in enumerate(value)}
        elif name in ("links", "fixed_links") and isinstance(value, dict):
            places = {f"{name}.{key}.": item for key, item in value.items()}
        elif name not in ("joints", "capsules"):
            places = {f"{name}." if name else "": value}
        missing += [
            f"{place}{key}"
            for place, item in places.items()
            if isinstance(item, dict)
            for key in keys.split()
            if item.get(key) is None
        ]
    if len(missing) > 1:
        said = f"{', '.join(missing)} must be given, got nothing: they are missing"
        raise ValueError(f"{top.where}{said}: correct the file, {EXAMPLE}")


def _robot(top: _Entry) -> Robot:
    _check_given(top)
    if unknown := sorted({*map(str, top.content)} - {*KEYS.split()}):
        raise ValueError(f"{top.where}keys must be among {KEYS}, got {', '.join(unknown)}: correct it")
    joints = top.entries("joints")
    names, link_names = (tuple(joint.text(key) for joint in joints) for key in ("name", "link"))
    frames = {top.text("base_frame"), *link_names}
    if not joints or len({*names}) < len(joints) or len(frames) <= len(joints):
        got = ", ".join((*names, top.text("base_frame"), *link_names))
        raise ValueError(f"{top.where}joints must have names and links that differ, got {got}: rename them")
    rows, home = [_joint(joint) for joint in joints], top.numbers("home_rad", len(joints))
    arrays: dict[str, Any] = {key: np.array([row[key] for row in rows]) for key in {*rows[0]}.intersection(*rows)}
    within = (arrays["lower_rad"] <= home) & (home <= arrays["upper_rad"])
    top.check(within.all(), "home_rad", "within lower_rad and upper_rad of the joints")
    fixed = {}
    for name in top.entry("fixed_links").content if top.content.get("fixed_links") else ():
        link = top.entry("fixed_links").entry(name)
        fixed[name] = link.text("parent"), link.transform()
        others = ", ".join(sorted(frames))
        link.check(fixed[name][0] in frames and name not in frames, "parent", f"another link before {name} ({others})")
        frames.add(str(name))
    heavy = top.entry("links")
    for name in heavy.content:
        heavy.check(name in frames, name, f"the inertia of a link of the arm ({', '.join(sorted(frames))})")
    links = {str(name): _inertia(heavy.entry(name)) for name in (*heavy.content, *link_names)}
    capsules = tuple(_capsule(entry, frames) for entry in top.entries("capsules"))
    fields: dict[str, Any] = {key: top.text(key) for key in ("name", "source", "base_frame", "hand_frame")}
    fields |= {key: _box(top.entry(key)) for key in ("goal_box_m", "hand_box_m")}
    fields |= {"home_box_m": _box(top.entry("home_box_m"))} if top.content.get("home_box_m") else {}
    fields |= {"joint_names": names, "link_names": link_names, "home_rad": home, "hand": top.entry("hand").transform()}
    drivers = top.entry("drivers").content if top.content.get("drivers") else {}
    return Robot(**fields, **arrays, fixed_links=fixed, links=links, capsules=capsules, drivers=drivers)


def _joint(joint: _Entry) -> dict[str, Array]:
    """Fields of `Robot` for one joint."""
    axis = joint.numbers("axis", 3)
    joint.check(np.linalg.norm(axis) > TINY, "axis", "a direction, of a length that is not zero")
    keys = [key for key in LEAST if key in joint.content or key not in ESTIMATED]
    row = {key: joint.numbers(key, least=LEAST[key]) for key in keys}
    joint.check(row["lower_rad"] < row["upper_rad"], "lower_rad", f"below upper_rad, {row['upper_rad']:g}")
    return {"origins": joint.transform(), "axes": axis / np.linalg.norm(axis), **row}


def _inertia(link: _Entry) -> Inertia:
    mass_kg = float(link.numbers("mass_kg", least=TINY))
    return Inertia(mass_kg, link.numbers("com_m", 3), link.numbers("inertia_kg_m2", 6))


def _capsule(entry: _Entry, links: set[str]) -> Capsule:
    link = entry.text("link")
    entry.check(link in links, "link", f"a link of the arm ({', '.join(sorted(links))})")
    ends, radius_m = tuple(entry.numbers("ends_m", 6).tolist()), float(entry.numbers("radius_m", least=TINY))
    return Capsule(link, ends, radius_m, entry.text("group"))


def _box(entry: _Entry) -> Box:
    (x, y, z), (far_x, far_y, far_z) = low, high = entry.numbers("low", 3).tolist(), entry.numbers("high", 3).tolist()
    entry.check(all(a < b for a, b in zip(low, high, strict=True)), "low", f"below high, {high}")
    return (x, y, z), (far_x, far_y, far_z)
